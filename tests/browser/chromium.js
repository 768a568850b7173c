// Debian's Chromium, axe and a camera in a page of it, and what was found wrong.
"use strict";

const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const { chromium } = require("playwright-core");

const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars"];

const open = () => chromium.launch({ executablePath: process.env.SQUALL_CHROMIUM || "/usr/bin/chromium", args: QUIET });

const wrong = [];
const check = (holds, words) => holds || wrong.push(words);

/** What a page complains of is wrong, but for what `expected` says. */
function listen(page, expected = () => false) {
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && !expected(message.text()) && wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
}

/** Drawn: two frames have passed since. */
const settled = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)))));

/** What axe objects to, whatever it thinks of its weight. The page's own policy keeps scripts out: it is run from outside. */
async function axe(page) {
  await page.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((found) => `axe: ${found.impact}: ${found.id}: ${found.help}: ${found.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")}`);
}

/** The top of the page, so many pixels of it, in as few colours as it has, where somebody can count them. */
async function shoot(page, file, height) {
  const { width } = page.viewportSize();
  const whole = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.screenshot({ path: file, fullPage: true, clip: { x: 0, y: 0, width, height: Math.min(height, whole) } });
  spawnSync("pngquant", ["--force", "--ext", ".png", "--speed", "1", "128", file]);
}

/** Prints what was wrong, a line each; ends with 1 if anything was. */
function end(work) {
  work.catch((error) => wrong.push(error.stack)).then(() => {
    const said = [...new Set(wrong)];
    if (said.length) console.log(said.join("\n"));
    process.exit(said.length ? 1 : 0);
  });
}

module.exports = { open, axe, check, end, listen, settled, shoot, wrong };
