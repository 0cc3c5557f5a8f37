// The fleet in the browser. Everything that comes from the fleet is written as text, never as markup.
"use strict";

const KEPT = 900; // one point a second
const MOST_EVENTS = 200;
const STALE_MS = 3500; // the hub speaks each second
const OWNERS = ["#2f6fde", "#c2570c", "#16833f", "#8b3fc7", "#b3245c", "#0d7d8c", "#7a6a00", "#5b6472"];

const id = (name) => document.getElementById(name);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const owner = (number) => OWNERS[(number + OWNERS.length - 1) % OWNERS.length];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function duration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, unit] = parts[at];
  const rest = parts[at + 1];
  const more = rest ? Math.floor((seconds % size) / rest[0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}` + (more ? ` ${more} ${rest[1]}` : "");
}

const bytes = (count) => `${whole.format(count / 1048576)} MiB`;
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const moment = (ms) => new Date(ms).toLocaleString("sv-SE");

// What an instance is, in a word and a mark that need no colour.
function state(one) {
  if (one.life === "dead") return ["bad", "✕ does not answer"];
  if (one.life === "left") return ["dim", "– stopped"];
  if (one.life === "expected") return ["warn", "… starting"];
  if (!one.ready) return ["bad", "! not ready"];
  if (one.backpressure) return ["warn", "‖ held back"];
  if (one.slow_ms) return ["warn", "~ slow"];
  return ["good", "✓ ready"];
}

function showTotals(fleet) {
  const { totals } = fleet;
  const known = fleet.instances.filter((one) => one.life !== "left").length;
  const list = [
    ["instances ready", `${totals.ready} of ${known}`, totals.ready < known ? "bad" : ""],
    ["messages wait", whole.format(totals.lag), totals.lag > 10000 ? "warn" : ""],
    ["rows a second", whole.format(totals.rows_per_second), ""],
    ["p99 to durable", totals.p99_ms === null ? "–" : `${whole.format(totals.p99_ms)} ms`, totals.p99_ms > 100 ? "warn" : ""],
    ["partitions read", whole.format(totals.partitions), ""],
    ["memory", bytes(totals.rss_bytes), ""],
  ];
  id("totals").replaceChildren(...list.map(([name, value, className]) => {
    const made = element("div", undefined, className);
    made.append(element("dt", name), element("dd", value));
    return made;
  }));
}

function showInstances(fleet) {
  const processes = new Map((fleet.supervisor?.processes ?? []).map((one) => [one.id, one]));
  const rows = fleet.instances.map((one) => {
    const [className, words] = state(one);
    const process = processes.get(one.instance_id);
    const row = element("tr", undefined, className === "bad" ? "bad" : "");
    const name = element("th", one.instance_id);
    name.scope = "row";
    name.append(element("small", `number ${one.instance_number} · ${one.url}`));
    const said = element("td", undefined, "wide");
    said.append(element("span", words, `state ${className}`));
    const why = [...one.reasons];
    if (process?.why) why.push(process.why);
    if (one.slow_ms) why.push(`p99 ${whole.format(one.slow_ms)} ms from the broker to being durable`);
    if (why.length && className !== "good") {
      const list = element("ul", undefined, "why");
      list.append(...why.slice(0, 5).map((text) => element("li", text)));
      said.append(list);
    }
    const number = (title, text) => {
      const cell = element("td", text, "n");
      cell.dataset.name = title;
      return cell;
    };
    row.append(name, said,
      number("partitions", whole.format(one.partitions.length)),
      number("lag", whole.format(one.lag)),
      number("rows/s", whole.format(one.rows_per_second)),
      number("not durable", whole.format(one.buffered_rows)),
      number("memory", bytes(one.rss_bytes)),
      number("up for", duration(one.uptime_seconds)),
      number("restarts", process ? whole.format(process.restarts) : "–"));
    return row;
  });
  id("instances").tBodies[0].replaceChildren(...rows);
}

function showPartitions(fleet) {
  const topics = new Map();
  let most = 0;
  for (const one of fleet.instances) {
    if (one.life !== "up") continue;
    for (const part of one.partitions) {
      if (!topics.has(part.topic)) topics.set(part.topic, new Map());
      topics.get(part.topic).set(part.partition, { one, part });
      most = Math.max(most, part.partition + 1);
    }
  }
  const table = id("partitions");
  const head = element("tr");
  head.append(element("th", "topic"));
  for (let number = 0; number < most; number++) head.append(element("th", String(number)));
  table.tHead.replaceChildren(head);
  const rows = [...topics.keys()].sort().map((topic) => {
    const row = element("tr");
    const name = element("th", topic);
    name.scope = "row";
    row.append(name);
    for (let number = 0; number < most; number++) {
      const cell = element("td");
      const found = topics.get(topic).get(number);
      if (found) {
        const { one, part } = found;
        const box = element("span", undefined, part.paused ? "cell held" : "cell");
        box.style.setProperty("--owner", owner(one.instance_number));
        box.title = `${topic}/${number}: ${one.instance_id}, lag ${whole.format(part.lag)}${part.paused ? ", held" : ""}`;
        box.append(element("b", String(one.instance_number)), element("small", short.format(part.lag)));
        cell.append(box);
      }
      row.append(cell);
    }
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
  id("nobody").hidden = rows.length > 0;
}

function showEvents(fleet) {
  const list = (fleet.events ?? []).slice(-MOST_EVENTS).reverse().map((event) => {
    const made = element("li");
    const time = element("time", clock(event.at_ms));
    time.dateTime = new Date(event.at_ms).toISOString();
    made.append(time, element("span", event.text, event.weight));
    return made;
  });
  id("events").replaceChildren(...(list.length ? list : [element("li", "nothing since the hub started")]));
}

// The last 15 minutes: a column of times, one of lag, and per instance one of rates and one of latencies.
const past = { at: [], lag: [], rates: new Map(), latency: new Map() };

function remember(atMs, lag, rates, latencies) {
  past.at.push(atMs / 1000);
  past.lag.push(lag);
  if (past.at.length > KEPT) {
    past.at.shift();
    past.lag.shift();
  }
  // A latency has a column, empty or not, for as long as its instance has one.
  extend(past.rates, rates, rates);
  extend(past.latency, rates, latencies);
}

function extend(columns, names, values) {
  for (const name of names.keys()) {
    if (!columns.has(name)) columns.set(name, new Array(past.at.length - 1).fill(null));
  }
  for (const [name, list] of columns) {
    list.push(values.get(name) ?? null);
    while (list.length > past.at.length) list.shift();
    if (!names.has(name) && list.every((value) => value === null)) columns.delete(name);
  }
}

const charts = { rates: null, lag: null, latency: null, names: "" };

// A colour of the theme that is in force, as a canvas takes it.
function themed(name) {
  const probe = element("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function chart(place, series, data) {
  const line = themed("--line");
  const axis = { stroke: themed("--dim"), grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const time = (seconds) => clock(seconds * 1000);
  const marks = (_, list) => list.map((at) => (list.at(-1) - list[0] < 300 ? time(at) : time(at).slice(0, 5)));
  place.replaceChildren();
  return new uPlot({
    width: Math.max(280, place.clientWidth), height: 220,
    series: [{ label: "at", value: (_, at) => (at === null ? "–" : time(at)) }, ...series],
    axes: [{ ...axis, space: 90, values: marks }, { ...axis, size: 56, values: (_, list) => list.map((value) => short.format(value)) }],
    scales: { y: { range: (_, low, high) => [0, Math.max(10, high * 1.1)] } },
  }, data, place);
}

function showCharts(numbers, force) {
  const names = [...past.rates.keys()];
  const rates = [past.at, ...past.rates.values()];
  const lag = [past.at, past.lag];
  const latency = [past.at, ...names.map((name) => past.latency.get(name) ?? past.at.map(() => null))];
  if (force || charts.names !== names.join("\n")) {
    charts.names = names.join("\n");
    charts.rates?.destroy();
    charts.lag?.destroy();
    charts.latency?.destroy();
    const value = (_, number) => (number === null ? "–" : whole.format(number));
    const lines = (value) => names.map((name) => (
      { label: name, stroke: owner(numbers.get(name) ?? 0), width: 1.5, points: { show: false }, value }));
    charts.rates = chart(id("rates"), lines(value), rates);
    charts.latency = chart(id("latency"), lines((_, ms) => (ms === null ? "–" : `${whole.format(ms)} ms`)), latency);
    charts.lag = chart(id("lag"), [{ label: "messages", stroke: OWNERS[0], width: 1.5, points: { show: false }, fill: "#2f6fde22", value }], lag);
  } else {
    charts.rates.setData(rates);
    charts.lag.setData(lag);
    charts.latency.setData(latency);
  }
  const last = (list) => whole.format(list.at(-1) ?? 0);
  id("rates").setAttribute("aria-label", "Now: " + names.map((name) => `${name} ${last(past.rates.get(name))}`).join(", "));
  id("lag").setAttribute("aria-label", `Now: ${last(past.lag)} messages`);
  const slow = (name) => past.latency.get(name)?.at(-1) ?? null;
  id("latency").setAttribute("aria-label", "Now: " + names.map((name) => `${name} ${slow(name) === null ? "nothing written" : `${whole.format(slow(name))} ms`}`).join(", "));
}

let latest = null;
let heard = 0;
let paused = false;

function take(fleet) {
  heard = Date.now();
  latest = fleet;
  const up = fleet.instances.filter((one) => one.life === "up");
  const latencies = up.filter((one) => one.latency).map((one) => [one.instance_id, one.latency.p99_ms]);
  remember(fleet.at_ms, fleet.totals.lag, new Map(up.map((one) => [one.instance_id, one.rows_per_second])), new Map(latencies));
  letters.see(fleet.totals.dead_letters);
  if (!paused) show();
}

function show(force) {
  const fleet = latest;
  if (!fleet) return;
  const { weight: className, text: words } = fleet.verdict;
  const line = id("verdict");
  line.className = className;
  // Told once, not each second, to those who listen to the page.
  if (line.textContent !== words) line.textContent = words;
  document.body.classList.remove("stale");
  document.title = `${className === "good" ? "" : "(!) "}data-bridge ${fleet.group_id}`;
  id("group").textContent = fleet.group_id;
  id("version").textContent = fleet.version;
  id("at").textContent = `as of ${clock(fleet.at_ms)}`;
  showTotals(fleet);
  showInstances(fleet);
  id("sized").hidden = !fleet.supervisor;
  if (fleet.supervisor && !id("wanted").value) id("wanted").value = fleet.supervisor.target;
  showPartitions(fleet);
  showEvents(fleet);
  showCharts(new Map(fleet.instances.map((one) => [one.instance_id, one.instance_number])), force);
}

function watchSilence() {
  if (!heard || Date.now() - heard < STALE_MS || paused) return;
  const line = id("verdict");
  const words = `the hub is silent since ${clock(heard)}; trying again`;
  if (line.textContent !== words) line.textContent = words;
  line.className = "bad";
  document.body.classList.add("stale");
}

// The token that the hub wants, when it wants one; kept as long as this tab.
const token = {
  headers: () => {
    const shown = sessionStorage.getItem("token");
    return shown ? { Authorization: `Bearer ${shown}` } : {};
  },
  asking: null,
  // One question at a time, whoever is refused; true when a token was given.
  ask(why) {
    token.asking ??= new Promise((answered) => {
      const dialog = id("ask");
      id("refused").textContent = why;
      id("token").value = "";
      dialog.returnValue = "";
      dialog.showModal();
      dialog.addEventListener("close", () => {
        token.asking = null;
        const given = dialog.returnValue === "give" && id("token").value !== "";
        if (given) sessionStorage.setItem("token", id("token").value);
        answered(given);
      }, { once: true });
    });
    return token.asking;
  },
};

// What the hub answers; asks for a token where one is wanted, and fails with the hub's words.
async function call(path, options) {
  for (;;) {
    const answer = await fetch(path, { ...options, headers: token.headers(), cache: "no-store" });
    if (answer.ok) return answer;
    const why = await answer.json().then((said) => said.error, () => `${path}: ${answer.status}`);
    if (answer.status !== 401 || !await token.ask(why)) throw new Error(why);
  }
}

// Asks for a change, with a button that waits meanwhile and a line that says what came of it.
async function act(button, line, path, options) {
  button.disabled = true;
  line.className = "";
  line.textContent = "…";
  try {
    return await (await call(path, { method: "POST", ...options })).json();
  } catch (error) {
    line.className = "bad";
    line.textContent = error.message;
    return null;
  } finally {
    button.disabled = false;
  }
}

async function scale(event) {
  event.preventDefault();
  const body = JSON.stringify({ do: "scale", instances: Number(id("wanted").value) });
  const said = await act(event.submitter, id("said"), "api/fleet/control", { body });
  if (said) id("said").textContent = said.said;
}

async function rebalance() {
  const said = await act(id("rebalance"), id("said"), "api/fleet/rebalance");
  if (said) id("said").textContent = said.said;
}

const letters = {
  count: null, // of the fleet, when they were last asked for
  asked: 0,
  busy: false,
  // Asked for when their number changes, and now and then: ClickHouse has other work.
  see(count) {
    const since = Date.now() - letters.asked;
    const wanted = since > 60000 || (since > 3000 && count !== letters.count);
    if (letters.busy || paused || document.hidden || !wanted) return;
    letters.count = count;
    letters.load();
  },
  async load() {
    letters.busy = true;
    try {
      letters.show(await (await call("api/fleet/dead-letters")).json());
    } catch (error) {
      id("groups").hidden = true;
      id("no-letters").hidden = false;
      id("no-letters").textContent = `They cannot be read: ${error.message}`;
    } finally {
      letters.asked = Date.now();
      letters.busy = false;
    }
  },
  show(groups) {
    id("groups").hidden = groups.length === 0;
    id("no-letters").hidden = groups.length > 0;
    id("no-letters").textContent = "None: every message became a row.";
    const focused = document.activeElement?.dataset?.group;
    id("groups").tBodies[0].replaceChildren(...groups.map((group) => {
      const row = element("tr");
      const route = element("th", group.route || "(no route)");
      route.scope = "row";
      const look = element("button", "Show");
      look.type = "button";
      look.dataset.group = `${group.route} ${group.reason}`;
      look.setAttribute("aria-label", `Show dead letters of ${group.route || "no route"}: ${group.reason}`);
      look.addEventListener("click", () => letters.open(group));
      const last = element("td");
      last.append(look);
      row.append(route, element("td", group.reason), element("td", whole.format(group.letters), "n"),
        element("td", whole.format(group.letters - group.replayed), "n"),
        element("td", moment(group.newest_ms), "n"), last);
      return row;
    }));
    if (focused) [...id("groups").querySelectorAll("button")].find((one) => one.dataset.group === focused)?.focus();
  },
  async open(group) {
    id("h-list").textContent = `${group.route || "(no route)"}: ${group.reason}`;
    id("list").replaceChildren();
    id("letter").hidden = true;
    id("listed").textContent = "asking ClickHouse …";
    id("letters").showModal();
    try {
      const which = new URLSearchParams({ route: group.route, reason: group.reason });
      const list = await (await call(`api/fleet/dead-letters/list?${which}`)).json();
      id("listed").textContent = list.length < group.letters
        ? `the newest ${list.length} of ${whole.format(group.letters)}; data-bridge dlq list has all`
        : "newest first";
      id("list").replaceChildren(...list.map((one) => {
        const item = element("li");
        const choose = element("button", one.letter);
        choose.type = "button";
        choose.addEventListener("click", () => letters.look(one));
        item.append(choose, element("span", `${moment(one.received_ms)} · ${one.error}${one.replayed_ms === null ? "" : " · replayed"}`));
        return item;
      }));
    } catch (error) {
      id("listed").textContent = error.message;
    }
  },
  async look(one) {
    const place = new URLSearchParams({ origin: one.origin, position: one.position });
    try {
      const pages = await (await call(`api/fleet/dead-letters/show?${place}`)).json();
      const page = pages.find((page) => page.reason === one.reason) ?? pages[0];
      if (!page) throw new Error("it is no longer there");
      const facts = [
        ["error", page.error], ["received", moment(page.received_ms)], ["attempts", whole.format(page.attempts)],
        ["replayed", page.replayed_ms === null ? "no" : moment(page.replayed_ms)],
        ["key", page.key.text || "(empty)"],
        ...page.headers.map(([name, value]) => [`header ${name.text}`, value.text]),
      ];
      id("letter-id").textContent = page.letter;
      id("facts").replaceChildren(...facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
      id("size").textContent = `${whole.format(page.payload.bytes)} bytes${page.payload.cut ? ", the beginning" : ""}`;
      id("payload").textContent = page.payload.text || "(empty)";
      id("replayed").textContent = "";
      id("replay").onclick = () => letters.replay(place);
      id("letter").hidden = false;
      id("letter").scrollIntoView({ block: "nearest" });
    } catch (error) {
      id("listed").textContent = error.message;
    }
  },
  async replay(place) {
    const said = await act(id("replay"), id("replayed"), `api/fleet/dead-letters/replay?${place}`);
    if (!said) return;
    const stays = said.stay.length > 0;
    id("replayed").className = stays ? "bad" : "good";
    id("replayed").textContent = stays ? `it stays: ${said.stay.join("; ")}` : "it is a row of its table now";
    letters.load();
  },
};

// Server-sent events by hand: EventSource cannot show a token.
async function listen() {
  const answer = await call("api/fleet/events");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length) take(JSON.parse(data.map((line) => line.slice(5)).join("\n")));
    }
  }
}

const pause = (ms) => new Promise((over) => setTimeout(over, ms));

async function start() {
  setInterval(watchSilence, 500);
  id("pause").addEventListener("click", () => {
    paused = !paused;
    id("pause").setAttribute("aria-pressed", String(paused));
    id("pause").textContent = paused ? "Go on" : "Pause";
    if (!paused) show();
  });
  id("scale").addEventListener("submit", scale);
  id("rebalance").addEventListener("click", rebalance);
  addEventListener("resize", () => show(true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(true));
  try {
    const history = await (await call("api/fleet/history")).json();
    history.forEach((point) => remember(point.at_ms, point.lag,
      new Map(Object.entries(point.rows_per_second)), new Map(Object.entries(point.p99_ms ?? {}))));
  } catch {
    // Listening says soon enough that the hub is away.
  }
  heard = Date.now();
  for (;;) {
    try {
      await listen();
    } catch {
      // Watched: the page says that the hub is silent.
    }
    await pause(1000);
  }
}

start();
