// Drives the page of a proxy as a person would, in headless Chromium:
//   node proxy.js look|use|locked|gone '{"admin": "http://127.0.0.1:1", …}'
// Prints what it found wrong, a line each, and ends with 1 if there was anything.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { open, axe, check, end, listen, settled, shoot, wrong } = require("./chromium.js");
const { layout } = require("./layout.js");
const { valid } = require("./valid.js");

async function main(what, given) {
  const about = JSON.parse(given);
  const browser = await open();
  try {
    await { look, use, locked, gone }[what](browser, about);
  } finally {
    await browser.close();
  }
}

/** The page, once it has something to show. What it asks for elsewhere never leaves, and is wrong. */
async function visit(browser, { admin }, { width = 1280, scheme = "light", expected } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  await page.route("**/*", (route) => {
    if (new URL(route.request().url()).origin === admin) return route.continue();
    wrong.push(`asked for ${route.request().url()}`);
    return route.abort();
  });
  listen(page, expected);
  await page.goto(admin);
  return page;
}

const shows = (page, id, text) => page.locator(`#${id}`, { hasText: text }).waitFor({ timeout: PATIENCE });

/** Nothing overlaps, nothing is cut off, axe and the validators have nothing to say. */
async function look(browser, about) {
  for (const width of [360, 1280, 1920]) {
    for (const scheme of ["light", "dark"]) {
      const page = await visit(browser, about, { width, scheme });
      const where = `${width} px, ${scheme}`;
      await shows(page, "rules", "slow-payments");
      if (about.shots) await flows(page, about);
      await settled(page);
      for (const words of await page.evaluate(layout)) wrong.push(`${where}: ${words}`);
      for (const words of await axe(page)) wrong.push(`${where}: ${words}`);
      const name = `proxy-${width}-${scheme}.png`;
      if (about.shots && SHOTS.includes(name)) await shoot(page, path.join(about.shots, name), SHOT_HEIGHT);
      if (width === 1280 && scheme === "light") await sound(page);
      await page.context().close();
    }
  }
}

/** A few seconds of traffic, so that the curve has a shape; the page asks once a second. */
async function flows(page, { edges, tcp }) {
  for (let second = 0; second < 6; second += 1) {
    for (let request = 0; request < 8 + 7 * (second % 3); request += 1) {
      await fetchOf(`${edges[request % edges.length]}/api/products/${(request % 9) + 1}`, { cookie: `sid=visitor-${request}-of-the-shop` });
    }
    await overTcp(tcp);
    await page.waitForTimeout(1000);
  }
}

/** The page as it came, and as its script has filled it. */
async function sound(page) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "squall-page-"));
  const source = await page.evaluate(() => fetch("/", { headers: { accept: "text/html" } }).then((answer) => answer.text()));
  for (const [name, text] of [["source", source], ["drawn", await page.content()]]) {
    const file = path.join(folder, `${name}.html`);
    fs.writeFileSync(file, text);
    for (const words of await valid(file, true)) wrong.push(`${name}: ${words}`);
  }
  fs.rmSync(folder, { recursive: true });
}

/** Every control does what it says, and the API says so. */
async function use(browser, about) {
  const page = await visit(browser, about);
  const api = async (what) => JSON.parse((await fetchOf(`${about.admin}/${what}`)).body);
  await shows(page, "state", "ARMED: 3 rules");
  await traffic(page, about, api);
  await rules(page, about, api);
  await recording(page, about, api);
  await strangers(browser, about, api);
}

