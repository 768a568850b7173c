// The sections between the charts and the end: routes, faults, sessions, the generator, the books, the record.

const routeColumns = (sent) => [
  { title: "route", value: (row) => row.route, name: true },
  column("requests", "requests"),
  { title: "of all", value: (row) => part(row.requests, sent), show: percent, number: true },
  column("failed", "failed"),
  { title: "failed share", value: (row) => part(row.failed, row.requests), number: true, cell: (row) => failedCell(row) },
  column("touched by rules", "injected"),
  ...["p50", "p90", "p95", "p99", "p99_9", "max"].map((name) =>
    ({ title: name.replace("_", "."), value: (row) => measured(row)[name], show: time, number: true })),
];

const measured = (row) => (row.response && row.response.count > 0 ? row.response : {});

function failedCell(row) {
  const share = part(row.failed, row.requests);
  return share > 0 ? el("span", { class: "bad", text: percent(share) }) : percent(share);
}

function routesSection(run) {
  const routes = list(run.routes);
  if (routes.length === 0) return null;
  const sent = sum(routes.map((row) => row.requests));
  const box = table("Response latency by route", routeColumns(sent), routes, { sortable: true, tall: true });
  const cohorts = list(run.cohorts);
  const cohortColumns = routeColumns(sent);
  cohortColumns[0] = { title: "cohort", value: (row) => row.cohort, name: true };
  return section("routes", "Routes", "A failed request was answered 429 or 5xx, or not at all. Latencies are responses, from when a request was due.",
    filtered(box, routes.length, { what: "routes", text: (row) => String(row.route),
      only: { title: "only with failures", test: (row) => row.failed > 0 } }),
    cohorts.length > 1 && table("By capture", cohortColumns, cohorts, { sortable: true }));
}

function injectedSection(run) {
  const { parts, total } = blame(run);
  const injected = counted(run.requests && run.requests.injected);
  if (injected.length === 0 && total === 0) return null;
  const of = (kinds) => sum(parts.filter(([kind]) => kinds.includes(kind)).map(([, count]) => count));
  const groups = [
    ["injected", of(["injected"]), "orange"], ["following from faults", of(["downstream"]), "purple"],
    ["organic: the origin's own, overload, the network", of(["origin", "overload", "network"]), "red"],
    ["the generator's own", of(["generator"]), "blue"], ["not to be told", of(["unexplained", "unknown"]), "grey"],
  ].filter(([name, count]) => count > 0 || name === "injected" || name.startsWith("organic"));
  return section("injected", "Injected against organic failures", "What the rules made, what followed from it, and what would have failed without them.",
    el("div", { class: "columns" },
      table("Failures", [
        { title: "failures", value: ([name]) => name, name: true },
        { title: "count", value: ([, count]) => count, number: true },
        { title: "share", value: ([, count]) => part(count, total), number: true,
          cell: ([, count, hue]) => [percent(total > 0 ? count / total : 0), meter(part(count, total), hue)] }], groups),
      injected.length > 0 && table("Answers and connections that a rule touched, delays among them", [
        { title: "rule", value: (row) => row.name, name: true }, column("touched", "count"),
        { title: "of sent", value: (row) => part(row.count, run.requests.sent), show: percent, number: true }], injected)));
}

function meter(share, hue = "blue") {
  const fill = el("i", { class: hue });
  fill.style.width = `${Math.min(100, Math.max(0, (share || 0) * 100))}%`;
  return el("span", { class: "meter", "aria-hidden": "true" }, fill);
}

function funnelSection(run) {
  const steps = list(run.funnel);
  if (steps.length === 0) return null;
  const first = steps[0].reached;
  return section("funnel", "Session funnel", "How many sessions got how far. Sessions of different lengths end at different steps; those that failed a step are counted there.",
    table("By step of the session", [
      { title: "step", value: (row) => row.step + 1, name: true, brief: true },
      { title: "mostly", value: (row) => row.route, cell: (row) => el("code", { text: row.route || NONE }) },
      { title: "reached", value: (row) => row.reached, number: true,
        cell: (row) => [number(row.reached), meter(part(row.reached, first), "blue")] },
      { title: "of the first", value: (row) => part(row.reached, first), show: percent, number: true },
      column("completed", "completed"),
      { title: "failed", value: (row) => row.failed, number: true,
        cell: (row) => [number(row.failed), meter(part(row.failed, row.reached), "red")] }], steps, { tall: true }));
}

