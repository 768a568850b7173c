"use strict";
// The page of one proxy: reads its admin API once a second, and shows what it says. Nothing is kept but the last five minutes.

const byId = (id) => document.getElementById(id);
const SPAN_S = 300;
const history = []; // { at, seen, edges: { name: seen } }
let token = sessionStorage.getItem("squall-token") || "";
let timer = 0;
let complaint = ""; // what the last thing that was typed or pressed came to

async function ask(method, path) {
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method, headers, cache: "no-store" });
  if (answer.status === 401) throw Object.assign(new Error("token"), { wantsToken: true });
  const text = await answer.text();
  if (!answer.ok) throw new Error(JSON.parse(text).error || `the proxy answered ${answer.status}`);
  return answer.headers.get("content-type").includes("ndjson")
    ? text.split("\n").filter(Boolean).map((line) => JSON.parse(line))
    : JSON.parse(text);
}

async function refresh() {
  try {
    const [status, books, ledger] = await Promise.all([ask("GET", "status"), ask("GET", "books"), ask("GET", "ledger?tail=20")]);
    show(status, books, ledger);
  } catch (error) {
    if (error.wantsToken) return wantToken();
    state("not reachable: is the proxy still running?", "warn");
    problem(String(error.message || error));
  }
  timer = setTimeout(refresh, 1000);
}

async function act(path) {
  try {
    await ask("POST", path);
    complaint = "";
  } catch (error) {
    if (error.wantsToken) return wantToken();
    complaint = error.message;
  }
  clearTimeout(timer);
  refresh();
}

function wantToken() {
  byId("main").hidden = true;
  byId("login").hidden = false;
  state("locked", "warn");
  if (token) problem("This is not the proxy's token.");
  token = "";
  sessionStorage.removeItem("squall-token");
  byId("token").focus();
}

function show(status, books, ledger) {
  byId("login").hidden = true;
  byId("main").hidden = false;
  problem(complaint);
  remember(status, books);
  showState(status);
  showTraffic(status, books);
  showMap(status);
  showRules(status);
  showRecording(status, books);
  showLedger(ledger);
  showBooks(books);
  byId("foot").textContent =
    `Squall ${status.version}, process ${status.pid}, up ${duration(status.uptime_us)}, seed ${status.seed}, rules generation ${status.generation}`;
}

function showState(status) {
  const count = status.rules.count;
  const run = status.run ? `; replay ${status.run.run} is running since ${duration(status.run.running_us)}` : "";
  if (status.draining) state("stopping: what is in flight may finish", "warn");
  else if (status.lifted) state(`LIFTED: ${status.lifted}${run}`, "warn");
  else if (!status.armed) state(`not armed: no fault fires${run}`, "calm");
  else state(`ARMED: ${count} ${count === 1 ? "rule" : "rules"}${run}`, count ? "armed" : "calm");
  byId("arm").disabled = status.armed || status.draining;
  byId("lift").disabled = !status.armed;
}

function remember(status, books) {
  const at = status.uptime_us / 1e6;
  if (history.length && at < history[history.length - 1].at) history.length = 0; // another process
  const edges = {};
  for (const edge of books.edges) edges[edge.name] = edge.seen;
  for (const edge of books.tcp_edges) edges[edge.name] = edge.request.in + edge.response.in;
  history.push({ at, edges, seen: books.edges.reduce((sum, edge) => sum + edge.seen, 0) });
  while (history.length > 2 && history[1].at < at - SPAN_S) history.shift();
}

function rate(value) {
  const [newest, before] = [history[history.length - 1], history[Math.max(0, history.length - 4)]];
  const span = newest.at - before.at;
  return span > 0 ? (value(newest) - value(before)) / span : 0;
}

function showTraffic(status, books) {
  const sum = (name) => books.edges.reduce((all, edge) => all + total(edge[name]), 0);
  const injected = sum("short_circuited") + sum("dropped") + sum("cut");
  figures("figures", [
    ["requests a second", number(rate((point) => point.seen))],
    ["in flight", number(status.in_flight)],
    ["connections", `${number(status.limits.connections)} of ${number(status.limits.max_connections)}`],
    ["requests seen", number(sum("seen"))],
    ["delivered", number(sum("delivered"))],
    ["ended by a rule", number(injected)],
    ["upstream failed", number(sum("upstream_failed") + sum("upstream_unreachable"))],
    ["under a fault now", number(status.faults_active)],
  ]);
  const points = [];
  let top = 1;
  for (let at = 1; at < history.length; at++) {
    const span = history[at].at - history[at - 1].at;
    const value = span > 0 ? (history[at].seen - history[at - 1].seen) / span : 0;
    top = Math.max(top, value);
    points.push([history[at].at, value]);
  }
  const end = history[history.length - 1].at;
  const line = points.map(([at, value]) => `${(600 - ((end - at) / SPAN_S) * 600).toFixed(1)},${(116 - (value / top) * 108).toFixed(1)}`);
  byId("curve").replaceChildren(svg("polyline", { points: line.join(" ") }));
  byId("curve-words").textContent = `requests a second, last 5 minutes; top of the scale ${number(top)}/s`;
}