/** What passes is seen: requests, sessions, bytes, the ledger, who answers. */
async function traffic(page, { edges, tcp }, api) {
  for (let visitor = 0; visitor < 5; visitor += 1) {
    for (const edge of edges) {
      const answer = await fetchOf(`${edge}/teapot`, { cookie: `sid=visitor-${visitor}-of-the-shop` });
      check(answer.status === (edge === edges[0] ? 418 : 404), `the rule answers ${answer.status}`);
    }
  }
  await overTcp(tcp);
  await shows(page, "figures", /requests seen10delivered/);
  await shows(page, "figures", /sessions, last [\d.]+ (s|min)5requests/);
  check((await api("status")).sessions.count === 5, "the API counts other sessions");
  await shows(page, "rules", /teapot.*100\.0 %/);
  await shows(page, "ledger", /teapot/);
  await shows(page, "map", /1 of 3, about/);
  await shows(page, "map", "a-shop-whose-name-is-long");
  await overTcp(tcp);
  await shows(page, "tcp-books", /finished2cut0.*to clients[\d,.]+ K?B/);
  await shows(page, "map", /[1-9][\d,.]* K?B\/s/);
}

async function rules(page, about, api) {
  const row = (id) => page.locator("#rules tr", { hasText: id });
  const button = page.getByRole("button", { name: "Lift teapot" });
  // by keyboard, and later than the next reading: the focus is still there
  await button.focus();
  const seen = await page.locator("#foot").textContent();
  await page.waitForFunction((seen) => document.querySelector("#foot").textContent !== seen, seen);
  check(await page.evaluate(() => document.activeElement.dataset.lift === "teapot"), "the focus is lost when figures change");
  await page.keyboard.press("Enter");
  await row("teapot").getByText("lifted", { exact: true }).waitFor();
  check((await api("status")).rules.list.find((rule) => rule.id === "teapot").state === "lifted", "the rule is not lifted");
  check((await fetchOf(`${about.edges[0]}/teapot`)).status === 404, "a lifted rule answers");
  check(await button.isDisabled(), "a lifted rule can be lifted");

  await page.getByRole("button", { name: "Lift all" }).click();
  await shows(page, "state", "LIFTED: lifted through the admin API by 127.0.0.1 (the proxy's page)");
  check((await api("status")).armed === false, "the rules are not lifted");
  check(await page.locator("#lift").isDisabled(), "what is lifted can be lifted");
  await page.getByRole("button", { name: "Arm the rules" }).click();
  await shows(page, "state", "ARMED: 3 rules");
  check((await api("status")).armed === true, "the rules are not armed");
  check((await fetchOf(`${about.edges[0]}/teapot`)).status === 418, "an armed rule does not answer");

  const good = fs.readFileSync(about.rules, "utf8");
  fs.writeFileSync(about.rules, good.replace("respond =", "rspond ="));
  await shows(page, "rules-error", "did you mean `respond`");
  check(/faults\.toml:\d+:1/.test(await page.locator("#rules-error").textContent()), "the mistake has no place");
  check((await fetchOf(`${about.edges[0]}/teapot`)).status === 418, "a bad file takes the rules away");
  for (const words of await page.evaluate(layout)) wrong.push(`with a bad file: ${words}`);
  fs.writeFileSync(about.rules, good);
  await page.locator("#rules-error").waitFor({ state: "hidden" });
}

async function recording(page, about, api) {
  const first = (await api("status")).recording.file;
  await page.getByRole("button", { name: "Begin a new file" }).click();
  await page.waitForFunction((first) => !document.querySelector("#recording-words").textContent.endsWith(first), first);
  const { recording } = await api("status");
  check(recording.files_closed === 1 && recording.file !== first, `no new file: ${recording.file}`);
  await page.getByRole("button", { name: "Stop recording" }).click();
  await shows(page, "recording-words", "stopped");
  check((await api("status")).recording.state === "stopped", "it still records");
  for (const name of ["Stop recording", "Begin a new file"]) {
    check(await page.getByRole("button", { name }).isDisabled(), `${name} after the end`);
  }
}

