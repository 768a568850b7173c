// Debian's Chromium, and axe in a page of it.
"use strict";

const fs = require("node:fs");
const { chromium } = require("playwright-core");

const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars"];

const open = () => chromium.launch({ executablePath: process.env.SQUALL_CHROMIUM || "/usr/bin/chromium", args: QUIET });

/** What axe objects to, whatever it thinks of its weight. The page's own policy keeps scripts out: it is run from outside. */
async function axe(page) {
  await page.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((found) => `axe: ${found.impact}: ${found.id}: ${found.help}: ${found.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")}`);
}

module.exports = { open, axe };