function showMap(status) {
  const edges = [
    ...status.edges.map((edge) => ({ ...edge, unit: "requests/s", ups: edge.upstreams })),
    ...status.tcp_edges.map((edge) => ({ ...edge, unit: "bytes/s", ups: [edge.upstream] })),
  ];
  const rows = edges.reduce((sum, edge) => sum + Math.max(1, edge.ups.length), 0);
  const height = rows * 76 + 10;
  const map = svg("svg", { viewBox: `0 0 900 ${height}`, role: "img" });
  const title = svg("title", {});
  title.textContent = edges.map((edge) => `${edge.name}: ${edge.listen} to ${edge.ups.join(", ")}`).join("; ");
  map.append(title);
  box(map, 0, height / 2 - 24, 110, ["clients"]);
  let y = 5;
  for (const edge of edges) {
    const tall = Math.max(1, edge.ups.length) * 76;
    const middle = y + tall / 2;
    const flow = rate((point) => point.edges[edge.name] || 0);
    wire(map, 110, height / 2, 300, middle, flow);
    box(map, 300, middle - 33, 250, [`${edge.name}${edge.tls ? " (TLS)" : ""}${edge.enabled === false ? " (closed)" : ""}`,
      `${edge.listen}, ${number(edge.connections)} open`, `${number(flow)} ${edge.unit}`]);
    edge.ups.forEach((up, at) => {
      const place = y + at * 76 + 38;
      wire(map, 550, middle, 640, place, flow);
      box(map, 640, place - 24, 255, [up]);
    });
    y += tall;
  }
  byId("map").replaceChildren(map);
}

function box(map, x, y, width, words) {
  map.append(svg("rect", { x, y, width, height: words.length === 1 ? 48 : 66, rx: 6 }));
  words.forEach((word, at) => {
    const text = svg("text", { x: x + 10, y: y + (words.length === 1 ? 29 : 20 + at * 18), class: at ? "dim" : "" });
    text.textContent = word.length > 34 ? `${word.slice(0, 33)}…` : word;
    map.append(text);
  });
}

function wire(map, x1, y1, x2, y2, flow) {
  const width = flow > 0 ? Math.min(8, 1 + Math.log10(1 + flow)) : 1;
  map.append(svg("line", { x1, y1, x2, y2, "stroke-width": width.toFixed(1), class: flow > 0 ? "" : "idle" }));
}

function showRules(status) {
  const rules = status.rules;
  byId("rules-words").textContent = rules.file ? `from ${rules.file}, loaded ${clock(rules.loaded_at_us)}` : "from the command line or the admin API";
  byId("rules-error").hidden = !rules.error;
  byId("rules-error").textContent = rules.error ? `The file has changed and was refused; the rules before are in force.\n${rules.error.text || rules.error.message}` : "";
  const rows = rules.list.map((rule) => {
    const books = rule.books || {};
    const name = element("td", {}, rule.id, element("small", {}, rule.words));
    const turn = rule.opens_in_us ? `opens in ${duration(rule.opens_in_us)}` : rule.closes_in_us ? `closes in ${duration(rule.closes_in_us)}` : "";
    const state = element("td", { class: `nowrap ${rule.state}` }, rule.state.replace("_", " "), element("small", {}, turn));
    const button = element("button", { type: "button", class: "danger", "data-lift": rule.id, "aria-label": `Lift ${rule.id}` }, "Lift");
    button.disabled = rule.state === "lifted" || rule.state === "not_armed";
    return element("tr", {}, name, state, cell(number(books.eligible || 0)), cell(number(books.applied || 0)),
      cell(number(total(books.suppressed || {}))), cell(share(books.asked_rate)),
      cell(books.units ? `${share(books.realised_rate)} (${share(books.rate_low)} to ${share(books.rate_high)})` : "not yet"),
      element("td", {}, button));
  });
  fill("rules", rows, 8, "No rule is loaded. Start the proxy with --rules FILE, or send one: curl -T faults.toml ADMIN/rules");
  byId("guards").replaceChildren(...status.guards.map((guard) => element("li", {}, guard.words)));
}

