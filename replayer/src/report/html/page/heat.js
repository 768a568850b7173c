// The heat map: when answers came, and how long they took. The darker, the more; the scale of colours is logarithmic.

const HEAT_HEIGHT = 260;

function heatOf(run) {
  const heat = run.heat || {};
  const [bounds, counts] = [list(heat.bounds_us), list(heat.counts)];
  const steps = counts.map((row) => list(row));
  const used = bounds.map((_, at) => at).filter((at) => steps.some((row) => row[at] > 0));
  if (used.length === 0 || !isNumber(heat.step_us)) return null;
  const [low, high] = [Math.max(0, used[0] - 1), Math.min(bounds.length - 1, used.at(-1) + 1)];
  return { step: heat.step_us, bounds, steps, low, high, most: largest(steps.flat()), end: heat.step_us * steps.length };
}

const bucketWords = (heat, at) =>
  at === 0 ? `up to ${time(heat.bounds[0])}` : `${time(heat.bounds[at - 1])} to ${time(heat.bounds[at])}`;

/** What one column of the map says. */
function columnFacts(heat, at) {
  const row = heat.steps[at];
  const all = sum(row);
  const within = (share) => {
    let seen = 0;
    return row.findIndex((count) => (seen += count || 0) >= share * all);
  };
  const bucket = (place) => (all > 0 ? bucketWords(heat, place) : NONE);
  const slowest = row.reduce((last, count, place) => (count > 0 ? place : last), 0);
  return { from: at * heat.step, all, usual: bucket(row.indexOf(largest(row))), median: bucket(within(0.5)),
    tail: bucket(within(0.99)), slowest: bucket(slowest) };
}

function heatChart(run) {
  const heat = heatOf(run);
  const host = el("div", {});
  if (!heat) return host;
  const course = { end: heat.end, windows: windowsOf(run, heat.end), marks: marksOf(run, heat.end) };
  const canvas = el("canvas", { "aria-hidden": "true" });
  const frame = el("div", { class: "heat" });
  const figure = el("figure", {}, el("figcaption", { text: "Answers by time and latency" }), frame, heatLegend(heat));
  let drawing = null;
  let place = 0;
  const cursor = scrubber("Moment of the heat map", heat.steps.length, (at) => {
    if (drawing) drawing.point(at);
    const facts = columnFacts(heat, at);
    return [pair("from", moment(facts.from)), pair("answers", number(facts.all)), pair("most took", facts.usual),
      pair("half within", facts.median), pair("99 % within", facts.tail), pair("slowest", facts.slowest)];
  });
  host.append(figure, cursor, heatTable(heat));
  const paint = (width) => {
    drawing = heatDrawing(heat, course, canvas, width);
    frame.replaceChildren(drawing.node, canvas);
    drawing.node.addEventListener("pointermove", (event) => {
      const us = drawing.x.inverse(event.clientX - drawing.node.getBoundingClientRect().left);
      cursor.move((place = us / heat.step - 0.5));
    });
    cursor.move(place);
  };
  responsive(host, paint);
  onTheme(() => host.clientWidth && paint(Math.floor(host.clientWidth)));
  return host;
}

/** The cells on a canvas, the axes as SVG over it. */
function heatDrawing(heat, course, canvas, width) {
  const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, HEAT_HEIGHT - MARGIN.bottom];
  const rows = heat.high - heat.low + 1;
  const x = scale([0, heat.end], [left, right]);
  const y = (bucket) => bottom - ((bucket - heat.low) / rows) * (bottom - top);
  paintCells(canvas, heat, { left, top, width: right - left, height: bottom - top });
  const every = Math.ceil(rows / 7);
  const ticks = [];
  for (let at = heat.low; at <= heat.high; at += every) ticks.push(at);
  const rule = svg("line", { class: "cursor", y1: top, y2: bottom });
  const node = svg("svg", {
    class: "plot", role: "img", width, height: HEAT_HEIGHT, viewBox: `0 0 ${width} ${HEAT_HEIGHT}`, "aria-label": heatWords(heat),
  },
  united(course.windows).map((window) => svg("rect", {
    class: "window", x: x(window.from), width: Math.max(2, x(window.to) - x(window.from)), y: 1, height: 5 })),
  svg("g", { class: "scale", "aria-hidden": "true" }, ticks.map((at) =>
    svg("text", { x: left - 6, y: y(at + 1) + 4, "text-anchor": "end", text: time(heat.bounds[at]) }))),
  xAxis(x, timeTicks(heat.end, right - left), HEAT_HEIGHT, width, moment), rule);
  const point = (at) => ["x1", "x2"].forEach((name) => rule.setAttribute(name, x((at + 0.5) * heat.step)));
  return { node, x, point };
}

