// Down the chain: what clients waited for, edge by edge, and where the slow requests of the first edge spent their time.

function edgesSection(run) {
  const edges = list(run.edges).filter((edge) => edge && typeof edge === "object");
  if (edges.length < 2) return null;
  const service = (run.latency || {}).service || {};
  const client = { name: "client", seen: service.count, latency: service };
  return section("edges", "Down the chain",
    "What a request took as the client saw it, then at each edge of the proxy, all to one scale. Own time is what was not spent in calls to other edges; "
      + "upstream, among the figures, is what the service behind an edge took to begin its answer, without what rules add.",
    slowWords(edges), ladder(client, edges), lostWords(edges),
    behind("Figures of these bars", () => el("div", {}, edgeTable([client, ...edges]), callTable(edges))), splits(edges));
}

/** A time that keeps its unit at the end of a line. */
const unbroken = (us) => time(us).replace(" ", "\u00a0");

const named = (value) => (value === null || value === undefined ? NONE : String(value));

/** The verdict: the edge that the slow p99 comes from, if that is clear. */
function slowWords(edges) {
  const edge = edges.find((edge) => edge.slow);
  if (!edge) return el("p", { text: "No edge is named: nothing is slow at p99, or it is not clear where that comes from." });
  const words = edge.slow.words ? sentence(edge.slow.words) : `The slow p99 comes from ${named(edge.name)}`;
  return el("p", {}, el("strong", { text: `${words}.` }));
}

/** Why some calls are in no figure. */
function lostWords(edges) {
  const said = edges.flatMap((edge) => [
    edge.unjoined > 0 && `${number(edge.unjoined)} calls to ${named(edge.name)} could belong to several requests, and count with none.`,
    edge.chain_shed > 0 && `The proxy had no room to follow ${number(edge.chain_shed)} requests of ${named(edge.name)}; they are in no figure here.`,
  ]).filter(Boolean);
  return said.length > 0 && el("ul", { class: "note" }, said.map((text) => el("li", { text })));
}

/** How many calls away from the clients an edge is. An edge that nobody is known to call stands beside the first. */
function depths(edges) {
  const depth = new Map([[edges[0].name, 0]]);
  for (const [caller, at] of depth) { // also visits what is added on the way
    const edge = edges.find((edge) => edge.name === caller);
    for (const call of list(edge && edge.calls)) if (!depth.has(call.edge)) depth.set(call.edge, at + 1);
  }
  return (edge) => Math.min(depth.get(edge.name) || 0, DEEPEST);
}

/** Bars for the client and each edge; what called an edge stands above it. */
function ladder(client, edges) {
  const of = (edge) => [["p50", (edge.latency || {}).p50], ["p99", (edge.latency || {}).p99], ["own p99", (edge.own || {}).p99]]
    .filter(([, us]) => isNumber(us));
  const most = largest([client, ...edges].flatMap((edge) => of(edge).map(([, us]) => us)));
  const depth = depths(edges);
  const step = (edge, hue, inset) => {
    const bars = of(edge).map(([name, us]) => bar(name, [[hue, us]], most, us));
    const slow = edge.slow && el("span", { class: "tag bad", text: "the slow p99 comes from here" });
    const node = el("li", { class: edge.slow ? "slow" : null },
      el("strong", { text: named(edge.name) }), ` ${number(edge.seen)} requests `, slow, bars.length > 0 ? bars : el("p", { class: "note", text: "no time was measured" }));
    node.style.setProperty("--inset", `${inset * STEP}rem`);
    return node;
  };
  const above = (edge, inset) => edges.flatMap((caller) => list(caller.calls).filter((call) => call.edge === edge.name).map((call) => {
    const node = el("li", { class: "call", text: `↓ ${named(caller.name)} calls ${named(edge.name)}: ${number(call.per_request)} calls a request, `
      + `p99 ${unbroken((call.latency || {}).p99)}` });
    node.style.setProperty("--inset", `${inset * STEP}rem`);
    return node;
  }));
  return el("figure", {}, el("figcaption", { text: "From the client down" }),
    el("ol", { class: "ladder" }, step(client, "grey", 0), el("li", { class: "call", text: `↓ ${number(edges[0].seen)} requests to ${named(edges[0].name)}` }),
      edges.map((edge, at) => [at > 0 && above(edge, depth(edge)), step(edge, hueOf(at), depth(edge))])));
}

const hueOf = (at) => HUES[at % HUES.length];