function showRecording(status, books) {
  const recording = status.recording;
  byId("rotate").disabled = byId("stop").disabled = !recording || recording.state !== "recording";
  if (!recording) {
    byId("recording-words").textContent = "Nothing is recorded. Start the proxy with --record FILE.";
    return figures("recording", []);
  }
  byId("recording-words").textContent = `${recording.state} to ${recording.file}${recording.error ? `: ${recording.error}` : ""}`;
  const shed = {};
  for (const edge of books.edges) for (const [why, count] of Object.entries(edge.shed)) shed[why] = (shed[why] || 0) + count;
  const because = Object.entries(shed).map(([why, count]) => `${number(count)} ${why}`).join(", ");
  figures("recording", [
    ["recorded", number(recording.recorded)],
    ["shed", because || number(recording.shed)],
    ["sessions shed", number(recording.shed_sessions)],
    ["waiting to be written", bytes(recording.queued_bytes)],
    ["a crash costs at most", `${duration(recording.loss_window_us)} or ${bytes(recording.loss_window_bytes)}`],
  ]);
}

function showLedger(lines) {
  const rows = lines.reverse().map((line) => element("tr", {}, element("td", { class: "nowrap" }, clock(line.t_us)), element("td", {}, line.edge),
    element("td", {}, line.rule), element("td", {}, line.action), element("td", {}, line.asked || ""),
    element("td", {}, line.applied ? "yes" : `no: ${(line.suppressed || "").replace("_", " ")}`),
    cell(line.actual_us ? duration(line.actual_us) : ""), element("td", { class: "nowrap" }, line.op || "")));
  fill("ledger", rows, 8, "No fault so far.");
}

function showBooks(books) {
  const names = books.edges.map((edge) => edge.name);
  byId("books-head").replaceChildren(element("tr", {}, element("th", { scope: "col" }, "Row"),
    ...names.map((name) => element("th", { scope: "col", class: "number" }, name))));
  const rows = ["seen", "forwarded", "short_circuited", "dropped", "refused", "client_gone", "upstream_unreachable", "aborted",
    "upstream_attempts", "delivered", "cut", "upstream_failed", "client_gone_after", "recorded", "shed", "not_recorded"];
  fill("books", rows.map((row) => element("tr", {}, element("th", { scope: "row" }, row.replaceAll("_", " ")),
    ...books.edges.map((edge) => cell(number(total(edge[row]))))))
  , names.length + 1, "No HTTP edge.");
}

function fill(id, rows, columns, nothing) {
  byId(id).replaceChildren(...(rows.length ? rows : [element("tr", {}, element("td", { colspan: columns }, nothing))]));
}

function figures(id, pairs) {
  byId(id).replaceChildren(...pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

function state(words, kind) {
  if (byId("state").textContent !== words) byId("state").textContent = words;
  byId("state").className = `state ${kind}`;
}

function problem(words) {
  byId("problem").textContent = words;
  byId("problem").hidden = !words;
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const cell = (words) => element("td", { class: "number" }, words);
const total = (value) => (typeof value === "number" ? value : Object.values(value).reduce((sum, part) => sum + part, 0));
const number = (value) => (value < 10 && value % 1 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
const share = (value) => (value === null || value === undefined ? "" : `${(value * 100).toFixed(value < 0.01 ? 3 : 1)} %`);
const clock = (us) => new Date(us / 1000).toLocaleTimeString("en-GB");
function bytes(count) {
  if (count < 10000) return `${number(count)} B`;
  return count < 1e7 ? `${number(count / 1e3)} KB` : `${number(count / 1e6)} MB`;
}
function duration(us) {
  if (us < 1000) return `${us} us`;
  if (us < 1e6) return `${(us / 1e3).toFixed(1)} ms`;
  const seconds = us / 1e6;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

byId("arm").addEventListener("click", () => act("arm"));
byId("lift").addEventListener("click", () => act("lift"));
byId("rotate").addEventListener("click", () => act("recording/rotate"));
byId("stop").addEventListener("click", () => act("recording/stop"));
byId("rules").addEventListener("click", (event) => {
  const rule = event.target.closest("[data-lift]");
  if (rule) act(`lift/${encodeURIComponent(rule.dataset.lift)}`);
});
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem("squall-token", token);
  problem("");
  refresh();
});
refresh();