function rulesSection(run) {
  const rules = list(run.rules);
  if (rules.length === 0) return null;
  const suppressed = (row) => counted(row.suppressed).map((why) => `${why.name}: ${number(why.count)}`).join(", ");
  const delay = (row) => `${time(row.delay.asked_mean_us)} asked, p99 ${time(row.delay.error_p99_us)} over`;
  return section("rules", "Rules, asked and realised", "As the proxy counted. The dot is the realised rate, the bar its 99.9 % interval over what the rule selects among, the stroke what was asked.",
    table("Rates are of what was eligible", [
      { title: "rule", value: (row) => row.id, name: true },
      { title: "outcome", value: (row) => row.missed || "", cell: (row) => (row.missed
        ? el("span", { class: "bad", text: row.missed }) : el("span", { class: "good", text: "as asked" })) },
      column("asked", "asked_rate", percent), column("realised", "realised_rate", percent),
      { title: "interval", value: (row) => row.rate_low, cell: (row) => (isNumber(row.rate_low)
        ? [rateDrawing(row), el("small", { class: "tight", text: `${percent(row.rate_low)} to ${percent(row.rate_high)}` })] : NONE) },
      column("eligible", "eligible"), column("selected", "selected"), column("applied", "applied"),
      { title: "suppressed", value: (row) => suppressed(row) || NONE },
      { title: "delay", value: (row) => row.delay && row.delay.actual_mean_us, cell: (row) => (row.delay && row.delay.count
        ? [`${time(row.delay.actual_mean_us)} on average`, el("br"), el("small", { class: "tight", text: delay(row) })] : NONE) },
    ], rules, { sortable: true }));
}

/** The interval as a bar, the realised rate as a dot, what was asked as a line. */
function rateDrawing(row) {
  if (!isNumber(row.rate_low) || !isNumber(row.asked_rate)) return NONE;
  const low = Math.min(row.rate_low, row.asked_rate);
  const high = Math.max(row.rate_high, row.asked_rate);
  const margin = (high - low) * 0.1 || 0.01;
  const x = scale([low - margin, high + margin], [2, 118]);
  const inside = row.rate_low <= row.asked_rate && row.asked_rate <= row.rate_high;
  return svg("svg", { role: "img", width: 120, height: 18, viewBox: "0 0 120 18", "aria-label": inside ? "inside" : "outside" },
    svg("line", { class: "axis", x1: x(row.rate_low), x2: x(row.rate_high), y1: 9, y2: 9, "stroke-width": 3 }),
    svg("line", { class: "cursor", x1: x(row.asked_rate), x2: x(row.asked_rate), y1: 1, y2: 17, "stroke-width": 2 }),
    svg("circle", { class: `dot ${inside ? "green" : "red"}`, cx: x(row.realised_rate), cy: 9, r: 4.5 }));
}

function certificateSection(run) {
  const generator = run.generator;
  if (!generator) return null;
  const { lateness = {}, gap_error: gap = {}, start_spread: starts = {}, wait = {} } = run.latency || {};
  const shape = run.shape || {};
  const sockets = run.connections || {};
  const degraded = list(generator.degraded);
  const distance = (value, of) => [`Distance of ${of}`, isNumber(value) ? round(value) : NONE, "0 is the same, 1 nothing alike"];
  return section("certificate", "The generator's own certificate", "How far off the generator itself was. What is wrong here is in the figures above.",
    el("p", { class: "verdict" }, el("span", { class: `badge ${degraded.length ? "warn" : "good"}`, text: degraded.length ? "degraded" : "as planned" }),
      degraded.length ? null : "It did what was planned."),
    degraded.length > 0 && el("ul", {}, degraded.map((text) => el("li", { text }))),
    list(generator.notes).length > 0 && el("ul", {}, list(generator.notes).map((text) => el("li", { text }))),
    tiles([
      ["Lateness, median", time(lateness.count ? lateness.p50 : null), "could go, to sent"],
      ["Lateness, p99", time(lateness.count ? lateness.p99 : null), `at most ${time(lateness.count ? lateness.max : null)}`],
      isNumber(generator.drift_us_per_s) && ["Drift", `${round(generator.drift_us_per_s)} µs/s`, "of the schedule"],
      ["Gaps off by, p99", time(gap.count ? gap.p99 : null), "actual against planned"],
      ["Starts off by, p99", time(starts.count ? starts.p99 : null), "sessions, planned to begun"],
      run.shape && distance(shape.inter_arrival_distance, "arrivals"),
      run.shape && distance(shape.mix_distance, "the mix of routes"),
      run.shape && distance(shape.length_distance, "session lengths"),
      ["Sockets, peak", number(generator.sockets_peak), `${number(sockets.opened)} opened, ${number(sockets.reused)} requests on used ones`],
      ["Waits for a connection", number(sockets.waited), `p99 ${time(wait.count ? wait.p99 : null)}`],
      ["Processor", isNumber(generator.cpu_share) && generator.cpu_share > 0 ? percent(generator.cpu_share) : NONE,
        `of ${number(generator.threads)} threads; ${time(generator.cpu_us)} in all`],
      ["Memory, peak", bytes(generator.rss_peak), "resident"],
      ["Held back", number(generator.held_back), "requests, by --max-rate"],
      ["Traffic", bytes((run.requests || {}).bytes_in), `in, ${bytes((run.requests || {}).bytes_out)} out`]]));
}