/** Another page may not press its buttons. */
async function strangers(browser, { admin }, api) {
  const post = (origin) => fetchOf(`${admin}/lift`, { origin }, "POST");
  for (const origin of ["http://evil.example", "null", admin.replace("127.0.0.1", "localhost")]) {
    check((await post(origin)).status === 403, `a page of ${origin} lifts`);
  }
  // a real page, of another port of this machine: the browser sends it off, and says where it is from
  const stranger = http.createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<title>x</title>"));
  await new Promise((done) => stranger.listen(0, "127.0.0.1", done));
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://127.0.0.1:${stranger.address().port}`);
  const said = await page.evaluate((admin) => fetch(`${admin}/lift`, { method: "POST" }).then(() => "answered", () => "refused"), admin);
  check(said === "refused", "another page reads what lifting says");
  check((await api("status")).armed === true, "another page has lifted the rules");
  await page.goto(admin);
  await shows(page, "state", "ARMED");
  const own = await page.evaluate(() => fetch("lift", { method: "POST" }).then((answer) => answer.status));
  check(own === 200, `the page itself may not: ${own}`);
  stranger.close();
}

/** The token: without it nothing is shown, with it all, and the tab keeps it. */
async function locked(browser, about) {
  const page = await visit(browser, about, { expected: (text) => text.includes("401") });
  await shows(page, "login", "This proxy wants its token");
  check(await page.locator("#main").isHidden(), "figures without a token");
  check(await page.locator("#arm").isDisabled(), "arming without a token");
  check(await page.evaluate(() => document.activeElement.id === "token"), "the token's field has not the focus");
  for (const words of [...await axe(page), ...await page.evaluate(layout)]) wrong.push(`locked: ${words}`);
  await page.keyboard.type("not-the-token");
  await page.keyboard.press("Enter");
  await shows(page, "problem", "This is not the proxy's token.");
  check(await page.locator("#main").isHidden(), "figures with a wrong token");
  await page.getByLabel("Token").fill(about.token);
  await page.getByRole("button", { name: "Show the proxy" }).click();
  await shows(page, "state", "no rule");
  check(await page.locator("#login").isHidden(), "it still asks for the token");
  check(await page.locator("#problem").isHidden(), "it still complains");
  check((await page.getByLabel("Token").inputValue()) === "", "the token stays in its field");
  await page.reload();
  await shows(page, "state", "no rule");
  const other = await visit(browser, about, { expected: (text) => text.includes("401") });
  await shows(other, "login", "This proxy wants its token");
}

/** The proxy ends under the page, and the page says so. */
async function gone(browser, about) {
  const page = await visit(browser, about, { expected: (text) => text.includes("ERR_") });
  await shows(page, "state", "armed");
  process.kill(about.pid, "SIGTERM");
  await shows(page, "state", "not reachable");
  await shows(page, "problem", /The proxy does not answer\. The figures below are those of \d\d:\d\d:\d\d\./);
  for (const id of ["arm", "lift", "rotate", "stop"]) check(await page.locator(`#${id}`).isDisabled(), `${id} of a proxy that is gone`);
  for (const words of [...await axe(page), ...await page.evaluate(layout)]) wrong.push(`gone: ${words}`);
}

/** A request from outside of the browser. */
function fetchOf(url, headers = {}, method = "GET") {
  return new Promise((done, failed) => {
    http.request(url, { method, headers, agent: false }, (answer) => {
      let body = "";
      answer.on("data", (part) => { body += part; }).on("end", () => done({ status: answer.statusCode, body }));
    }).on("error", failed).end();
  });
}

/** A request to the shop through the edge that is plain TCP. */
function overTcp([host, port]) {
  return new Promise((done, failed) => {
    const socket = net.connect(port, host, () => socket.write("GET /api/products HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n"));
    socket.on("data", () => {}).on("close", done).on("error", failed);
  });
}

/** In milliseconds: only a bug takes so long. */
const PATIENCE = 60_000;
const SHOTS = ["proxy-1280-light.png", "proxy-1280-dark.png", "proxy-360-dark.png"];
const SHOT_HEIGHT = 1700;

end(main(...process.argv.slice(2)));
