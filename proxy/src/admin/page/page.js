"use strict";
// The page of one proxy: reads its admin API once a second, and shows what it says. Nothing is kept but the last five minutes.

const byId = (id) => document.getElementById(id);
const SPAN_S = 300;
const history = []; // { at, seen, edges: { name: seen } }
let token = sessionStorage.getItem("squall-token") || "";
let timer = 0;
let turn = 0; // of the newest reading: what an older one brings is late
let shown = 0; // when the figures were read, in milliseconds
let complaint = ""; // what the last thing that was typed or pressed came to

async function ask(method, path) {
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method, headers, cache: "no-store" }).catch(() => {
    throw Object.assign(new Error("The proxy does not answer."), { isGone: true });
  });
  if (answer.status === 401) throw Object.assign(new Error("token"), { wantsToken: true });
  const text = await answer.text();
  if (!answer.ok) throw new Error(JSON.parse(text).error || `the proxy answered ${answer.status}`);
  return answer.headers.get("content-type").includes("ndjson")
    ? text.split("\n").filter(Boolean).map((line) => JSON.parse(line))
    : JSON.parse(text);
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++turn;
  try {
    const [status, books, ledger] = await Promise.all([ask("GET", "status"), ask("GET", "books"), ask("GET", "ledger?tail=20")]);
    if (mine !== turn) return;
    show(status, books, ledger);
  } catch (error) {
    if (mine !== turn) return;
    if (error.wantsToken) return wantToken();
    state("not reachable: is the proxy still running?", "warn");
    problem(`${error.message}${shown ? ` The figures below are those of ${clock(shown * 1000)}.` : ""}`);
    document.querySelectorAll("#main button, header button").forEach((button) => { button.disabled = true; });
  }
  timer = setTimeout(refresh, 1000);
}

async function act(path) {
  try {
    await ask("POST", path);
    complaint = "";
  } catch (error) {
    if (error.wantsToken) return wantToken();
    complaint = error.isGone ? "" : error.message; // refresh says that it is gone
  }
  refresh();
}

function wantToken() {
  turn++;
  clearTimeout(timer);
  byId("main").hidden = true;
  byId("login").hidden = false;
  state("locked", "warn");
  byId("arm").disabled = byId("lift").disabled = true;
  if (token) problem("This is not the proxy's token.");
  token = "";
  sessionStorage.removeItem("squall-token");
  byId("token").focus();
}

function show(status, books, ledger) {
  byId("login").hidden = true;
  byId("main").hidden = false;
  problem(complaint);
  shown = Date.now();
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
  else if (!count) state(`no rule: no fault fires${run}`, "calm");
  else if (!status.armed) state(`not armed: no fault fires${run}`, "calm");
  else state(`ARMED: ${count} ${count === 1 ? "rule" : "rules"}${run}`, "armed");
  byId("arm").disabled = status.armed || status.draining;
  byId("lift").disabled = !status.armed;
}

function remember(status, books) {
  const at = status.uptime_us / 1e6;
  if (history.length && at < history[history.length - 1].at) history.length = 0; // another process
  const edges = {};
  for (const edge of books.edges) edges[edge.name] = edge.seen;
  for (const edge of books.tcp_edges) edges[edge.name] = (edge.request.in + edge.response.in) / KILO;
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
  const { count, span_us: span, named } = status.sessions;
  figures("figures", [
    ["requests now", `${number(rate((point) => point.seen))}/s`],
    ["in flight", number(status.in_flight)],
    ["connections", `${number(status.limits.connections)} of ${number(status.limits.max_connections)}`],
    [`sessions, last ${duration(span)}`, named || count ? `${count < EXACT ? "" : "about "}${number(count)}` : "not counted"],
    ["requests seen", number(sum("seen"))],
    ["delivered", number(sum("delivered"))],
    ["ended by a rule", number(sum("short_circuited") + sum("dropped") + sum("cut"))],
    ["upstream failed", number(sum("upstream_failed") + sum("upstream_unreachable"))],
    ["under a fault now", number(status.faults_active)],
  ]);
  showCurve();
}

/** Requests a second; a pixel is a pixel, so that the letters keep their shape. */
function showCurve() {
  const [wide, left, right, top, low] = [byId("curve").clientWidth || 600, 62, 12, 14, 122];
  const rates = history.slice(1).map((point, at) => {
    const took = point.at - history[at].at;
    return { at: point.at, value: took > 0 ? (point.seen - history[at].seen) / took : 0 };
  });
  const most = round(Math.max(1, ...rates.map((point) => point.value)));
  const end = history[history.length - 1].at;
  const span = end - history[0].at <= 60 ? 60 : SPAN_S; // who has just come wants to see something
  byId("curve-words").textContent = `Requests a second over the last ${span < SPAN_S ? "minute" : "five minutes"}, as far as this page has been open.`;
  const x = (ago) => wide - right - (ago / span) * (wide - left - right);
  const y = (value) => low - (value / most) * (low - top);
  const [up, along] = [svg("g", { class: "scale" }), svg("g", { class: "scale" })];
  for (const value of [0, most / 2, most]) {
    up.append(svg("line", { x1: left, x2: wide - right, y1: y(value), y2: y(value) }));
    up.append(words(`${number(value)}/s`, { x: left - 6, y: y(value) + 4, "text-anchor": "end" }));
  }
  const ticks = span < SPAN_S ? [60, 45, 30, 15] : [300, 240, 180, 120, 60];
  for (const ago of wide < 500 ? ticks.filter((_, at) => at % 2 === 0 && at < 4) : ticks) {
    const time = span < SPAN_S ? `${ago} s` : `${ago / 60} min`;
    along.append(words(`\u2212${time}`, { x: x(ago), y: low + 18, "text-anchor": ago === span ? "start" : "middle" }));
  }
  along.append(words("now", { x: wide - right, y: low + 18, "text-anchor": "end" }));
  const line = svg("polyline", { points: rates.map((point) => `${x(end - point.at).toFixed(1)},${y(point.value).toFixed(1)}`).join(" ") });
  put(byId("curve"), [up, along, line]);
}

