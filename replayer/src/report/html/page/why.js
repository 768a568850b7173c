// Why it broke: the findings with their evidence, the clusters, the order of events, drift and slopes.

function findingsSection(run) {
  const analysis = run.analysis;
  if (!analysis) return null;
  const findings = list(analysis.findings);
  const found = findings.length
    ? findings.map((finding) => findingCard(finding))
    : el("p", { text: "Nothing was found: what failed, failed as the rules asked, or nothing failed." });
  return section("why", "Why it broke", "Ranked by the sessions that each finding cost. The lift says how much more often exposed sessions failed than the others.",
    analysis.sample < 1 && el("p", { class: "note", text: `It looked at every request of ${percent(analysis.sample)} of the sessions.` }),
    found, orderOf(analysis));
}

function findingCard(finding) {
  const [name, hue] = explained(finding.explanation);
  const where = finding.where || {};
  const facts = [
    el("span", { class: "tag", text: name }),
    finding.rule && el("span", { text: `rule ${finding.rule}` }),
    el("span", { text: `${number(finding.sessions)} sessions` }),
    el("span", { text: finding.share > 0 ? `${number(finding.failures)} failures (${percent(finding.share)} of all)` : `${number(finding.failures)} requests` }),
    whereWords(where) && el("span", { text: whereWords(where) }),
  ];
  return el("article", { class: `finding ${hue}`, "aria-label": `Finding ${finding.rank}` },
    el("h3", { text: `${finding.rank}. ${sentence(finding.title)}` }), el("div", { class: "facts" }, facts),
    liftWords(finding.lift),
    list(finding.evidence).length > 0 && el("ul", {}, list(finding.evidence).map((text) => el("li", { text }))),
    examplesOf(finding));
}

const sentence = (text) => String(text).replace(/^[a-z](?=[a-z]* )/, (first) => first.toUpperCase());

function whereWords(where) {
  const said = [where.route, where.class !== "status" && where.class, where.status && `status ${where.status}`, isNumber(where.step) && `step ${where.step + 1}`,
    where.key && `key ${where.key}`, where.fingerprint && `body ${where.fingerprint}`,
    isNumber(where.from_us) && `${moment(where.from_us)} to ${moment(where.until_us)}`];
  return said.filter(Boolean).join(", ");
}

function liftWords(lift) {
  if (!lift) return null;
  const times = (value) => (isNumber(value) ? `${number(value)}x` : "without bound");
  return el("p", {}, el("strong", { text: `${times(lift.ratio)} as often` }),
    ` where exposed (${percent(lift.confidence)} interval ${times(lift.low)} to ${times(lift.high)}): `
    + `${percent(lift.exposed)} against ${percent(lift.control)} of the control group.`
    + (lift.exposed === 0 || lift.control === 0 ? " One side has none: half a failure is counted for it." : "")
    + (lift.low <= 1 && 1 <= lift.high ? " The interval includes 1, so this may be noise." : ""));
}

function examplesOf(finding) {
  const examples = list(finding.examples);
  if (examples.length === 0) return null;
  const words = (example) => `Session ${example.session}, clone ${example.clone}, step ${isNumber(example.step) ? example.step + 1 : NONE}, `
    + `at ${moment(example.t_us)}, operation ${example.op}`;
  return behind(`${examples.length} example ${examples.length === 1 ? "session" : "sessions"} to replay alone`, () =>
    el("ul", {}, examples.map((example) => el("li", {}, words(example),
      example.replay && copyable(example.replay, `the command that replays session ${example.session}`)))));
}

function orderOf(analysis) {
  const rows = list(analysis.order);
  if (rows.length === 0) return null;
  return el("div", {}, el("h3", { text: "First symptoms and the order of events" }), table("Events, on the clock of the run", [
    { title: "at", value: (row) => row.t_us, show: moment, name: true, brief: true }, words("event", "event")], rows, { tall: true }));
}

