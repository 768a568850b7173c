// What HTML validators have to say of a page.
"use strict";

const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const { HtmlValidate } = require("html-validate");

/** html-validate by the standard's rules alone; `nuToo`, and where there is a Java, the validator of the W3C. */
async function valid(file, nuToo) {
  const html = new HtmlValidate({ root: true, extends: ["html-validate:standard"] });
  const { results } = await html.validateString(fs.readFileSync(file, "utf8"));
  const said = results.flatMap((result) => result.messages).map((found) => `html-validate: ${found.line}: ${found.message}`);
  return nuToo ? [...said, ...nu(file)] : said;
}

function nu(file) {
  let jar;
  try {
    jar = require.resolve("vnu-jar/build/dist/vnu.jar");
  } catch {
    return [];
  }
  // Errors only: of the policy it warns that scripts need a hash, and knows no hashes. Chromium does.
  const ran = spawnSync("java", ["-jar", jar, "--errors-only", "--exit-zero-always", "--format", "gnu", file], { encoding: "utf8" });
  if (ran.error) return [];
  return ran.stderr.split("\n").filter((line) => /: error/.test(line)).map((line) => `vnu: ${line.slice(0, 300)}`);
}

module.exports = { valid };
