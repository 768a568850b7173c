// Looks at the picture of a terminal, in headless Chromium: node terminal.js PICTURE.svg
// Prints what it found wrong, a line each, and ends with 1 if there was anything.
"use strict";

const fs = require("node:fs");
const { open, end, wrong } = require("./chromium.js");

async function main(file) {
  const browser = await open();
  try {
    const page = await browser.newPage();
    await page.setContent(fs.readFileSync(file, "utf8"));
    wrong.push(...await page.evaluate(look));
  } finally {
    await browser.close();
  }
}

/** Runs in the page: no text over another or outside, none that is pressed together, none that is hard to tell from its ground. */
function look() {
  const found = [];
  const frame = document.querySelector("svg").getBoundingClientRect();
  const grounds = [...document.querySelectorAll("rect")].map((rect) => ({ box: rect.getBoundingClientRect(), fill: rect.getAttribute("fill") }));
  const texts = [...document.querySelectorAll("text")].map((node) => ({ node, box: node.getBoundingClientRect(), text: node.textContent.trim() }))
    .filter(({ text }) => !/^[\u2500-\u257f]+$/.test(text)); // rules and gauges are no text
  if (texts.length < 20) found.push(`only ${texts.length} texts`);
  const light = (hue) => [1, 3, 5].map((at) => parseInt(hue.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const contrast = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  texts.forEach(({ node, box, text }, at) => {
    if (box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom) found.push(`cut off: ${text}`);
    for (const other of texts.slice(at + 1)) {
      const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (across > 1 && down > 4) found.push(`overlap: "${text}" and "${other.text}"`);
    }
    const asked = Number(node.getAttribute("textLength"));
    node.removeAttribute("textLength");
    const own = node.getComputedTextLength();
    if (asked < own * 0.8 || own * 1.25 < asked) found.push(`pressed or stretched from ${own.toFixed(0)} to ${asked} px: ${text}`);
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const ground = grounds.filter((rect) => rect.box.left <= x && x <= rect.box.right && rect.box.top <= y && y <= rect.box.bottom).at(-1);
    const told = contrast(node.getAttribute("fill"), ground.fill);
    if (told < 4.5) found.push(`a contrast of ${told.toFixed(1)}: ${text}`);
  });
  return found;
}

end(main(...process.argv.slice(2)));
