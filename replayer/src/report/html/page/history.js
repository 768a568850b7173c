// The page of a history: which figures moved, a chart for figures of a kind with the runs in a row, the runs themselves.

/** What is drawn together: of each figure its name in the chart and its colour. The first lies on top. */
const KINDS = [
  { title: "Requests a second", figures: { "requests.rate": ["sent", "blue"] } },
  { title: "Failed requests, share of all", figures: {
    errors: ["failed", "red"], "failures.injected": ["injected", "orange"], "failures.origin": ["the origin's own", "purple"] } },
  { title: "Response latency, from when a request was due, logarithmic", log: true, figures: {
    "response.p99_9": ["p99.9", "purple"], "response.p99": ["p99", "red"], "response.p95": ["p95", "orange"],
    "response.mean": ["mean", "grey"], "response.p50": ["p50", "blue"] } },
  { title: "Service latency, from when a request was sent", figures: { "service.p99": ["p99", "teal"] } },
  { title: "Lateness of the generator", figures: { "lateness.p99": ["p99", "brown"] } },
  { title: "Processor of the generator, share of its threads", figures: { "generator.cpu_share": ["busy", "teal"] } },
  { title: "Memory of the generator", figures: { "generator.rss_peak": ["peak", "green"] } },
];

const UNITS = { us: time, share: percent, bytes, "1/s": (value) => (isNumber(value) ? `${number(value)}/s` : NONE) };
const inUnit = (unit) => UNITS[unit] || number;

/** The kinds that these runs have, and whatever figure is of none. */
function kindsOf(page) {
  const drawn = new Set();
  const line = (figure, [name, hue]) => {
    drawn.add(figure.name);
    return { ...figure, title: name, hue, moved: list(page.moved).find((moved) => moved.is_sure && moved.figure === figure.name) };
  };
  const known = KINDS.map((kind) => ({ ...kind, lines: Object.entries(kind.figures)
    .map(([name, look]) => [page.figures.find((figure) => figure.name === name), look])
    .filter(([figure]) => figure).map(([figure, look]) => line(figure, look)) }));
  const others = page.figures.filter((figure) => !drawn.has(figure.name))
    .map((figure) => ({ title: figure.name, lines: [line(figure, [figure.name, "grey"])] }));
  return [...known, ...others].filter((kind) => kind.lines.length > 0)
    .map((kind) => ({ ...kind, show: inUnit(kind.lines[0].unit) }));
}

const rowOf = (at) => `run-${at + 1}`;
const linkTo = (run, at) => el("a", { href: `#${rowOf(at)}`, text: run.run });
const placeOf = (page, tag) => page.runs.findIndex((run) => run.run === tag);
/** Month, day and minute of a run; the second where all runs are of one day. */
function clockOf(page) {
  const day = (run) => String(run.started).slice(0, 10);
  const oneDay = day(page.runs[0]) === day(page.runs.at(-1));
  return (run) => (oneDay ? String(run.started).slice(11, 19) : String(run.started).slice(5, 16).replace("T", " "));
}

function movedSection(page) {
  const all = list(page.moved);
  const sure = all.filter((moved) => moved.is_sure);
  const said = page.compared < page.least
    ? `Not known: ${number(page.compared)} runs can be compared, and it takes ${page.least}.`
    : sure.length === 0 ? `No figure moved over the ${number(page.compared)} runs that can be compared.`
      : `${sure.length} of ${all.length} figures moved over the ${number(page.compared)} runs that can be compared.`;
  const columns = [
    { title: "figure", value: (row) => row.figure, name: true, cell: (row) => breaking(row.figure) },
    { title: "at run", value: (row) => row.run, cell: (row) => linkTo(row, placeOf(page, row.run)) },
    { title: "before", value: (row) => row.before, show: (value, row) => inUnit(row.unit)(value), number: true },
    { title: "after", value: (row) => row.after, show: (value, row) => inUnit(row.unit)(value), number: true },
    { title: "relative", value: (row) => (row.before > 0 ? row.after / row.before - 1 : null), number: true,
      show: (value) => signed(percent(value), value) },
    { title: "p", value: (row) => row.p_corrected, show: (value) => (value < 0.001 ? "<0.001" : number(value)), number: true },
    column("runs before", "runs_before"), column("runs after", "runs_after"),
    { title: "started", value: (row) => row.started, show: date },
  ];
  return section("moved", "What moved", null, el("p", {}, el("strong", { text: said })),
    sure.length > 0 && table("Medians before and after", columns, sure, { sortable: true }),
    all.length > sure.length && behind("The other figures, and where they differ most", () => table("Figures whose differences may be chance", columns,
      all.filter((moved) => !moved.is_sure))),
    el("p", { class: "note", text: "One place a figure: the split of the row by which the ranks on its sides differ most, judged by rows in random "
      + "order (p, corrected for the number of figures). A single wild run moves nothing. Runs that did not go as planned are left out." }));
}

