// Puts the page of a run together: its sections, the choice between runs.

function courseSection(run) {
  const charts = courseCharts(run);
  if (charts.children.length === 0) return null;
  const shaded = list(run.faults && run.faults.windows).length > 0 ? "Fault windows are shaded. " : "";
  const lost = (run.faults || {}).windows_lost;
  const lacking = lost > 0 ? `${number(lost)} more windows were not kept. ` : "";
  return section("course", "Load and latency over time", `${shaded}${lacking}Move the pointer over a chart, or the slider below with the arrow keys, to read a moment.`, charts);
}

function percentilesSection(run) {
  const latency = run.latency || {};
  const chart = curveChart([
    { name: "response, from when it was due", hue: "red", latency: latency.response },
    { name: "service, from when it was sent", hue: "blue", latency: latency.service },
    { name: "time to first byte", hue: "green", dashed: true, latency: latency.ttfb }]);
  if (chart.children.length === 0) return null;
  return section("percentiles", "Percentiles", "Where response lies above service, requests waited for their turn: a tool that measures from sending would not have seen it.", chart);
}

function heatSection(run) {
  const chart = heatChart(run);
  return chart.children.length === 0 ? null : section("heat", "Latency over time", "The red line on top marks the fault windows.", chart);
}

const SECTIONS = [
  ["verdict", verdictSection, "the verdict"], ["why", findingsSection, "the analysis"], ["course", courseSection, "the series"],
  ["percentiles", percentilesSection, "latencies"], ["heat", heatSection, "the heat map"], ["edges", edgesSection, null],
  ["routes", routesSection, "routes"], ["injected", injectedSection, null], ["funnel", funnelSection, "the session funnel"],
  ["clusters", clustersSection, null], ["rules", rulesSection, "rules"], ["certificate", certificateSection, "the generator's figures"],
  ["books", booksSection, "the books"], ["links", linksSection, null], ["drift", driftSection, null], ["repeat", repeatSection, null], ["record", recordSection, null],
];

function show(page, at) {
  const { run, name } = page.runs[at];
  themed.clear();
  const built = SECTIONS.map(([, make, what]) => ({ what, ...build(make, run) }));
  const compared = page.runs.length > 1 ? build(() => compareSection(page), run).made : null;
  const sections = built.map((one) => one.made).filter(Boolean);
  if (compared) sections.splice(1, 0, compared);
  const main = document.getElementById("main");
  main.replaceChildren(...sections);
  document.getElementById("foot").replaceChildren(footer(built, run, name));
  return sections;
}

function footer(built, run, name) {
  const lacks = built.filter((one) => one.what && !one.made && !one.failed).map((one) => one.what);
  const broken = built.filter((one) => one.failed).length;
  const words = [`Made by Squall ${run.squall || ""} from ${name}. Times are on the clock of the run. This page asks nothing of any network.`];
  if (list(run.cut).length) words.push(`Too long for this page and shortened: ${run.cut.join(", ")}.`);
  if (lacks.length) words.push(`Not in this run.json: ${lacks.join(", ")}.`);
  if (broken) words.push(`${broken} sections could not be read; the console says why.`);
  return el("div", {}, words.map((text) => el("p", { text })));
}

function start() {
  const page = JSON.parse(document.getElementById("data").textContent);
  const title = el("div", {});
  const choice = page.runs.length > 1
    && el("select", { id: "run" }, page.runs.map((run, at) => el("option", { value: at, text: run.name })));
  const around = frame(title, choice && [el("label", { for: "run", text: "Run" }), choice]);
  const choose = (at) => {
    const { run, name } = page.runs[at];
    const plan = run.plan || {};
    around(show(page, at));
    title.replaceChildren(el("h1", { text: `Replay of ${String(plan.capture || name).split("/").at(-1)}` }),
      el("p", { class: "note", text: [plan.target, run.started && date(run.started), isNumber(plan.amplify) && `amplified ${round(plan.amplify)}x`,
        run.shard !== "1/1" && run.shard && `shard ${run.shard}`].filter(Boolean).join(" · ") }));
  };
  if (choice) choice.addEventListener("change", () => choose(Number(choice.value)));
  choose(0);
}

start();