/** One line of a ladder: a name, pieces of time side by side, their length as a figure. */
function bar(name, pieces, most, us) {
  const fills = pieces.filter(([, us]) => us > 0).map(([hue, us]) => {
    const fill = el("i", { class: hue });
    fill.style.width = `${(100 * us) / (most || 1)}%`;
    return fill;
  });
  return el("div", { class: "rung" }, el("span", { text: name }), el("span", { class: "bar", "aria-hidden": "true" }, fills), el("b", { text: time(us) }));
}

/** What the mean slow request of each route of the first edge spent where, beside an ordinary one. */
function splits(edges) {
  const [front] = edges;
  const routes = list(front.routes).filter((row) => row && row.slow).sort((one, other) => p99Of(other) - p99Of(one));
  if (routes.length === 0) return null;
  const places = edges.map((edge, at) => ({ at, hue: hueOf(at), name: at === 0 ? `${named(edge.name)} itself` : `calls to ${named(edge.name)}`, edge: edge.name }));
  const spent = (split, place) => (place.at === 0 ? split.own_us : (list(split.calls).find((call) => call.edge === place.edge) || {}).us);
  const rows = [front.typical && { name: "Ordinary request", split: front.typical },
    ...routes.map((row) => ({ name: named(row.route), split: row.slow, p99: p99Of(row) }))].filter(Boolean);
  const used = places.filter((place) => rows.some((row) => spent(row.split, place) > 0));
  const most = largest(rows.flatMap((row) => [row.split.took_us, sum(used.map((place) => spent(row.split, place)))]));
  const where = (split) => used.filter((place) => spent(split, place) > 0).map((place) => `${place.name} ${unbroken(spent(split, place))}`);
  const line = (row) => el("li", {}, row.p99 === undefined ? row.name : el("code", { text: row.name }),
    el("small", { text: [row.p99 > 0 && `p99 ${unbroken(row.p99)}`, ...where(row.split)].filter(Boolean).join(" · ") }),
    bar(`mean of ${number(row.split.count)}`, used.map((place) => [place.hue, spent(row.split, place)]), most, row.split.took_us));
  return el("figure", {},
    el("figcaption", { text: `Where slow requests of ${named(front.name)} spend their time, by route` }),
    el("p", { class: "note", text: "The mean of the slow ones of a route, from its 99th percentile on and ten at least, under the mean of all that are no slower "
      + "than the median. Calls at the same time count in each." }),
    key(used, false), el("ol", { class: "ladder" }, rows.slice(0, MOST_SPLITS + 1).map(line)),
    behind("Figures of these routes", () => table(`Mean slow request by route of ${named(front.name)}`, [
      { title: "route", value: (row) => row.name, name: true },
      { title: "p99", value: (row) => row.p99, show: time, number: true },
      { title: "requests in the mean", value: (row) => row.split.count, number: true },
      { title: "took", value: (row) => row.split.took_us, show: time, number: true },
      ...used.map((place) => ({ title: place.name, value: (row) => spent(row.split, place) || 0, show: time, number: true })),
    ], rows, { tall: true })));
}

const p99Of = (row) => (row.latency || {}).p99 || 0;

function edgeTable(edges) {
  const figures = (title, of) => ["p50", "p90", "p99", "max"].map((name) =>
    ({ title: `${title} ${name}`, value: (row) => (of(row) || {})[name], show: time, number: true }));
  return table("Client and edges", [{ title: "edge", value: (row) => row.name, name: true }, column("requests", "seen"),
    ...figures("whole", (row) => row.latency), ...figures("own", (row) => row.own),
    ...(edges.some((edge) => edge.upstream) ? figures("upstream", (row) => row.upstream) : []),
    column("calls of nobody known", "unjoined"), column("not followed", "chain_shed")], edges);
}

function callTable(edges) {
  const calls = edges.flatMap((edge) => list(edge.calls).map((call) => ({ from: edge.name, ...call })));
  return calls.length > 0 && table("Calls from edge to edge", [{ title: "from", value: (row) => row.from, name: true }, words("to", "edge"),
    column("calls", "count"), column("calls a request", "per_request"),
    ...["p50", "p99"].map((name) => ({ title: `call ${name}`, value: (row) => (row.latency || {})[name], show: time, number: true }))], calls);
}

/** How far an edge is set in for each call on the way to it, and how often at most, so that all bars begin at one place. */
const STEP = 0.9;
const DEEPEST = 3;
/** Routes that are drawn; the table has them all. */
const MOST_SPLITS = 12;