/** The next of 1, 2, 5, 10 and so on. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => value <= step * power);
}

/** Clients, edges and upstreams: side by side, or one below the other where there is no room. */
function showMap(status) {
  const edges = [
    ...status.edges.map((edge) => ({ ...edge, ups: edge.upstreams, says: (flow) => `${number(flow)} requests/s` })),
    ...status.tcp_edges.map((edge) => ({ ...edge, ups: [edge.upstream], says: (flow) => `${bytes(flow * KILO)}/s` })),
  ];
  const wide = byId("map").clientWidth || 900;
  const [parts, height] = wide < 720 ? below(edges, wide) : beside(edges, wide);
  const title = svg("title", {});
  title.textContent = edges.map((edge) => `${edge.name}: ${edge.listen} to ${edge.ups.join(", ")}`).join("; ") || "no edge";
  const map = svg("svg", { width: wide, height, viewBox: `0 0 ${wide} ${height}`, role: "img" });
  map.append(title, ...parts);
  put(byId("map"), [map]);
}

function beside(edges, wide) {
  const [from, edgeWide, gap] = [90, Math.round(wide * 0.32), Math.round(wide * 0.07)];
  const [edgeAt, upAt] = [from + gap, from + 2 * gap + edgeWide];
  const tall = (edge) => Math.max(80, edge.ups.length * 58);
  const height = Math.max(80, edges.reduce((sum, edge) => sum + tall(edge), 0));
  const parts = box(0, height / 2 - 20, from, ["clients"]);
  let y = 0;
  for (const edge of edges) {
    const middle = y + tall(edge) / 2;
    const flow = rate((point) => point.edges[edge.name] || 0);
    parts.push(wire(from, height / 2, edgeAt, middle, flow), ...box(edgeAt, middle - 34, edgeWide, edgeWords(edge, flow)));
    edge.ups.forEach((up, at) => {
      const place = y + ((at + 0.5) * tall(edge)) / edge.ups.length;
      parts.push(wire(edgeAt + edgeWide, middle, upAt, place, flow / edge.ups.length), ...box(upAt, place - 25, wide - upAt, upWords(edge, up, at, flow)));
    });
    y += tall(edge);
  }
  return [parts, height];
}

function below(edges, wide) {
  const parts = box(0, 0, 80, ["clients"]);
  let y = 40;
  for (const edge of edges) {
    const flow = rate((point) => point.edges[edge.name] || 0);
    parts.push(wire(10, 40, 24, y + 46, flow), ...box(24, y + 12, wide - 25, edgeWords(edge, flow)));
    const foot = y + 80;
    y = foot;
    edge.ups.forEach((up, at) => {
      parts.push(wire(34, foot, 52, y + 33, flow / edge.ups.length), ...box(52, y + 8, wide - 53, upWords(edge, up, at, flow)));
      y += 58;
    });
  }
  return [parts, y + 4];
}

const edgeWords = (edge, flow) => [`${edge.name}${edge.tls ? " (TLS)" : ""}${edge.enabled === false ? " (closed)" : ""}`,
  `${edge.listen}, ${number(edge.connections)} open`, edge.says(flow)];
const upWords = (edge, up, at, flow) => [up,
  edge.ups.length === 1 ? "all of it" : `${at + 1} of ${edge.ups.length}, about ${edge.says(flow / edge.ups.length)}`];

function box(x, y, width, lines) {
  const parts = [svg("rect", { x: x + 0.5, y: y + 0.5, width: width - 1, height: 8 + lines.length * 20 + (lines.length === 1 ? 12 : 0), rx: 6 })];
  lines.forEach((line, at) => {
    const style = { x: x + 10, y: y + (lines.length === 1 ? 25 : 20 + at * 19), class: at ? "dim" : "" };
    const fits = Math.floor((width - 20) / (at ? 6.6 : 7.2));
    const text = words(line.length > fits ? `${line.slice(0, fits - 1)}\u2026` : line, style);
    const title = svg("title", {});
    title.textContent = line;
    if (line.length > fits) text.append(title);
    parts.push(text);
  });
  return parts;
}

