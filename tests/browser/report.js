// Drives a report as a person would, in headless Chromium with the network off:
//   node report.js PAGE.html 360,1280,1920 [FOLDER/BEGINNING-OF-THE-NAMES-OF-SCREENSHOTS]
// Prints what it found wrong, a line each, and ends with 1 if there was anything.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { open, axe, check, end, listen, settled, shoot, wrong } = require("./chromium.js");
const { layout } = require("./layout.js");
const { valid } = require("./valid.js");

async function main(file, widths, shots) {
  wrong.push(...await valid(file, false));
  const browser = await open();
  try {
    for (const width of widths.split(",").map(Number)) {
      for (const scheme of ["light", "dark"]) await look(browser, file, width, scheme, shots);
    }
    await use(browser, file);
    await drawn(browser, file);
  } finally {
    await browser.close();
  }
}

/** A page with nobody to talk to; what it asks for and complains of is kept. */
async function visit(browser, file, width, scheme) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, offline: true });
  const page = await context.newPage();
  const asked = [];
  await page.route("**/*", (route) => (route.request().url().startsWith("file:") ? route.continue() : route.abort()));
  page.on("request", (request) => asked.push(request.url()));
  listen(page);
  await page.goto(`file://${path.resolve(file)}`);
  await settled(page);
  page.leave = async () => {
    check(asked.length === 1, `asked for ${asked.join(", ")}`);
    await context.close();
  };
  return page;
}

/** Nothing overlaps, nothing is cut off, axe has nothing to say. */
async function look(browser, file, width, scheme, shots) {
  const page = await visit(browser, file, width, scheme);
  const where = `${width} px, ${scheme}`;
  for (const words of await page.evaluate(layout)) wrong.push(`${where}: ${words}`);
  const isShot = SHOTS.includes(`${width}-${scheme}`);
  if (shots && isShot) await shoot(page, `${shots}-${width}-${scheme}.png`, SHOT_HEIGHT);
  for (const summary of await page.locator("summary").all()) await summary.click();
  await settled(page);
  for (const words of await page.evaluate(layout)) wrong.push(`${where}, all open: ${words}`);
  // contrast is a matter of the theme, the rest of neither
  if (isShot || scheme === "light") for (const words of await axe(page)) wrong.push(`${where}: ${words}`);
  await page.emulateMedia({ media: "print" });
  const over = await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  check(over === "light", `${where}: prints ${over}`);
  await page.leave();
}

const SHOTS = ["1280-light", "1280-dark", "360-dark"];
const SHOT_HEIGHT = 2200;

/** What the scripts made of the page is valid as well. */
async function drawn(browser, file) {
  const page = await visit(browser, file, 1280, "light");
  for (const summary of await page.locator("summary").all()) await summary.click();
  const copy = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "squall-drawn-")), "drawn.html");
  fs.writeFileSync(copy, await page.content());
  for (const words of await valid(copy, true)) wrong.push(`drawn: ${words}`);
  fs.rmSync(path.dirname(copy), { recursive: true });
  await page.leave();
}

/** Every control does what it says. */
async function use(browser, file) {
  const page = await visit(browser, file, 1280, "light");
  const names = await page.evaluate(() => [...document.querySelectorAll("nav a")].map((link) => [link.hash, Boolean(document.querySelector(link.hash))]));
  check(names.length >= 3, "no way around");
  for (const [hash, there] of names) check(there, `${hash} leads nowhere`);
  await page.keyboard.press("Tab");
  check(await page.evaluate(() => document.activeElement.classList.contains("skip")), "the first stop is not the skip link");
  await page.keyboard.press("Enter");
  check(await page.evaluate(() => document.activeElement.id === "main"), "the skip link does not skip");
  await theme(page);
  for (const box of await page.locator(".scroll:has(th button)").all()) await sorts(page, box);
  for (const search of await page.locator("input[type=search]").all()) await filters(page, search);
  for (const range of await page.locator("input[type=range]").all()) await scrubs(page, range);
  await hovers(page);
  await chains(page);
  await compared(page);
  await runs(page);
  await opens(page);
  await chooses(page);
  await page.leave();
}

async function theme(page) {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [before, button] = [await ground(), page.locator("#theme")];
  await button.press("Enter");
  const after = await ground();
  check(before !== after && (await button.textContent()) === "Light theme", "the theme does not change");
  await button.click();
  check((await ground()) === before, "the theme does not change back");
}

