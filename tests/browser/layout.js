// Runs in the page: what a person would see to be wrong with it.
"use strict";

function layout() {
  const wrong = [];
  /** A figure with its unit, a share, a moment, a date. */
  const UNIT = /(\d\s?(µs|ms|s|min|h|%|[KMGT]?B|\/s)|^now|\d\d-\d\d \d\d:\d\d|\d\d:\d\d:\d\d)$/;
  /** Pixels: lower letters nobody reads, and with less between them two labels are one. */
  const [SMALLEST, APART] = [11, 3];
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) wrong.push(`scrolls sideways: ${document.documentElement.scrollWidth} of ${wide} px`);

  /** What is left of a box inside of all that scroll or clip around it. */
  const seen = (node, box) => {
    let { left, right, top, bottom } = box;
    for (let around = node; around && around !== document.body; around = around.parentElement) {
      const style = getComputedStyle(around);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const limit = around.getBoundingClientRect();
      [left, right] = [Math.max(left, limit.left), Math.min(right, limit.right)];
      [top, bottom] = [Math.max(top, limit.top), Math.min(bottom, limit.bottom)];
    }
    return left < right - 1 && top < bottom - 1 ? { left, right, top, bottom } : null;
  };

  const pieces = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const holder = text.parentElement;
    if (!text.data.trim() || holder.closest("script, noscript, option, .sr, .skip") || !holder.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) {
      const part = seen(holder, box);
      if (part) pieces.push({ ...part, holder, text: text.data.trim().slice(0, 40) });
      if (box.right > wide + 1 && !holder.closest(".scroll, pre")) wrong.push(`leaves the page: ${text.data.slice(0, 60)}`);
      const drawing = holder.closest("svg");
      if (drawing) {
        const frame = drawing.getBoundingClientRect();
        if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1 || box.top < frame.top - 1) {
          wrong.push(`cut off in a chart: ${text.data}`);
        }
      }
    }
  }
  pieces.sort((one, other) => one.top - other.top);
  pieces.forEach((one, at) => {
    for (let next = at + 1; next < pieces.length && pieces[next].top < one.bottom - 2; next += 1) {
      const other = pieces[next];
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      // lines of one block may touch; headers that stick lie over rows on purpose
      const sticks = one.holder.closest("thead") !== null || other.holder.closest("thead") !== null;
      if (across > 1.5 && down > 4 && !sticks) wrong.push(`overlap: "${one.text}" and "${other.text}"`);
      const chart = one.holder.closest("svg");
      if (across <= 1.5 && -across < APART && down > 4 && chart && chart === other.holder.closest("svg")) {
        wrong.push(`labels run together: "${one.text}" and "${other.text}"`);
      }
    }
  });

  for (const drawing of document.querySelectorAll("svg.plot")) {
    if (!drawing.checkVisibility()) continue;
    const name = drawing.getAttribute("aria-label") || drawing.id;
    const title = ((drawing.closest("figure") || drawing).querySelector("figcaption") || {}).textContent || "";
    const scales = [...drawing.querySelectorAll("g.scale")];
    if (scales.length !== 2) wrong.push(`an axis without a unit: ${scales.length} axes of two: ${name}`);
    for (const axis of scales) {
      const labels = [...axis.querySelectorAll("text")];
      const bare = labels.map((label) => label.textContent).filter((label) => !UNIT.test(label));
      // counts have no unit but what is counted, which the title says
      const counted = axis.dataset.unit && title.toLowerCase().includes(axis.dataset.unit) && bare.every((label) => /^[\d,.]+$/.test(label));
      if (labels.length === 0 || (bare.length > 0 && !counted)) wrong.push(`an axis without a unit: ${name}: ${bare.join(", ")}`);
      const small = labels.find((label) => label.getBoundingClientRect().height < SMALLEST);
      if (small) wrong.push(`too small to read: ${small.textContent} in ${name}`);
    }
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption || !table.caption.textContent) wrong.push("a table without a caption");
    for (const head of table.querySelectorAll("th")) if (!head.scope) wrong.push(`a header without a scope: ${head.textContent}`);
  }
  return [...new Set(wrong)].slice(0, 20);
}

module.exports = { layout };
