// The course of the run: panels that share one axis of time, the fault windows drawn on all of them.

const PANEL_HEIGHT = 150;

/** The series by column, and what belongs to it. */
function courseOf(run) {
  const series = run.series || {};
  const t = list(series.t_us);
  const step = run.series_step_us || (t.length > 1 ? t[1] - t[0] : 1e6);
  const end = Math.max(t.length ? t.at(-1) + step : 0, run.elapsed_us && t.length < 2 ? run.elapsed_us : 0);
  return { t, step, end, columns: series, windows: windowsOf(run, end), marks: marksOf(run, end) };
}

/** Fault windows by rule, those that are open at the end closed there. */
function windowsOf(run, end) {
  return list(run.faults && run.faults.windows)
    .filter((window) => isNumber(window.from_us) && window.from_us < end)
    .map((window) => ({
      ...window,
      from: Math.max(0, window.from_us),
      to: Math.min(end, isNumber(window.until_us) ? window.until_us : end),
    }));
}

const marksOf = (run, end) => list(run.guards)
  .filter((guard) => isNumber(guard.tripped_at_us) && guard.tripped_at_us <= end)
  .map((guard) => ({ at: guard.tripped_at_us, what: `guard ${guard.name} tripped` }));

function panelsOf({ columns, step }) {
  const rate = (name) => columns[name] && columns[name].map((count) => (isNumber(count) ? (count * 1e6) / step : count));
  const answered = (name) => columns[name] && columns[name].map((us, at) => ((columns.answered || [])[at] === 0 ? null : us));
  const perSecond = (value) => `${number(value)}/s`;
  return [
    { title: "Load, requests a second", show: perSecond, lines: [
      { name: "planned", hue: "grey", dashed: true, values: rate("planned") },
      { name: "sent", hue: "blue", values: rate("sent") },
      { name: "answered", hue: "green", values: rate("answered") }] },
    { title: "Latency of answers, logarithmic", show: time, log: true, lines: [
      { name: "p99", hue: "red", values: answered("p99") },
      { name: "p90", hue: "orange", values: answered("p90") },
      { name: "p50", hue: "blue", values: answered("p50") }] },
    { title: "Failures and faults, requests a second", show: perSecond, lines: [
      { name: "failed", hue: "red", values: rate("failed") },
      { name: "touched by a rule", hue: "orange", values: rate("injected") },
      { name: "5xx", hue: "purple", dashed: true, values: rate("status.5xx") },
      { name: "4xx", hue: "teal", dashed: true, values: rate("status.4xx") }] },
    { title: "Sessions alive", show: number, unit: "sessions", lines: [{ name: "sessions", hue: "purple", values: columns.active }] },
    { title: "Lateness of the generator, p99", show: time, lines: [
      { name: "lateness", hue: "brown", values: columns.lateness_p99 }] },
  ].map((panel) => ({ ...panel, lines: panel.lines.filter((line) => list(line.values).some(isNumber)) }))
    .filter((panel) => panel.lines.length > 0);
}

/** All panels, the lanes of the faults above them, one cursor. */
function courseCharts(run) {
  const course = courseOf(run);
  const host = el("div", {});
  if (course.t.length === 0) return host;
  const panels = panelsOf(course);
  const drawn = [];
  const cursor = scrubber("Moment of the run", course.t.length, (at) => {
    drawn.forEach((panel) => panel.point(at));
    return courseReadout(course, panels, at);
  });
  const plots = panels.map((panel) => el("figure", {}, el("figcaption", { text: panel.title }), key(panel.lines)));
  const lanes = course.windows.length ? [el("figure", {}, el("figcaption", { text: "Fault windows" }))] : [];
  host.append(...lanes, ...plots, cursor, courseTables(course, panels));
  let place = 0;
  responsive(host, (width) => {
    drawn.length = 0;
    if (lanes.length) replaceDrawing(lanes[0], lanesDrawing(course, width));
    panels.forEach((panel, at) => {
      const drawing = panelDrawing(panel, course, width);
      drawn.push(drawing);
      replaceDrawing(plots[at], drawing.node);
      drawing.node.addEventListener("pointermove", (event) => {
        const us = drawing.x.inverse(event.clientX - drawing.node.getBoundingClientRect().left);
        cursor.move((place = us / course.step - 0.5));
      });
    });
    cursor.move(place);
  });
  return host;
}