const STATES = { balanced: ["good", "balanced"], off: ["bad", "off"], unknown: ["quiet", "unknown"] };

function booksSection(run) {
  const rows = list(run.books && run.books.rows);
  if (rows.length === 0) return null;
  const never = counted(run.requests && run.requests.never_sent);
  return section("books", "The books", "Rows that must hold to the unit. A row that nobody observed is unknown, never balanced.",
    table(run.books.balanced ? "No row is off" : "A row is off: the run is invalid", [
      { title: "row", value: (row) => row.row, name: true }, column("left", "left"), column("right", "right"),
      { title: "state", value: (row) => row.state, cell: (row) => {
        const [hue, text] = STATES[row.state] || ["quiet", String(row.state)];
        return el("span", { class: `tag ${hue}`, text });
      } },
      words("note", "note")], rows),
    never.length > 0 && table("Never sent, by reason", [
      { title: "reason", value: (row) => row.name, name: true }, column("requests", "count")], never));
}

function repeatSection(run) {
  const repeat = run.repeat || {};
  const [spread, found, runs] = [list(repeat.spread), list(repeat.findings), list(repeat.runs)];
  if (spread.length === 0) return null;
  const show = (value, row) => (row.unit === "us" ? time(value) : row.unit === "share" ? percent(value) : row.unit === "bytes" ? bytes(value)
    : row.unit === "1/s" ? `${number(value)}/s` : `${number(value)} ${row.unit || ""}`);
  const few = spread.some((row) => row.interval) ? "" : " They are too few for an interval of the median.";
  return section("repeat", "Spread over repetitions", `The same plan ${number(runs.length)} times: what differs by less than this is a fluke.${few} `
      + `The rest of the page is of run ${repeat.shown ?? NONE}.`,
    table("Figures over all repetitions", [
      { title: "figure", value: (row) => row.figure, name: true, cell: (row) => breaking(row.figure) }, column("least", "min", show), column("median", "median", show),
      column("most", "max", show), { title: "interval of the median", value: (row) => row.interval && row.interval.low, number: true,
        cell: (row) => (row.interval ? `${show(row.interval.low, row)} to ${show(row.interval.high, row)}` : NONE) },
      column("coefficient of variation", "cv", percent)], spread, { sortable: true }),
    found.length > 0 && table("Found in some of the runs or in all: a fluke or a pattern", [
      { title: "what", value: (row) => row.what, name: true }, words("kind", "kind"),
      { title: "in runs", value: (row) => list(row.runs).length, number: true,
        cell: (row) => `${list(row.runs).length} of ${runs.length}` }], found, { sortable: true }),
    table("The runs", [{ title: "run", value: (row) => row.run, name: true, brief: true },
      { title: "verdict", value: (row) => row.verdict, cell: (row) => badge(row.verdict) }, prose("reason", (row) => row.reason)], runs, { tall: true }));
}

function linksSection(run) {
  const links = list(run.links);
  if (links.length === 0) return null;
  return section("links", "Links", "Values that clones took from their own answers into later requests. Where an answer lacked one, the recorded value was sent.",
    table("By link", [
      { title: "from", value: (row) => row.from, name: true }, words("to", "to"), column("own value sent", "used"),
      column("recorded value sent", "missed"),
      { title: "lacking", value: (row) => part(row.missed, sum([row.used, row.missed])), show: percent, number: true }], links, { sortable: true, tall: true }));
}

function recordSection(run) {
  const rules = run.faults && run.faults.rules_file;
  const plan = run.plan || {};
  const facts = [["Squall", run.squall], ["started", run.started && date(run.started)], ["capture", plan.capture], ["target", plan.target], ["seed", run.seed],
    ["plan", run.plan_hash], ["shard", run.shard], ["run", run.run],
    ["amplified", isNumber(plan.amplify) ? `${round(plan.amplify)}x` : null], ["speed", plan.speed === 0 ? "as fast as answers come" : `${round(plan.speed || 0)}x`],
    ["profile", plan.profile]].filter(([, value]) => value).map(([name, value]) => ({ name, value }));
  return section("record", "What made this run", null,
    el("h3", { text: "Command line" }), copyable(list(run.argv).map(quoted).join(" "), "the command line"),
    table("The plan", [{ title: "what", value: (row) => row.name, name: true }, words("value", "value")], facts),
    el("h3", { text: "Rule file" }),
    rules ? el("pre", { tabindex: "0", role: "region", "aria-label": "Rule file" }, rules)
      : el("p", { class: "note", text: "No rule file is in this run.json: no proxy was asked, or it had no rules." }));
}