/** A chart for each kind, one cursor for all. */
function figuresSection(page) {
  const kinds = kindsOf(page);
  if (kinds.length === 0) return null;
  const drawn = [];
  const cursor = scrubber("Run", page.runs.length, (at) => {
    drawn.forEach((drawing) => drawing.point(at));
    const run = page.runs[at];
    return [pair("run", ""), linkTo(run, at), " ", badge(run.verdict), " ", pair("started", date(run.started)),
      ...kinds.flatMap((kind) => kind.lines.map((line) => pair(lineName(kind, line), kind.show(line.values[at]), line.hue)))];
  });
  cursor.className = "whole";
  const plots = kinds.map((kind) => el("figure", {}, el("figcaption", { text: kind.title }), key(kind.lines.map((line) => ({ ...line, name: line.title })))));
  const host = el("div", { class: "columns" }, plots, cursor);
  let place = page.runs.length - 1;
  const draw = () => {
    drawn.length = 0;
    kinds.forEach((kind, at) => {
      const drawing = runsDrawing(kind, page, Math.max(260, Math.floor(plots[at].clientWidth)));
      drawn.push(drawing);
      replaceDrawing(plots[at], drawing.node);
      const follow = (event) => {
        const under = drawing.x.inverse(event.clientX - drawing.node.getBoundingClientRect().left);
        cursor.move((place = Math.max(0, Math.min(page.runs.length - 1, Math.round(under)))));
      };
      drawing.node.addEventListener("pointermove", follow);
      drawing.node.addEventListener("click", (event) => {
        follow(event);
        location.hash = rowOf(place);
      });
    });
    cursor.move(place);
  };
  responsive(host, draw);
  return section("figures", "Figures, run by run", "The runs in a row, oldest first, each over its start (UTC). A hollow dot is a run that did not go as "
    + "planned. A dashed line marks where a figure moved, the broad strokes are its medians before and after. The slider below goes from run to run with the "
    + "arrow keys; a click on a chart leads to the run.", host, runsTable(page, kinds));
}

const lineName = (kind, line) => (kind.lines.length > 1 || line.title === line.name ? line.title : `${kind.title.split(",")[0].toLowerCase()}, ${line.title}`);

function runsDrawing(kind, page, width) {
  const { runs } = page;
  const values = kind.lines.flatMap((line) => line.values);
  const bounds = kind.log ? logBounds(values) : null;
  const ticks = kind.log ? logTicks(...bounds) : evenTicks(largest(values) || LEAST[kind.lines[0].unit] || 1, 3);
  const x = scale([-0.5, runs.length - 0.5], [MARGIN.left, width - MARGIN.right]);
  const [bottom, top] = [RUNS_HEIGHT - MARGIN.bottom, MARGIN.top];
  const y = scale(bounds || [0, ticks.at(-1)], [bottom, top], kind.log);
  const every = Math.max(1, Math.ceil((runs.length * DAY_WIDTH) / (width - MARGIN.left - MARGIN.right)));
  const days = runs.map((_, at) => at).filter((at) => at % every === 0);
  const rule = svg("line", { class: "cursor", y1: top, y2: bottom });
  const node = svg("svg", {
    class: "plot", role: "img", width, height: RUNS_HEIGHT, viewBox: `0 0 ${width} ${RUNS_HEIGHT}`, "aria-label": runsWords(kind, page),
  }, yAxis(y, ticks, width, kind.show), xAxis(x, days, RUNS_HEIGHT, width, (at) => clockOf(page)(runs[at])),
  [...kind.lines].reverse().map((line) => [movedMark(line, page, { x, y, top, bottom }), runsLine(line, runs, { x, y, show: kind.show })]), rule);
  const point = (at) => ["x1", "x2"].forEach((name) => rule.setAttribute(name, x(at)));
  return { node, x, point };
}

/** A line through the runs that went as planned, and a dot for each of all, where there is room for dots. */
function runsLine(line, runs, { x, y, show }) {
  const known = runs.map((_, at) => at).filter((at) => isNumber(line.values[at]));
  const through = known.filter((at) => runs[at].is_whole).map((at) => [x(at), y(line.values[at])]);
  const dots = x(1) - x(0) < DOT_ROOM ? [] : known.map((at) => svg("circle", {
    class: `dot ${line.hue} ${runs[at].is_whole ? "" : "hollow"}`, r: 3.5, cx: x(at).toFixed(1), cy: y(line.values[at]).toFixed(1) },
  svg("title", { text: `run ${runs[at].run}: ${line.title} ${show(line.values[at])}` })));
  return [svg("path", { class: `curve ${line.hue}`, d: path(through) }), dots];
}

function movedMark({ hue, moved }, page, { x, y, top, bottom }) {
  const at = moved ? placeOf(page, moved.run) : -1;
  if (at < 1) return [];
  const edge = x(at - 0.5);
  const level = (from, to, value) => svg("line", { class: `level ${hue}`, x1: from, x2: to, y1: y(value), y2: y(value) });
  return [level(x(-0.5), edge, moved.before), level(edge, x(page.runs.length - 0.5), moved.after),
    svg("line", { class: "mark", x1: edge, x2: edge, y1: top, y2: bottom })];
}

