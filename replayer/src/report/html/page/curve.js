// The distribution of latencies: percentiles on a logarithmic scale that gives the tail its room.

const CURVE_HEIGHT = 300;

/** Points [share above, microseconds]; point k of a curve stands for the share 10^(-k/10), the last for the maximum. */
function curvePoints(latency) {
  if (!latency || !latency.count) return [];
  if (list(latency.curve).length > 1) {
    return latency.curve.map((us, at) => [10 ** (-at / 10), us]);
  }
  return [[0.5, latency.p50], [0.1, latency.p90], [0.05, latency.p95], [0.01, latency.p99], [0.001, latency.p99_9]]
    .filter(([above, us]) => isNumber(us) && above * latency.count >= 1);
}

/** "99.9 %" for a share above of 0.001. */
function percentileName(above) {
  const digits = Math.max(0, Math.ceil(-Math.log10(above)) - 2);
  return `${((1 - above) * 100).toFixed(above < 1 && above > 0.1 ? 0 : digits)} %`;
}

/** One curve for each of `lines`: { name, hue, dashed, latency }. */
function curveChart(lines, title = "Latency by percentile") {
  const drawable = lines.map((line) => ({ ...line, points: curvePoints(line.latency) })).filter((line) => line.points.length > 1);
  const host = el("div", {});
  if (drawable.length === 0) return host;
  const deepest = Math.min(...drawable.map((line) => line.points.at(-1)[0]));
  const count = Math.round(-10 * Math.log10(deepest)) + 1;
  const aboveAt = (at) => 10 ** (-at / 10);
  const figure = el("figure", {}, el("figcaption", { text: `${title}, both logarithmic` }), key(drawable));
  let drawing = null;
  const cursor = scrubber("Percentile", count, (at) => {
    if (drawing) drawing.point(aboveAt(at));
    return [pair("this share took at most", percentileName(aboveAt(at))),
      ...drawable.map((line) => pair(line.name, time(valueAt(line.points, aboveAt(at))), line.hue))];
  });
  host.append(figure, cursor, curveTable(drawable, title));
  let place = Math.min(count - 1, 20);
  responsive(host, (width) => {
    drawing = curveDrawing(drawable, deepest, width);
    replaceDrawing(figure, drawing.node);
    drawing.node.addEventListener("pointermove", (event) => {
      const above = drawing.x.inverse(event.clientX - drawing.node.getBoundingClientRect().left);
      cursor.move((place = -10 * Math.log10(Math.max(above, deepest))));
    });
    cursor.move(place);
  });
  return host;
}

/** The value at the nearest known percentile; null beyond the last. */
function valueAt(points, above) {
  const distance = ([share]) => Math.abs(Math.log10(share / above));
  const nearest = points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  return above < points.at(-1)[0] * 0.99 ? null : nearest[1];
}

function curveDrawing(lines, deepest, width) {
  const values = lines.flatMap((line) => line.points.map(([, us]) => us));
  const bounds = logBounds(values);
  const x = scale([1, deepest], [MARGIN.left, width - MARGIN.right], false);
  const position = (above) => MARGIN.left + (Math.log10(above) / (Math.log10(deepest) || -1)) * (width - MARGIN.left - MARGIN.right);
  x.inverse = (pixel) => deepest ** ((pixel - MARGIN.left) / (width - MARGIN.left - MARGIN.right));
  const y = scale(bounds, [CURVE_HEIGHT - MARGIN.bottom, MARGIN.top], true);
  const ticks = [1, 0.5, 0.1, 0.05, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9].filter((above) => above >= deepest * 0.999);
  const rule = svg("line", { class: "cursor", y1: MARGIN.top, y2: CURVE_HEIGHT - MARGIN.bottom });
  const node = svg("svg", {
    class: "plot", role: "img", width, height: CURVE_HEIGHT, viewBox: `0 0 ${width} ${CURVE_HEIGHT}`,
    "aria-label": `Latency by percentile: ${lines.map(curveWords).join("; ")}`,
  },
  ticks.map((above) => svg("line", {
    class: "grid", x1: position(above), x2: position(above), y1: MARGIN.top, y2: CURVE_HEIGHT - MARGIN.bottom })),
  yAxis(y, logTicks(...bounds), width, time),
  xAxis(position, ticks, CURVE_HEIGHT, width, percentileName),
  lines.map((line) => svg("path", {
    class: `curve ${line.hue} ${line.dashed ? "dashed" : ""}`, d: path(line.points.map(([above, us]) => [position(above), y(us)])) })),
  rule);
  const point = (above) => ["x1", "x2"].forEach((name) => rule.setAttribute(name, position(above)));
  return { node, x, point };
}

const curveWords = (line) =>
  `${line.name} median ${time(valueAt(line.points, 0.5))}, 99 % within ${time(valueAt(line.points, 0.01))}`;

function curveTable(lines, title) {
  const shares = [0.5, 0.1, 0.05, 0.01, 1e-3, 1e-4, 1e-5, 1e-6];
  const columns = [{ title: "share within", value: (above) => above, show: percentileName, name: true, brief: true },
    ...lines.map((line) => ({ title: line.name, value: (above) => valueAt(line.points, above), show: time, number: true }))];
  return behind("Figures of this chart", () => table(title, columns, shares));
}
