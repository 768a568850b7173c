// Elements and figures. Text only ever enters the page as text: what a run.json says is never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; `text` sets its text, `on…` a listener, children may be strings or null. */
function el(name, attributes = {}, ...children) {
  return dressed(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, name), attributes, children);
}

function dressed(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const list = (value) => (Array.isArray(value) ? value : []);
const entries = (value) => Object.entries(value && typeof value === "object" ? value : {});
const sum = (values) => values.reduce((all, value) => all + (isNumber(value) ? value : 0), 0);
const largest = (values) => values.reduce((most, value) => (isNumber(value) && value > most ? value : most), 0);
const NONE = "–";

/** A count or a plain figure: thousands apart, as many digits as say something. */
function number(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

/** A share of 1 as percent. */
function percent(share) {
  if (!isNumber(share)) return NONE;
  const value = share * 100;
  const size = Math.abs(value);
  if (size > 0 && size < 0.001) return value > 0 ? "<0.001 %" : ">-0.001 %";
  const digits = value === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
  return `${Number(value.toFixed(digits))} %`;
}

const part = (count, all) => (all > 0 ? count / all : NaN);

/** Microseconds in the unit that suits them. */
function time(us) {
  if (!isNumber(us)) return NONE;
  const size = Math.abs(us);
  if (size < 1000) return `${round(us)} µs`;
  if (size < 1e6) return `${round(us / 1e3)} ms`;
  if (size < 120e6) return `${round(us / 1e6)} s`;
  return size < 7200e6 ? `${round(us / 60e6)} min` : `${round(us / 3600e6)} h`;
}

function round(value) {
  const size = Math.abs(value);
  return String(Number(value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2)));
}

/** A moment of the run. */
function moment(us) {
  if (!isNumber(us)) return NONE;
  const seconds = us / 1e6;
  if (seconds < 60) return `${round(seconds)} s`;
  const pad = (value) => String(Math.floor(value)).padStart(2, "0");
  const minutes = Math.floor(seconds / 60) % 60;
  return seconds < 3600
    ? `${minutes}:${pad(seconds % 60)} min`
    : `${Math.floor(seconds / 3600)}:${pad(minutes)}:${pad(seconds % 60)} h`;
}

/** A date as run.json has it, to the second. */
const date = (text) => String(text).replace(/^(\d+-\d+-\d+)T(\d+:\d+:\d+)(\.\d+)?Z$/, "$1 $2 UTC");

function bytes(value) {
  if (!isNumber(value)) return NONE;
  if (value < 0) return `-${bytes(-value)}`;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${round(value)} ${units[unit]}`;
}

/** A difference with its sign. */
const signed = (text, value) => (value > 0 ? `+${text}` : text);

/** Tells two or more things apart by colour, in this order. */
const HUES = ["blue", "orange", "green", "purple", "red", "teal", "brown", "grey"];

const EXPLAINED = {
  injected: ["injected", "orange", "made by a rule, on this very request"],
  downstream: ["following from faults", "purple", "not touched itself, but in a session or a window that a fault had hurt"],
  origin: ["origin's own", "red", "the origin answered so by itself"],
  overload: ["overload", "teal", "they come and go with the rate or the latency"],
  network: ["proxy or network", "brown", "errors of the proxy itself, and connections that failed without a rule"],
  generator: ["ours", "blue", "the generator's own: aborted by us, or out of ports or files"],
  unexplained: ["unexplained", "grey", "nothing that was observed explains them"],
  unknown: ["not to be told", "grey", "a bounded list was full"],
  slow_drift: ["slow drift", "teal", "a figure moved over the whole run"],
  response_drift: ["response drift", "brown", "answers differ from the recording beyond the noise"],
};

const explained = (kind) => EXPLAINED[kind] || [String(kind), "grey", ""];

const VERDICTS = { pass: "good", fail: "bad", invalid: "bad", stopped: "bad", degraded: "warn", interrupted: "warn" };

const badge = (verdict, big) =>
  el("span", { class: `badge ${big ? "big" : ""} ${VERDICTS[verdict] || ""}`, text: verdict || "unknown" });

/** A section of the page; `about` says what is to be seen. */
function section(id, title, about, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title`, text: title }), about && el("p", { class: "note", text: about }), ...children);
}

const tiles = (pairs) =>
  el("dl", { class: "tiles" }, pairs.filter(Boolean).map(([name, value, note]) =>
    el("div", {}, el("dt", { text: name }), el("dd", {}, value, note && el("small", { text: note })))));

/** As a shell takes it. */
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** A command or a file that can be copied; where the browser does not let us, it is selected. */
function copyable(text, what) {
  const code = el("code", { text });
  const said = el("span", { class: "sr", role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      said.textContent = button.textContent = "Selected";
    }
  };
  const button = el("button", { type: "button", onclick: copy, "aria-label": `Copy ${what}`, text: "Copy" });
  return el("div", { class: "command" }, code, button, said);
}

/** What stands behind a chart, made when it is opened. */
function behind(title, build) {
  const details = el("details", {}, el("summary", { text: title }));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(build());
  });
  return details;
}