function clustersSection(run) {
  const findings = list(run.analysis && run.analysis.findings);
  const requests = run.requests || {};
  const kinds = counted(requests.failed);
  const statuses = counted(requests.status);
  if (findings.length + kinds.length + statuses.length === 0) return null;
  const all = sum(kinds.map((row) => row.count));
  const clusters = findings.length > 0 && table("Clusters of failures, by what they have in common", [
    { title: "cluster", value: (row) => whereWords(row.where || {}) || row.title, name: true },
    { title: "explained by", value: (row) => explained(row.explanation)[0] + (row.rule ? `, rule ${row.rule}` : "") },
    column("sessions", "sessions"), column("requests", "failures"), column("of all failures", "share", percent)], findings, { sortable: true });
  return section("clusters", "Failure clusters", "What failed, grouped by route, class, step, status, body and time.",
    clusters || null, el("div", { class: "columns" },
      kinds.length > 0 && table("Not answered, by class", [
        { title: "class", value: (row) => row.name, name: true }, column("requests", "count"),
        { title: "share", value: (row) => part(row.count, all), show: percent, number: true }], kinds),
      statuses.length > 0 && table("Answers by status", [
        { title: "status", value: (row) => row.name, name: true }, column("answers", "count"),
        { title: "share", value: (row) => part(row.count, requests.answered), show: percent, number: true }], statuses)));
}

const chanceWords = (chance) => (!isNumber(chance) || chance === 0 || chance >= 0.001 ? number(chance) : chance < 1e-12 ? "below 1e-12" : chance.toExponential(0));

function comparedWords(compared) {
  if (!compared || !(compared.exchanges > 0)) return null;
  const { bodies = {}, more = {} } = compared;
  const rest = sum([more.status, more.length, more.shape].filter(isNumber));
  return `Lengths and JSON of ${number(compared.answers)} answers were held against ${number(compared.exchanges)} recorded ones; `
    + `${number(bodies.looked_at)} bodies were looked into.`
    + (compared.without_shape > 0 ? ` Of ${number(compared.without_shape)} recorded answers no JSON is at hand: only lengths are compared.` : "")
    + (rest > 0 ? ` The list has no room for ${number(rest)} more drifts.` : "");
}

function driftSection(run) {
  const analysis = run.analysis || {};
  const [drift, slopes] = [list(analysis.drift), list(analysis.slopes)];
  if (drift.length + slopes.length === 0) return null;
  const figure = { us: time, share: percent, bytes };
  const slope = (value, row) => {
    const show = figure[row.unit] || ((value) => `${number(value)} ${row.unit || ""}`);
    return isNumber(value) ? signed(show(value), value) : NONE;
  };
  const note = comparedWords(analysis.compared);
  return section("drift", "Drift and slopes", "Answers that differ from the recording, beside the noise: how far clones of one and the same step differ among themselves. Then how figures moved over the run.",
    note && el("p", { class: "note", text: note }),
    drift.length > 0 && table("Drift of responses against the recording", [
      { title: "route", value: (row) => row.route, name: true }, words("what", "what"), words("recorded", "recorded"),
      words("replayed", "replayed"), column("share", "share", percent), column("noise", "noise", percent),
      column("sessions", "sessions"), column("answers that differ", "differing"), column("answers compared", "answers"),
      column("chance", "chance", chanceWords)], drift, { sortable: true, tall: true }),
    slopes.length > 0 && table("Slopes over the run, robust, with their interval", [
      { title: "figure", value: (row) => String(row.figure).replaceAll("_", " "), name: true },
      column("a minute", "per_minute", slope), column("from", "low", slope), column("to", "high", slope),
      { title: "judged", value: (row) => row.significant, cell: (row) =>
        el("span", { class: `tag ${row.significant ? "warn" : "quiet"}`, text: row.significant ? "moves" : "noise" }) }], slopes));
}
