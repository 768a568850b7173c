// Scales and axes. Each tick carries its unit, but for counts of what the title says.

const MARGIN = { left: 66, right: 14, top: 8, bottom: 24 };

/** A scale from values to pixels, either way; logarithmic ones begin above nothing. */
function scale([from, to], [start, end], log) {
  const way = log ? Math.log10 : (value) => value;
  const back = log ? (value) => 10 ** value : (value) => value;
  const [low, high] = [way(from), way(to)];
  const span = high - low || 1;
  const at = (value) => start + ((way(log ? Math.max(value, from) : value) - low) / span) * (end - start);
  at.inverse = (pixel) => back(low + ((pixel - start) / (end - start || 1)) * span);
  return at;
}

/** Round values from 0 to at least `most`. */
function evenTicks(most, wanted = 4) {
  const raw = (most || 1) / wanted;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * unit).find((step) => step >= raw * 0.999);
  const ticks = [];
  for (let at = 0; at < most + step * 0.999; at += step) ticks.push(Number(at.toPrecision(12)));
  return ticks.length > 1 ? ticks : [0, step];
}

/** Powers of ten around the values, with 2 and 5 between them where there is room. */
function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const between = decades <= 1.5 ? [1, 2, 5] : decades <= 3 ? [1, 3] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const times of between) {
      const tick = times * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

/** Bounds of a logarithmic axis: whole steps of 1, 2 and 5. */
function logBounds(values) {
  const some = values.filter((value) => isNumber(value) && value > 0);
  if (some.length === 0) return [1, 10];
  const step = (value, up) => {
    const unit = 10 ** Math.floor(Math.log10(value));
    const steps = [1, 2, 5, 10].map((times) => times * unit);
    return up ? steps.find((tick) => tick >= value * 0.999) : steps.reverse().find((tick) => tick <= value * 1.001);
  };
  const low = some.reduce((least, value) => Math.min(least, value), Infinity);
  const [from, to] = [step(low, false), step(largest(some), true)];
  return from < to ? [from, to] : [from, from * 10];
}

const TIME_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

/** Moments on the time axis, about one in 90 pixels. */
function timeTicks(endUs, width) {
  const seconds = endUs / 1e6;
  const step = TIME_STEPS.find((step) => (width * step) / (seconds || 1) >= 76) || TIME_STEPS.at(-1);
  const ticks = [];
  for (let at = 0; at <= seconds * 1.0001; at += step) ticks.push(at * 1e6);
  return ticks;
}

/** `unit` is that of counts, whose ticks have none: the title of the chart names it. */
function yAxis(y, ticks, width, show, unit) {
  return svg("g", { class: "scale", "aria-hidden": "true", "data-unit": unit }, ticks.map((tick) => {
    const at = Math.round(y(tick)) + 0.5;
    return [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }),
      svg("text", { x: MARGIN.left - 6, y: at + 4, "text-anchor": "end", text: show(tick) }),
    ];
  }));
}

/** Labels that would run into the one before are left out. */
function xAxis(x, ticks, height, width, show) {
  const y = height - MARGIN.bottom;
  const axis = svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: y + 0.5, y2: y + 0.5 });
  let free = -Infinity;
  const labels = ticks.map((tick) => {
    const text = show(tick);
    const half = text.length * 3.4;
    const at = Math.min(x(tick), width - half - 1);
    const line = svg("line", { class: "axis", x1: x(tick), x2: x(tick), y1: y, y2: y + 4 });
    if (at - half < free) return line;
    free = at + half + 6;
    return [line, svg("text", { x: at, y: y + 17, "text-anchor": "middle", text })];
  });
  return svg("g", { class: "scale", "aria-hidden": "true" }, axis, labels);
}

/** A path through points; a gap where a value is missing. */
function path(points) {
  let pen = "M";
  let out = "";
  for (const [x, y] of points) {
    if (!isNumber(y)) {
      pen = "M";
      continue;
    }
    out += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return out;
}

/** What the lines are. */
const key = (lines, stroke = true) =>
  el("ul", { class: "key" }, lines.map((line) =>
    el("li", { class: `${line.hue} ${stroke ? "stroke" : ""} ${line.dashed ? "dashed" : ""}`, text: line.name })));

/** A value in a readout. */
const pair = (name, value, hue) =>
  el("span", { class: "pair" }, hue && el("span", { class: `swatch ${hue}` }), `${name} `, el("b", { text: value }));

/** Draws anew whenever the width of `host` changes, and for paper, whose width nobody tells. */
function responsive(host, draw) {
  let width = 0;
  const look = () => {
    const now = Math.max(260, Math.floor(host.clientWidth));
    if (now === width) return;
    width = now;
    draw(width);
  };
  new ResizeObserver(() => requestAnimationFrame(look)).observe(host);
  addEventListener("beforeprint", () => host.isConnected && draw((width = PAPER_WIDTH)));
  addEventListener("afterprint", () => host.isConnected && look());
}

/** Puts a new drawing into a figure, in the place of the old one. */
function replaceDrawing(figure, drawing) {
  const old = figure.querySelector(":scope > svg");
  if (old) old.replaceWith(drawing);
  else figure.append(drawing);
}

/** Of A4 and Letter between their margins, in CSS pixels. */
const PAPER_WIDTH = 680;

/** A slider that moves a cursor through `count` places: by keyboard here, by pointer over the plots. */
function scrubber(name, count, tell) {
  const readout = el("output", { class: "readout" });
  const range = el("input", { type: "range", min: 0, max: Math.max(0, count - 1), value: 0, "aria-label": name });
  const node = el("div", {}, range, readout);
  node.move = (to) => {
    const at = Math.max(0, Math.min(count - 1, Math.round(to)));
    range.value = at;
    const content = tell(at);
    readout.replaceChildren(...content.filter(Boolean));
    range.setAttribute("aria-valuetext", readout.textContent);
  };
  range.addEventListener("input", () => node.move(Number(range.value)));
  return node;
}