/** Each column, both ways: the values as sorted are those that are shown. */
async function sorts(page, box) {
  const heads = await box.locator("thead th").all();
  const title = await box.getAttribute("aria-label");
  for (const [at, head] of heads.entries()) {
    const column = () => box.evaluate((node, at) => [...node.querySelectorAll("tbody tr")].map((row) => row.children[at].textContent), at);
    await head.locator("button").press("Enter");
    const [one, first] = [await head.getAttribute("aria-sort"), await column()];
    await head.locator("button").click();
    const [other, last] = [await head.getAttribute("aria-sort"), await column()];
    const name = `${title}, ${await head.textContent()}`;
    check(new Set([one, other]).size === 2 && [one, other].every((way) => /^(a|de)scending$/.test(way)), `${name}: sorts ${one}, then ${other}`);
    check([...first].sort().join() === [...last].sort().join(), `${name}: sorting loses rows`);
    const known = (values) => values.filter((value) => value !== "–").map((value) => parseFloat(value.replaceAll(",", "")) || value);
    if (new Set(known(first).filter(Number)).size > 1) check(known(first)[0] !== known(last)[0], `${name}: sorting changes nothing`);
  }
}

async function filters(page, search) {
  const box = search.locator("xpath=ancestor::div[contains(@class,'tools')]/following-sibling::div[1]");
  const tools = search.locator("xpath=..");
  const rows = () => box.locator("tbody tr").count();
  const all = await rows();
  const wanted = (await box.locator("tbody th").last().textContent()).slice(0, 12);
  await search.fill(wanted);
  const some = await rows();
  check(some >= 1 && some <= all, `filter "${wanted}" leaves ${some} of ${all}`);
  check((await tools.locator("[role=status]").textContent()).startsWith(String(some)), "the filter does not say how many are left");
  await search.fill("nothing is called so");
  check((await rows()) === 0, "the filter keeps what does not fit");
  await search.fill("");
  const tick = tools.locator("input[type=checkbox]");
  if (await tick.count()) {
    await tick.press("Space");
    const ticked = await rows();
    check(ticked <= all, "the box adds rows");
    await tick.click();
  }
  check((await rows()) === all, "the filter does not let go");
}

/** The arrow keys move the cursor and the readout. */
async function scrubs(page, range) {
  const said = () => range.getAttribute("aria-valuetext");
  const name = await range.getAttribute("aria-label");
  await range.press("Home");
  const first = await said();
  await range.press("End");
  const last = await said();
  const most = Number(await range.getAttribute("max"));
  check(most === 0 || first !== last, `${name}: the keyboard moves nothing: ${first}`);
  check(first && (await range.locator("xpath=following-sibling::output").textContent()) === last, `${name}: the readout is not what is said`);
}

/** Two edges and more make a ladder: a step for each under the client's, the one that is slow marked, and all that the run says of it. */
async function chains(page) {
  const at = (await page.locator("#run").count()) ? Number(await page.locator("#run").inputValue()) : 0;
  const { edges = [] } = await page.evaluate((at) => JSON.parse(document.getElementById("data").textContent).runs[at].run, at);
  const chain = page.locator("#edges");
  check((await chain.count()) === (edges.length > 1 ? 1 : 0), `${edges.length} edges, ${await chain.count()} chains`);
  if (edges.length < 2) return;
  const [ladder, all] = [chain.locator(".ladder").first(), await chain.textContent()];
  const steps = await ladder.locator("> li:not(.call) > strong").allTextContents();
  check(steps.join() === ["client", ...edges.map((edge) => edge.name || "–")].join(), `the ladder is ${steps.join()}`);
  const slow = edges.filter((edge) => edge.slow);
  check((await ladder.locator("> li.slow").count()) === slow.length, "the slow edge is not marked");
  for (const edge of slow) check(!edge.slow.words || all.includes(edge.slow.words.slice(1)), "nobody says what is slow");
  const arrows = (await ladder.locator("> li.call").allTextContents()).join();
  for (const call of edges.flatMap((edge) => edge.calls || []).filter((call) => call.latency)) {
    check(arrows.includes(`calls ${call.edge}: ${Number(call.per_request.toFixed(3))} calls a request`), `no arrow to ${call.edge}`);
  }
  check(all.includes("could belong to several") === edges.some((edge) => edge.unjoined > 0), "lost calls are not what is said");
  check(all.includes("no room to follow") === edges.some((edge) => edge.chain_shed > 0), "shed requests are not what is said");
  const figures = chain.locator("details", { hasText: "Figures of these bars" }).first();
  const was = await figures.evaluate((node) => [node.open, (node.open = true)][0]);
  await figures.locator("table").first().waitFor();
  const titled = await figures.locator("thead th").allTextContents();
  await figures.evaluate((node, was) => { node.open = was; }, was);
  check(titled.some((title) => title.includes("upstream p99")) === edges.some((edge) => edge.upstream), `the figures are ${titled.join()}`);
  const lengths = await ladder.locator(".bar").evaluateAll((bars) => bars.map((bar) => Math.round(bar.clientWidth)));
  check(new Set(lengths).size < 2, `bars to different scales: ${lengths.join()}`);
  const split = chain.locator(".ladder").nth(1).locator("li");
  const known = (edges[0].routes || []).filter((route) => route.slow).length;
  check((await split.count()) === (known ? Math.min(known, 12) + 1 : 0), `${await split.count()} lines for ${known} routes`);
}