function panelDrawing(panel, course, width) {
  const values = panel.lines.flatMap((line) => list(line.values));
  const bounds = panel.log ? logBounds(values) : null;
  const ticks = panel.log ? logTicks(...bounds) : evenTicks(largest(values), 3);
  const x = scale([0, course.end], [MARGIN.left, width - MARGIN.right]);
  const y = scale(bounds || [0, ticks.at(-1)], [PANEL_HEIGHT - MARGIN.bottom, MARGIN.top], panel.log);
  const middle = (at) => x(course.t[at] + course.step / 2);
  // what comes first in the key lies on top
  const lines = [...panel.lines].reverse().map((line) => svg("path", {
    class: `curve ${line.hue} ${line.dashed ? "dashed" : ""}`,
    d: path(line.values.map((value, at) => [middle(at), isNumber(value) ? y(value) : null])),
  }));
  const lone = course.t.length === 1 ? panel.lines.map((line) =>
    svg("circle", { class: `dot ${line.hue}`, r: 4, cx: middle(0), cy: y(line.values[0] || 0) })) : [];
  const rule = svg("line", { class: "cursor", y1: MARGIN.top, y2: PANEL_HEIGHT - MARGIN.bottom });
  const node = svg("svg", {
    class: "plot", role: "img", width, height: PANEL_HEIGHT, viewBox: `0 0 ${width} ${PANEL_HEIGHT}`,
    "aria-label": panelWords(panel, course),
  }, bands(course, x, PANEL_HEIGHT), yAxis(y, ticks, width, panel.show, panel.unit),
  xAxis(x, timeTicks(course.end, width - MARGIN.left - MARGIN.right), PANEL_HEIGHT, width, moment), lines, lone, rule);
  const point = (at) => ["x1", "x2"].forEach((name) => rule.setAttribute(name, middle(at)));
  return { node, x, point };
}

/** Shades of the windows, and where a guard tripped. */
function bands(course, x, height) {
  const [top, bottom] = [MARGIN.top, height - MARGIN.bottom];
  return [
    united(course.windows).map((window) => svg("rect", {
      class: "band", x: x(window.from), width: Math.max(1, x(window.to) - x(window.from)), y: top, height: bottom - top,
    })),
    course.marks.map((mark) => svg("line", { class: "mark", x1: x(mark.at), x2: x(mark.at), y1: top, y2: bottom })),
  ];
}

/** Windows that overlap as one, so that all shades are alike. */
function united(windows) {
  const all = [];
  for (const { from, to } of [...windows].sort((one, other) => one.from - other.from)) {
    const last = all.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else all.push({ from, to });
  }
  return all;
}

/** A lane for each rule: its name above its windows. */
function lanesDrawing(course, width) {
  const rules = [...new Set(course.windows.map((window) => window.rule))].slice(0, LANES);
  const height = rules.length * LANE_HEIGHT + MARGIN.bottom + 4;
  const x = scale([0, course.end], [MARGIN.left, width - MARGIN.right]);
  const lanes = rules.map((rule, lane) => {
    const windows = course.windows.filter((window) => window.rule === rule);
    const top = lane * LANE_HEIGHT;
    const title = fitting(`${rule}: ${windows[0].what || ""}`, width - MARGIN.left - MARGIN.right);
    return [
      svg("text", { class: "label", x: MARGIN.left, y: top + 13, text: title }),
      windows.map((window) => svg("rect", {
        class: "window", x: x(window.from), y: top + 18, height: 6, rx: 2, width: Math.max(2, x(window.to) - x(window.from)),
      })),
    ];
  });
  return svg("svg", {
    role: "img", width, height, viewBox: `0 0 ${width} ${height}`,
    "aria-label": `Fault windows: ${course.windows.slice(0, LANES).map(windowWords).join("; ")}`,
  }, lanes, xAxis(x, timeTicks(course.end, width - MARGIN.left - MARGIN.right), height, width, moment));
}

/** More rows than this nobody reads. */
const TABLE_ROWS = 360;
const LANES = 16;
const LANE_HEIGHT = 28;

const windowWords = (window) => `${window.rule} from ${moment(window.from)} to ${moment(window.to)}`;
const fitting = (text, width) => {
  const most = Math.floor(width / 6.6);
  return text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`;
};

function panelWords(panel, course) {
  const lines = panel.lines.map((line) => {
    const values = line.values.filter(isNumber);
    const most = largest(values);
    return `${line.name} at most ${panel.show(most)} at ${moment(course.t[line.values.indexOf(most)])}`;
  });
  return `${panel.title} over ${moment(course.end)}: ${lines.join(", ")}`;
}

function courseReadout(course, panels, at) {
  const now = course.t[at];
  const active = course.windows.filter((window) => window.from < now + course.step && now < window.to);
  const names = [...new Set(active.map((window) => window.rule))];
  return [
    pair("at", moment(now)),
    ...panels.flatMap((panel) => panel.lines.map((line) => pair(line.name, panel.show(line.values[at]), line.hue))),
    course.windows.length > 0 && pair("faults", names.length ? names.join(", ") : "none"),
  ];
}

function courseTables(course, panels) {
  const lines = panels.flatMap((panel) => panel.lines.map((line) => ({ ...line, show: panel.show })));
  const columns = [{ title: "from", value: (at) => course.t[at], show: moment, name: true, brief: true },
    ...lines.map((line) => ({ title: line.name, value: (at) => line.values[at], show: line.show, number: true }))];
  const every = Math.ceil(course.t.length / TABLE_ROWS);
  const title = every > 1 ? `Course of the run, every ${every}th step of ${moment(course.step)}` : `Course of the run in steps of ${moment(course.step)}`;
  const figures = behind("Figures of these charts", () =>
    table(title, columns, course.t.map((_, at) => at).filter((at) => at % every === 0), { tall: true }));
  if (course.windows.length === 0) return figures;
  return el("div", {}, figures, behind("Fault windows as a table", () => table("Fault windows, on the clock of the run", [
    { title: "rule", value: (window) => window.rule, name: true }, words("what", "what"),
    column("from", "from", moment), column("until", "to", moment)], course.windows)));
}
