// The verdict and what it rests on: whose failures these were, the figures, the thresholds.

/** Whose failures they were: what the analysis says where there is one, else what the run itself could tell. */
function blame(run) {
  const told = run.analysis && run.analysis.attribution;
  const failures = run.failures || {};
  const parts = told
    ? ["injected", "downstream", "origin", "overload", "generator", "unexplained"].map((kind) => [kind, told[kind]])
    : ["injected", "origin", "network", "generator", "unknown"].map((kind) => [kind, failures[kind]]);
  const known = parts.filter(([, count]) => isNumber(count));
  return { analysed: Boolean(told), total: sum(known.map(([, count]) => count)), parts: known };
}

function verdictSection(run) {
  const sent = run.requests ? run.requests.sent : null;
  return section("verdict", "Verdict", null,
    el("p", { class: "verdict" }, badge(run.verdict, true), el("strong", { text: run.reason || "no reason given" })),
    el("p", { class: "note", text: `Exit code ${run.exit_code}.` }),
    figures(run), blameParts(run, sent), thresholds(run), guards(run));
}

function blameParts(run, sent) {
  const { analysed, total, parts } = blame(run);
  if (parts.length === 0) return null;
  if (total === 0) return el("p", { text: `No failure in ${number(sent)} requests.` });
  const some = parts.filter(([, count]) => count > 0);
  const bar = el("div", { class: "shares", "aria-hidden": "true" }, some.map(([kind, count]) => {
    const piece = el("span", { class: `filled ${explained(kind)[1]}` });
    piece.style.flex = `${count} 0 0`;
    return piece;
  }));
  const rows = parts.map(([kind, count]) => ({ kind, count }));
  return el("div", {}, el("h3", { text: `Whose failures: ${number(total)} of ${number(sent)} requests (${percent(part(total, sent))})` }), bar,
    table(analysed ? "By what explains them" : "By who made them; the analysis is not in this run.json", [
      { title: "whose", value: (row) => explained(row.kind)[0], name: true,
        cell: (row) => [el("span", { class: `swatch ${explained(row.kind)[1]}` }), explained(row.kind)[0], " ",
          el("small", { text: explained(row.kind)[2] })] },
      column("failures", "count"),
      { title: "share", value: (row) => part(row.count, total), show: percent, number: true }], rows));
}

function figures(run) {
  const requests = run.requests || {};
  const sessions = run.sessions || {};
  const response = (run.latency && run.latency.response) || {};
  const failed = run.failures ? run.failures.total : null;
  const seconds = run.elapsed_us / 1e6;
  return tiles([
    ["Requests sent", number(requests.sent), `of ${number(requests.planned)} planned, ${number(requests.retries)} retries`],
    ["Answered", percent(part(requests.answered, requests.sent)), `${number(requests.answered)} requests`],
    ["Failed", percent(part(failed, requests.sent)), `${number(failed)}: 429, 5xx or no answer`],
    ["Response, median", time(response.p50), "from when it was due"],
    ["Response, p99", time(response.p99), `at most ${time(response.max)}`],
    ["Rate", `${number(seconds > 0 ? requests.sent / seconds : null)}/s`, `over ${time(run.elapsed_us)}`],
    ["Sessions", number(sessions.started), `${number(sessions.completed)} completed, ${number(sessions.aborted)} cut short`],
    ["Sessions hurt", number(run.analysis && run.analysis.sessions_hurt), "had a failure"],
  ].filter(([name]) => name !== "Sessions hurt" || run.analysis));
}

/** A threshold knows no unit but by its name: shares are of what was sent. */
function thresholds(run) {
  const rows = list(run.thresholds);
  if (rows.length === 0) return null;
  const isShare = (row) => /^\s*(errors|answered|failed)\b/.test(row.expr || "");
  const show = (value, row) => (isNumber(value) ? (isShare(row) ? percent(value) : time(value)) : "not measured");
  return table("Thresholds", [
    { title: "threshold", value: (row) => row.expr, name: true, cell: (row) => el("code", { text: row.expr }) },
    column("measured", "value", show), column("bound", "bound", (value, row) => (isNumber(value) ? show(value, row) : NONE)),
    { title: "holds", value: (row) => row.ok, cell: (row) =>
      el("span", { class: `tag ${row.ok ? "good" : "bad"}`, text: row.ok ? "holds" : "does not hold" }) },
  ], rows);
}

function guards(run) {
  const rows = list(run.guards);
  if (rows.length === 0) return null;
  const show = (value, row) => {
    if (!isNumber(value)) return NONE;
    if (row.signal === "error_ratio") return percent(value);
    return /^p\d/.test(row.signal) ? time(value) : number(value);
  };
  return table("Guards of the proxy", [
    { title: "guard", value: (row) => row.name, name: true }, words("looks at", "signal"),
    column("value", "value", show), column("limit", "limit", show), column("compared with", "base", show),
    column("samples", "samples"),
    { title: "outcome", value: (row) => (isNumber(row.tripped_at_us) ? `tripped at ${moment(row.tripped_at_us)}: ${row.action}` : "held") },
    { title: "rules", value: (row) => list(row.rules).join(", ") },
  ], rows);
}
