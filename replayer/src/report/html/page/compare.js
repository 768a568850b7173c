// Two or more runs side by side. The intervals were computed when the report was made; here they are put into words.

const JUDGED = { noise: ["quiet", "noise"], worse: ["bad", "worse"], better: ["good", "better"], higher: ["warn", "higher"],
  lower: ["warn", "lower"], unknown: ["quiet", "too few"] };

const judged = (row) => {
  const [hue, text] = JUDGED[row.judged] || JUDGED.unknown;
  return el("span", { class: `tag ${hue}`, text });
};

const shownIn = (unit) => (unit === "us" ? time : unit === "share" ? percent : number);

/** From run to run; shares in points. */
function difference(row, value) {
  if (!isNumber(value)) return "unbounded";
  const text = row.unit === "share" ? percent(value).replace(" %", " points") : shownIn(row.unit)(value);
  return signed(text, value);
}

const relative = (row) => (row.base > 0 && isNumber(row.difference) ? row.difference / row.base : null);

const comparedColumns = (first) => [
  ...first,
  { title: "base", value: (row) => row.base, show: (value, row) => shownIn(row.unit)(value), number: true },
  { title: "other", value: (row) => row.other, show: (value, row) => shownIn(row.unit)(value), number: true },
  { title: "difference", value: (row) => row.difference, show: (value, row) => difference(row, value), number: true },
  { title: "relative", value: relative, show: (value) => signed(percent(value), value), number: true },
  { title: "interval", value: (row) => row.low, number: true, cell: (row) => (row.judged === "unknown" && !isNumber(row.low) ? NONE
    : `${difference(row, row.low)} to ${difference(row, row.high)}`) },
  { title: "judged", value: (row) => row.judged, cell: judged },
];

function compareSection(page) {
  const pairs = list(page.compare);
  if (pairs.length === 0) return null;
  const names = page.runs.map((run) => run.name);
  const overview = table("The runs; the first is the base", [
    { title: "run", value: ({ name }) => name, name: true },
    { title: "verdict", value: ({ run }) => run.verdict, cell: ({ run }) => badge(run.verdict) },
    { title: "sent", value: ({ run }) => run.requests.sent, number: true },
    { title: "failed", value: ({ run }) => part(run.failures.total, run.requests.sent), show: percent, number: true },
    { title: "p50", value: ({ run }) => run.latency.response.p50, show: time, number: true },
    { title: "p99", value: ({ run }) => run.latency.response.p99, show: time, number: true },
    prose("reason", ({ run }) => run.reason),
  ], page.runs);
  const curves = curveChart(page.runs.map((run, at) => ({
    name: run.name, hue: HUES[at % HUES.length], dashed: at % 2 === 1, latency: run.run.latency && run.run.latency.response })),
  "Response of each run by percentile");
  const shown = el("div", {});
  const choice = el("select", { id: "other-run" }, pairs.map((pair, at) => el("option", { value: at, text: names[pair.run] })));
  const show = () => shown.replaceChildren(...comparedWith(pairs[Number(choice.value)], names, page));
  choice.addEventListener("change", show);
  show();
  return section("compare", "Compared", null, overview, curves,
    el("div", { class: "tools" }, el("label", { for: "other-run", text: `Compared with ${names[0]}:` }), choice), shown,
    el("p", { class: "note", text: page.method }));
}

const isReal = (row) => !["noise", "unknown"].includes(row.judged);

/** How many differences there are, and the first of them. */
function differences(rows, what, name) {
  const real = rows.filter(isReal);
  const first = real.slice(0, 6).map((row) => `${name(row)} ${difference(row, row.difference)}`).join(", ");
  return `${real.length} of ${rows.length} ${what} differ${real.length > 0 ? `: ${first}${real.length > 6 ? ", …" : ""}` : ""}`;
}

/** A figure of a route may differ where the whole does not show it. */
function pairWords(pair, names) {
  if (![...pair.figures, ...pair.routes].some(isReal)) return `No figure of ${names[pair.run]} differs from ${names[0]} by more than noise.`;
  const whole = differences(pair.figures, "figures of the whole", (row) => row.figure);
  const routes = pair.routes.length > 0 && differences(pair.routes, "figures of routes", (row) => `${row.route} ${row.figure}`);
  return `By more than noise ${[whole, routes].filter(Boolean).join("; ")}.`;
}

function comparedWith(pair, names, page) {
  const said = pairWords(pair, names);
  const figures = table(`Figures, with ${percent(page.confidence)} intervals of the difference`,
    comparedColumns([{ title: "figure", value: (row) => row.figure, name: true }]), pair.figures, { sortable: true });
  const notes = list(pair.notes).map((text) => el("p", { class: "warn", text }));
  if (pair.routes.length === 0) return [el("p", {}, el("strong", { text: said })), ...notes, figures];
  const box = table(`Routes, with intervals that hold for all rows together at ${percent(page.confidence)}`,
    comparedColumns([{ title: "route", value: (row) => row.route, name: true }, words("figure", "figure")]),
    pair.routes, { sortable: true, tall: true });
  return [el("p", {}, el("strong", { text: said })), ...notes, figures, filtered(box, pair.routes.length, {
    what: "differences", text: (row) => `${row.route} ${row.figure} ${row.judged}`,
    only: { title: "without noise", test: isReal } })];
}
