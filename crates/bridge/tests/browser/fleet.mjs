// Scales a fleet of one to two from its page: node fleet.mjs HUB_URL TOKEN
import assert from "node:assert/strict";
import { browse, instances } from "./page.mjs";

const [hub, token] = process.argv.slice(2);
const { browser, complaints, open } = await browse(hub, token);
const page = await open({ knows: false });
await instances(page, 1);
await page.waitForFunction(() => document.querySelector("#wanted").value === "1");

// Looking needs no token here, and changing does: who gives none, or another, changes nothing.
await page.fill("#wanted", "2");
for (const given of ["guessed", null]) {
  await page.click("#scale button");
  await page.locator("#ask[open]").waitFor();
  if (given) await page.fill("#token", given);
  if (given) await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#refused").textContent.includes("state folder"));
  await page.locator("#ask[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.querySelector("#said").className === "bad");
  const fleet = await (await fetch(hub + "/api/fleet")).json();
  assert.equal(fleet.supervisor.target, 1);
}

await page.click("#scale button");
await page.fill("#token", token);
await page.keyboard.press("Enter");
await page.waitForFunction(() => document.querySelector("#said").textContent === "1 → 2 instances");
await instances(page, 2);
console.log(await page.textContent("#said"));
// What is shown as wanted stays what the person wrote; what is wrong is refused with the supervisor's words.
assert.equal(await page.inputValue("#wanted"), "2");
await page.evaluate(() => document.querySelector("#wanted").removeAttribute("min"));
await page.fill("#wanted", "0");
await page.click("#scale button");
await page.waitForFunction(() => document.querySelector("#said").textContent.includes("at least one instance"));
// The browser itself says so when an answer is a refusal; 502 is that ClickHouse is away.
assert.ok(complaints.every((one) => /40[19]|502/.test(one)), complaints.join("; "));
await browser.close();