/** The sentence over a comparison counts what differs, of the whole and of routes. */
async function compared(page) {
  const section = page.locator("#compare");
  if ((await section.count()) === 0) return;
  const at = Number(await page.locator("#other-run").inputValue());
  const pair = await page.evaluate((at) => JSON.parse(document.getElementById("data").textContent).compare[at], at);
  const said = await section.locator("p > strong").first().textContent();
  const counts = [pair.figures, pair.routes].map((rows) => [rows.filter((row) => !["noise", "unknown"].includes(row.judged)).length, rows.length]);
  const none = counts.every(([real]) => real === 0);
  check(none === said.startsWith("No figure"), `${said} (${counts.join(" and ")} differ)`);
  for (const [real, all] of none ? [] : counts.filter(([, all]) => all > 0)) check(said.includes(`${real} of ${all} figures`), `${said}: not ${real} of ${all}`);
}

/** The pointer moves the slider. */
async function hovers(page) {
  for (const plot of await page.locator("svg.plot").all()) {
    await plot.scrollIntoViewIfNeeded();
    const range = plot.locator("xpath=ancestor::figure/following-sibling::div//input[@type='range'] | ancestor::figure/following-sibling::div/input").first();
    const box = await plot.boundingBox();
    const at = async (share) => {
      await page.mouse.move(box.x + box.width * share, box.y + box.height / 2);
      return Number(await range.inputValue());
    };
    const [left, right] = [await at(0.2), await at(0.9)];
    check(left < right || Number(await range.getAttribute("max")) === 0, `hover: ${left}, then ${right}: ${await plot.getAttribute("aria-label")}`);
  }
}

/** A click on a chart of a history leads to the row of the run under it, as the link beside the slider does. */
async function runs(page) {
  const charts = await page.locator("#figures svg.plot").all();
  const most = charts.length && Number(await page.locator("#figures input[type=range]").getAttribute("max"));
  for (const [at, chart] of charts.entries()) {
    await chart.scrollIntoViewIfNeeded();
    const box = await chart.boundingBox();
    await page.mouse.click(box.x + box.width * (at % 2 ? 0.3 : 0.8), box.y + box.height / 2);
    const [place, link] = [Number(await page.locator("#figures input[type=range]").inputValue()), page.locator("#figures output a")];
    check(await page.evaluate((place) => location.hash === `#run-${place + 1}`, place), `a click leads to ${page.url()}, and not to run ${place + 1} of ${most + 1}`);
    check((await page.locator("tr:target th").textContent()) === (await link.textContent()), "the row is of another run");
    check((await link.getAttribute("href")) === `#run-${place + 1}`, "the link is to another run");
  }
  if (charts.length) await page.evaluate(() => { location.hash = ""; });
}

/** Each figure behind a chart, by keyboard; each command can be copied. */
async function opens(page) {
  for (const summary of await page.locator("summary").all()) {
    await summary.press("Enter");
    const inside = summary.locator("xpath=following-sibling::*");
    await inside.first().waitFor();
    check((await inside.locator("tbody tr, li").count()) > 0, `nothing behind ${await summary.textContent()}`);
  }
  for (const button of await page.locator(".command button").all()) {
    await button.press("Enter");
    await button.locator("xpath=self::*[text()!='Copy']").waitFor();
  }
}

/** Other runs, where there are any. */
async function chooses(page) {
  for (const id of ["#other-run", "#run"]) {
    const choice = page.locator(id);
    for (const option of await choice.locator("option").all()) {
      await choice.selectOption(await option.getAttribute("value"));
      await settled(page);
      check((await page.locator("#verdict .badge").count()) === 1, `${id}: no verdict`);
      await chains(page);
      await compared(page);
    }
  }
}

end(main(...process.argv.slice(2)));
