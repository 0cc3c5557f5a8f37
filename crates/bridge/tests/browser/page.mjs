// A headless Chromium that minds what pages do: errors, questions of scripts, requests to others.
import { chromium } from "playwright-core";

// The browser, what it complained of, and a way to open the page of this hub with this token, or with none.
export async function browse(hub, token) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--js-flags=--expose-gc", "--enable-precise-memory-info", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const complaints = [];
  const open = async ({ knows = true, ...options }) => {
    const page = await browser.newPage(options);
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => request.url().startsWith(hub) || complaints.push(`asks ${request.url()}`));
    page.on("dialog", (dialog) => { complaints.push(`a script speaks: ${dialog.message()}`); dialog.dismiss(); });
    if (knows) await page.addInitScript((known) => sessionStorage.setItem("token", known), token);
    await page.goto(hub + "/");
    return page;
  };
  return { browser, complaints, open };
}

// Waits for a table of that many instances at least.
export const instances = (page, count) =>
  page.waitForFunction((least) => document.querySelectorAll("#instances tbody tr").length >= least, count);
