// Looks at the dashboard as a person does: node dashboard.mjs HUB_URL PID_TO_KILL FOLDER_FOR_PICTURES TOKEN
// Ends with 0 when all holds; else the first thing that does not is the error.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { browse, instances } from "./page.mjs";

const [hub, pid, folder, token] = process.argv.slice(2);
const shown = { authorization: `Bearer ${token}` };
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const HOSTILE = '<img src=x onerror="document.title=1">\u001b[31m';

const { browser, complaints, open } = await browse(hub, token);

async function accessible(page, name) {
  const found = await page.evaluate(`${axe}; axe.run()`);
  const problems = found.violations.map((one) => `${one.id}: ${one.nodes[0].html} ${one.nodes[0].failureSummary}`);
  assert.deepEqual(problems, [], name);
}

// Who has no token is asked for one, and sees nothing until it is right.
const stranger = await open({ viewport: { width: 1280, height: 1000 }, knows: false });
for (const given of ["guessed", token]) {
  await stranger.locator("#ask[open]").waitFor();
  assert.equal(await stranger.locator("#instances tbody tr").count(), 0);
  await stranger.fill("#token", given);
  await stranger.keyboard.press("Enter");
}
await instances(stranger, 2);
await stranger.close();
// The browser itself says so when an answer is a refusal.
assert.ok(complaints.every((one) => one.includes("401")), complaints.join("; "));
complaints.length = 0;

const page = await open({ viewport: { width: 1280, height: 1000 }, colorScheme: "light" });
await instances(page, 2);
const timing = await page.evaluate(() => performance.getEntriesByType("navigation")[0].loadEventEnd);
console.log(`loaded after ${timing.toFixed(0)} ms`);

// What is shown is what the interface says.
await page.waitForFunction(() => document.querySelector("#verdict").className === "good");
const fleet = await (await fetch(hub + "/api/fleet", { headers: shown })).json();
const rows = await page.$$eval("#instances tbody tr", (list) => list.map((row) => [
  row.querySelector("th").firstChild.textContent, row.querySelector('[data-name="partitions"]').textContent]));
assert.deepEqual(rows, fleet.instances.map((one) => [one.instance_id, String(one.partitions.length)]));
const cells = await page.locator("#partitions .cell").count();
assert.equal(cells, fleet.totals.partitions);
assert.ok(cells > 0);
await accessible(page, "light");
await page.screenshot({ path: `${folder}/light.png`, fullPage: true });

// Dead letters, by reason and down to the message, which is text whatever it holds.
await page.locator("#groups tbody tr").first().waitFor();
const groups = await (await fetch(hub + "/api/fleet/dead-letters", { headers: shown })).json();
const listed = await page.$$eval("#groups tbody tr", (list) => list.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent)));
assert.deepEqual(listed, groups.map((group) => [group.route, group.reason, String(group.letters)]));
await page.focus("#groups button");
await page.keyboard.press("Enter");
await page.locator("#list button").first().click();
await page.locator("#letter").waitFor();
const payload = await page.textContent("#payload");
assert.ok(payload.includes("<img src=x onerror=") && payload.includes("\\u{1b}[31m"), payload);
assert.equal(await page.locator("#letters img").count(), 0);
await accessible(page, "a dead letter");
await page.screenshot({ path: `${folder}/letter.png` });
await page.click("#replay");
await page.waitForFunction(() => document.querySelector("#replayed").textContent.startsWith("it stays"));
await page.keyboard.press("Escape");

// What today's routes can read becomes a row, and its group says so.
const sound = page.getByRole("button", { name: "Show dead letters of ticks: panic" });
await sound.click();
await page.locator("#list button").first().click();
await page.locator("#letter").waitFor();
await page.click("#replay");
await page.waitForFunction(() => document.querySelector("#replayed").textContent === "it is a row of its table now");
await page.keyboard.press("Escape");
await page.waitForFunction(() => [...document.querySelectorAll("#groups tbody tr")]
  .some(({ cells }) => cells[1].textContent === "panic" && cells[3].textContent === "0"));

// However many groups there are, what happened stays in reach, and the head of the table in sight.
async function bounded(page, name) {
  const { height, top, head } = await page.evaluate(() => {
    letters.show(Array.from({ length: 300 }, (_, number) => (
      { route: `route_${number}`, reason: "bad_number", letters: 7, replayed: 0, newest_ms: Date.now() })));
    const box = document.querySelector("#groups").closest(".scroll");
    box.scrollTop = 1000;
    const top = (element) => element.getBoundingClientRect().top;
    return { height: box.offsetHeight, top: box.scrollTop, head: top(document.querySelector("#groups th")) - top(box) };
  });
  assert.ok(height <= 320 && top === 1000, `${name}: ${height} pixels high, scrolled to ${top}`);
  assert.ok(Math.abs(head) <= 1, `${name}: the head is ${head} pixels away`);
  await accessible(page, `${name}, many groups`);
  await page.screenshot({ path: `${folder}/${name}-letters.png`, fullPage: true });
}
await bounded(page, "light");