function paintCells(canvas, heat, box) {
  const dots = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(box.width * dots));
  canvas.height = Math.max(1, Math.round(box.height * dots));
  Object.assign(canvas.style, {
    position: "absolute", zIndex: -1, left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
  const context = canvas.getContext("2d");
  const colours = rampColours();
  const [wide, high] = [canvas.width / heat.steps.length, canvas.height / (heat.high - heat.low + 1)];
  context.fillStyle = colours(0);
  context.fillRect(0, 0, canvas.width, canvas.height);
  heat.steps.forEach((row, at) => {
    for (let bucket = heat.low; bucket <= heat.high; bucket += 1) {
      if (!(row[bucket] > 0)) continue;
      context.fillStyle = colours(heatShare(heat, row[bucket]));
      const [x, y] = [Math.floor(at * wide), Math.floor(canvas.height - (bucket - heat.low + 1) * high)];
      context.fillRect(x, y, Math.ceil(wide), Math.ceil(high));
    }
  });
}

/** One answer is seen already: it begins at an eighth. */
const heatShare = (heat, count) => 0.125 + 0.875 * (Math.log1p(count) / Math.log1p(heat.most || 1));

/** From the ground of the page to its strongest colour, in light and in dark. */
function rampColours() {
  const stops = isDark()
    ? [[26, 32, 41], [28, 66, 110], [38, 124, 160], [110, 197, 160], [250, 236, 150]]
    : [[245, 247, 250], [190, 215, 240], [95, 160, 215], [35, 95, 175], [15, 25, 80]];
  return (share) => {
    const at = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1);
    const [from, to] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
    return `rgb(${from.map((value, channel) => Math.round(value + (to[channel] - value) * (at % 1))).join(" ")})`;
  };
}

function heatLegend(heat) {
  const canvas = el("canvas", { width: 160, height: 12, "aria-hidden": "true" });
  const paint = () => {
    const [context, colours] = [canvas.getContext("2d"), rampColours()];
    for (let x = 0; x < 160; x += 1) {
      context.fillStyle = colours(0.125 + (0.875 * x) / 160);
      context.fillRect(x, 0, 1, 12);
    }
  };
  paint();
  onTheme(paint);
  addEventListener("beforeprint", paint);
  addEventListener("afterprint", paint);
  return el("div", { class: "ramp" }, "1 answer", canvas, `${number(heat.most)} answers in a cell of ${moment(heat.step)}`);
}

function heatWords(heat) {
  const facts = heat.steps.map((_, at) => columnFacts(heat, at));
  const busiest = facts.reduce((most, now) => (now.all > most.all ? now : most));
  return `Heat map of ${number(sum(facts.map((now) => now.all)))} answers over ${moment(heat.end)}, latencies from `
    + `${time(heat.bounds[heat.low])} to ${time(heat.bounds[heat.high])}; most answers from ${moment(busiest.from)}, usually ${busiest.usual}`;
}

function heatTable(heat) {
  return behind("Figures of this map", () => table(`Heat map in steps of ${moment(heat.step)}`, [
    { title: "from", value: (row) => row.from, show: moment, name: true, brief: true }, column("answers", "all"), words("most took", "usual"),
    words("half within", "median"), words("99 % within", "tail"), words("slowest", "slowest"),
  ], heat.steps.map((_, at) => columnFacts(heat, at)), { tall: true }));
}