function runsWords(kind, page) {
  const lines = kind.lines.map((line) => {
    const values = line.values.filter(isNumber);
    const moved = line.moved ? `, moved at run ${line.moved.run}` : "";
    return `${line.title} from ${kind.show(values.reduce((least, value) => Math.min(least, value), Infinity))} to ${kind.show(largest(values))}, `
      + `${kind.show(values.at(-1))} at last${moved}`;
  });
  return `${kind.title} over ${page.runs.length} runs: ${lines.join("; ")}`;
}

function runsTable(page, kinds) {
  const lines = kinds.flatMap((kind) => kind.lines.map((line) => ({ ...line, show: kind.show, title: line.name })));
  return behind("Figures of these charts", () => table("All figures by run", [
    { title: "run", value: (at) => page.runs[at].run, name: true, brief: true },
    { title: "started", value: (at) => page.runs[at].started, show: date },
    ...lines.map((line) => ({ title: line.title, value: (at) => line.values[at], show: line.show, number: true })),
  ], page.runs.map((_, at) => at), { tall: true }));
}

/** Figures that have a column in the table of runs. */
const TOLD = { "requests.rate": "rate", errors: "failed", "response.p50": "p50", "response.p99": "p99", "lateness.p99": "lateness p99" };

function runsSection(page) {
  const told = page.figures.filter((figure) => TOLD[figure.name]);
  const rows = page.runs.map((run, at) => ({ ...run, at })).reverse();
  const box = table("The newest run first", [
    { title: "run", value: (row) => row.run, name: true, brief: true },
    { title: "started", value: (row) => row.started, show: date },
    { title: "verdict", value: (row) => row.verdict, cell: (row) => badge(row.verdict) },
    ...told.map((figure) => ({ title: TOLD[figure.name], value: (row) => figure.values[row.at], show: inUnit(figure.unit), number: true })),
    prose("finding", (row) => row.finding), prose("reason", (row) => row.reason),
  ], rows, { sortable: true, tall: true, id: (row) => rowOf(row.at) });
  return section("runs", "The runs", null, filtered(box, rows.length, {
    what: "runs", text: (row) => `${row.run} ${row.started} ${row.verdict} ${row.finding || ""} ${row.reason}`,
    only: { title: "only those that did not pass", test: (row) => row.verdict !== "pass" } }));
}

function planSection(page) {
  const { newest } = page;
  const last = page.runs.at(-1);
  const facts = [["plan", page.plan], ["shard", page.shard], ["capture", newest.capture], ["target", newest.target], ["seed", newest.seed], ["Squall", newest.squall],
    ["took", time(last.elapsed_us)]].filter(([, value]) => value).map(([name, value]) => ({ name, value }));
  const others = list(page.others).map(([plan, runs]) => ({ plan, runs }));
  const more = page.other_plans - others.length;
  return section("plan", "The plan", `Of the newest run, ${last.run}. Runs are compared where plan and shard are the same.`,
    list(newest.argv).length > 0 && [el("h3", { text: "Command line" }), copyable(list(newest.argv).map(quoted).join(" "), "the command line")],
    table("What ran", [{ title: "what", value: (row) => row.name, name: true }, words("value", "value")], facts),
    others.length > 0 && table(`Other plans in this history${more > 0 ? `, and ${number(more)} more` : ""}`, [
      { title: "plan", value: (row) => row.plan, name: true }, column("runs", "runs"),
      { title: "show it", value: (row) => row.plan, cell: (row) => el("code", { text: `squall report --history --plan ${row.plan}` }) }], others));
}

function start() {
  const page = JSON.parse(document.getElementById("data").textContent);
  const { newest, runs } = page;
  const [first, last] = [runs[0], runs.at(-1)].map((run) => date(run.started));
  const sections = [movedSection, figuresSection, runsSection, planSection].map((make) => build(make, page));
  const made = sections.map((one) => one.made).filter(Boolean);
  document.getElementById("main").replaceChildren(...made);
  frame(el("div", {}, el("h1", { text: `History of ${String(newest.capture).split("/").at(-1) || page.plan}` }),
    el("p", { class: "note", text: [`${number(runs.length)} runs`, `${first} to ${last}`, newest.target].filter(Boolean).join(" · ") })))(made);
  const words = ["Made by Squall from the records that replay --history keeps. This page asks nothing of any network."];
  if (page.unreadable > 0) words.push(`${number(page.unreadable)} records cannot be read.`);
  if (page.removed > 0) words.push(`${number(page.removed)} older runs made room: a history keeps ${number(page.kept)}.`);
  const broken = sections.filter((one) => one.failed).length;
  if (broken) words.push(`${broken} sections could not be read; the console says why.`);
  document.getElementById("foot").replaceChildren(el("div", {}, words.map((text) => el("p", { text }))));
}

/** Where the axis of a figure ends that was never more than nothing. */
const LEAST = { share: 0.01, us: 1000, bytes: 1e6 };
const RUNS_HEIGHT = 180;
/** Pixels that a date takes with its surroundings. */
const DAY_WIDTH = 92;
/** Pixels from run to run without which dots are one line. */
const DOT_ROOM = 7;

start();