/** Along the way, then across: nothing is drawn over a box. */
function wire(x1, y1, x2, y2, flow) {
  const width = flow > 0 ? Math.min(8, 1 + Math.log10(1 + flow)) : 1;
  const d = x2 - x1 < 30 ? `M${x1} ${y1}V${y2}H${x2}` : `M${x1} ${y1}H${(x1 + x2) / 2}V${y2}H${x2}`;
  return svg("path", { d, "stroke-width": width.toFixed(1), class: flow > 0 ? "" : "idle" });
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
    return element("tr", {}, name, state, element("td", {}, button), cell(number(books.eligible || 0)), cell(number(books.applied || 0)),
      cell(number(total(books.suppressed || {}))), cell(share(books.asked_rate)),
      cell(books.units ? `${share(books.realised_rate)} (${share(books.rate_low)} to ${share(books.rate_high)})` : "not yet"));
  });
  fill("rules", rows, 8, "No rule is loaded. Start the proxy with --rules FILE, or send one: curl -T faults.toml ADMIN/rules");
  put(byId("guards"), status.guards.map((guard) => element("li", {}, guard.words)));
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
    element("td", {}, line.rule), element("td", {}, line.action), element("td", { class: "nowrap" }, asked(line.asked || "")),
    element("td", {}, line.applied ? "yes" : `no: ${(line.suppressed || "").replace("_", " ")}`),
    cell(line.actual_us ? duration(line.actual_us) : ""), element("td", { class: "nowrap" }, line.op || "")));
  fill("ledger", rows, 8, "No fault so far.");
}

function showBooks(books) {
  const requests = ["seen", "forwarded", "short_circuited", "dropped", "refused", "client_gone", "upstream_unreachable", "aborted",
    "upstream_attempts", "delivered", "cut", "upstream_failed", "client_gone_after", "recorded", "shed", "not_recorded"];
  const connections = ["accepted", "connecting", "connected", "refused", "dropped", "client_gone", "upstream_unreachable", "aborted",
    "open", "finished", "cut", "client_gone_after", "upstream_failed", "stopped"];
  const counted = (names) => names.map((name) => [name.replaceAll("_", " "), (edge) => number(total(edge[name]))]);
  sheet("books", books.edges, counted(requests));
  byId("tcp").hidden = !books.tcp_edges.length;
  sheet("tcp-books", books.tcp_edges, [...counted(connections),
    ["to the upstream", (edge) => bytes(edge.request.out)], ["to clients", (edge) => bytes(edge.response.out)]]);
}

/** A column for each edge. */
function sheet(id, edges, rows) {
  put(byId(`${id}-head`), [element("tr", {}, element("th", { scope: "col" }, "Row"),
    ...edges.map((edge) => element("th", { scope: "col", class: "number" }, edge.name)))]);
  const made = rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), ...edges.map((edge) => cell(value(edge)))));
  fill(id, edges.length ? made : [], 1, "No HTTP edge.");
}

function fill(id, rows, columns, nothing) {
  put(byId(id), rows.length ? rows : [element("tr", {}, element("td", { colspan: columns }, nothing))]);
}

function figures(id, pairs) {
  put(byId(id), pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/** Makes the children of a node look like these. In place: what has the focus, is selected or just being clicked stays. */
function put(parent, made) {
  made.forEach((next, at) => {
    const known = parent.childNodes[at];
    if (!known) return parent.append(next);
    if (known.nodeName !== next.nodeName) return known.replaceWith(next);
    if (known.nodeType === Node.TEXT_NODE) return known.data === next.data || (known.data = next.data);
    for (const { name } of [...known.attributes]) if (!next.hasAttribute(name)) known.removeAttribute(name);
    for (const { name, value } of next.attributes) if (known.getAttribute(name) !== value) known.setAttribute(name, value);
    put(known, [...next.childNodes]);
  });
  while (parent.childNodes.length > made.length) parent.lastChild.remove();
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

/** A text in a drawing. */
function words(text, attributes) {
  const made = svg("text", attributes);
  made.textContent = text;
  return made;
}

const KILO = 1000; // a request is drawn as wide as so many bytes
const EXACT = 20; // so few sessions are counted, more are estimated
const cell = (text) => element("td", { class: "number" }, text);
const total = (value) => (typeof value === "number" ? value : Object.values(value).reduce((sum, part) => sum + part, 0));
const number = (value) => (value < 10 && value % 1 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
const share = (value) => (value === null || value === undefined ? "" : `${(value * 100).toFixed(value < 0.01 ? 3 : 1)} %`);
const clock = (us) => new Date(us / 1000).toLocaleTimeString("en-GB");
const asked = (text) => text.replace(/\b(\d+)us\b/g, (_, us) => duration(Number(us)));
function bytes(count) {
  if (count < 10000) return `${number(count)} B`;
  return count < 1e6 ? `${number(count / 1e3)} KB` : `${number(count / 1e6)} MB`;
}
function duration(us) {
  if (us < 1000) return `${us} \u00b5s`;
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
  byId("token").value = "";
  sessionStorage.setItem("squall-token", token);
  problem("");
  refresh();
});
refresh();