// A p99 that stays too high is amber, by name and figure.
const slow = await page.evaluate(() => {
  const [one, ...others] = latest.instances;
  const text = `slow: ${one.instance_id} (p99 230 ms); above 100 ms for 30 s or longer`;
  take({ ...latest, verdict: { weight: "warn", text }, instances: [{ ...one, slow_ms: 230 }, ...others] });
  const state = document.querySelector("#instances .state");
  const line = document.querySelector("#verdict");
  return [line.className, line.textContent === text, document.title.startsWith("(!)"), state.className, state.parentElement.textContent];
});
assert.deepEqual(slow, ["warn", true, true, "state warn", "~ slowp99 230 ms from the broker to being durable"]);

// Nothing is changed without the token, and with it the group assigns anew.
for (const path of ["rebalance", "control", "dead-letters/replay?origin=kafka:t:0&position=1"]) {
  const refused = await fetch(`${hub}/api/fleet/${path}`, { method: "POST", body: '{"do":"restart"}' });
  assert.ok(refused.status === 401 || refused.status === 409, `${path}: ${refused.status}`);
}
assert.equal(await page.locator("#sized").isVisible(), false, "nobody here starts instances");
await page.click("#rebalance");
await page.waitForFunction(() => document.querySelector("#said").textContent.includes("assigned anew"), undefined, { timeout: 60000 });

for (const [name, options] of [
  ["dark", { viewport: { width: 1280, height: 1000 }, colorScheme: "dark" }],
  ["phone", { viewport: { width: 390, height: 844 }, colorScheme: "light" }],
]) {
  const other = await open(options);
  await instances(other, 2);
  await other.locator("#groups tbody tr").first().waitFor();
  await accessible(other, name);
  const width = await other.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= options.viewport.width, `${name}: ${width} pixels wide`);
  await other.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  await bounded(other, name);
  await other.close();
}

// An hour of looks costs no more memory than a quarter of it.
const heap = await page.evaluate(async () => {
  const live = async (looks) => {
    for (let look = 0; look < looks; look++) {
      take({ ...latest, at_ms: latest.at_ms + 1000, events: [...latest.events] });
      if (look % 200 === 0) await new Promise((drawn) => setTimeout(drawn, 0));
    }
    gc();
    return performance.memory.usedJSHeapSize;
  };
  return [await live(1000), await live(3600)];
});
console.log(`heap after 1,000 looks ${heap[0]} bytes, after 3,600 more ${heap[1]}`);
assert.ok(heap[1] - heap[0] < 2 << 20, `it grows: ${heap}`);
await page.reload();
await instances(page, 2);

// The keyboard reaches what can be done, and a pause keeps the picture.
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.id), "pause");
await page.keyboard.press("Enter");
const stood = await page.textContent("#at");
const told = await page.evaluate(() => new Promise((done) => setTimeout(() => done(document.querySelector("#at").textContent), 2500)));
assert.equal(told, stood, "paused");
await page.keyboard.press("Enter");
await page.waitForFunction((before) => document.querySelector("#at").textContent !== before, stood);

// Hostile names are text.
const register = await fetch(hub + "/api/discovery/register", {
  method: "POST", headers: { "content-type": "application/json", ...shown },
  body: JSON.stringify({ service_name: "data-bridge-9", instance_id: HOSTILE, url: "http://127.0.0.1:1", status: "up", metrics: {} }),
});
assert.ok(register.ok, await register.text());
await page.waitForFunction((text) => document.querySelector("#instances").textContent.includes(text), "<img src=x");
assert.equal(await page.locator("#instances img").count(), 0);

// A killed instance turns red.
const id = fleet.instances[0].instance_id;
const killed = Date.now();
process.kill(Number(pid), "SIGKILL");
await page.waitForFunction((wanted) => [...document.querySelectorAll("#instances tbody tr.bad th")]
  .some((name) => name.firstChild.textContent === wanted), id, { polling: 50, timeout: 20000 });
const red = Date.now() - killed;
console.log(`red after ${red} ms`);
// Three looks, and the way to the page.
assert.ok(red < 3000, `red only after ${red} ms`);
await page.waitForFunction((wanted) => document.querySelector("#events").textContent.includes(`${wanted} does not answer`), id);
await page.screenshot({ path: `${folder}/killed.png`, fullPage: true });

assert.deepEqual(complaints, []);
await browser.close();
