// Tables: a column knows its title, how to get its value, how to show it.

/**
 * A table of `rows`. A column is { title, value, show, name, brief, number, cell }: `value` sorts and, unless `show` or `cell` says
 * otherwise, is shown; `name` makes it the row's header, a
 * `brief` one where it is but a number. `id` names a row, so that links lead to it.
 */
function table(caption, columns, rows, { sortable = false, tall = false, id = null } = {}) {
  const body = el("tbody");
  const heads = columns.map((column) => head(column, sortable));
  const node = el("table", {}, el("caption", { text: caption }), el("thead", {}, el("tr", {}, heads)), body);
  const box = el("div", { class: tall ? "scroll tall" : "scroll", role: "region", "aria-label": caption, tabindex: "0" }, node);
  let shown = rows;
  let order = null;
  const fill = () => body.replaceChildren(...sorted(shown, order).map((row) => line(columns, row, id)));
  const sort = (at) => {
    const descending = order && order.at === at ? !order.descending : Boolean(columns[at].number);
    order = { at, descending, value: columns[at].value };
    heads.forEach((cell, place) => {
      if (place === at) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    fill();
  };
  if (sortable) heads.forEach((cell, at) => cell.firstChild.addEventListener("click", () => sort(at)));
  fill();
  box.keep = (test) => {
    shown = rows.filter(test);
    fill();
    return shown.length;
  };
  return box;
}

function head(column, sortable) {
  const inside = sortable ? el("button", { type: "button", text: column.title }) : column.title;
  return el("th", { scope: "col", class: column.number ? "number" : null }, inside);
}

function line(columns, row, id) {
  return el("tr", { id: id && id(row) }, columns.map((column) => {
    const value = column.value(row);
    const content = column.cell ? column.cell(row) : column.show ? column.show(value, row) : shownPlain(value);
    if (column.name) return el("th", { scope: "row", class: column.brief ? "brief" : "name" }, content);
    return el("td", { class: column.number ? "number" : null }, content);
  }));
}

const shownPlain = (value) => (isNumber(value) ? number(value) : value === null || value === undefined ? NONE : String(value));

/** What has no value comes last either way. */
function sorted(rows, order) {
  if (!order) return rows;
  const sign = order.descending ? -1 : 1;
  const lacks = (value) => value === null || value === undefined || Number.isNaN(value);
  return [...rows].sort((one, other) => {
    const [a, b] = [order.value(one), order.value(other)];
    if (lacks(a) || lacks(b)) return Number(lacks(a)) - Number(lacks(b));
    return sign * (typeof a === "string" ? a.localeCompare(String(b)) : a - b);
  });
}

const column = (title, key, show) => ({ title, value: (row) => row[key], show, number: true });
const words = (title, key) => ({ title, value: (row) => row[key] });
/** Sentences, which want more room than a word. */
const prose = (title, value) => ({ title, value, cell: (row) => el("span", { class: "prose", text: shownPlain(value(row)) }) });

/** The name of a figure, which may break where its parts end. */
const breaking = (name) => String(name).split(/(?<=[._])/).flatMap((piece) => [piece, el("wbr")]);

/** A search field and a box to tick, above a table; says how many rows are left. */
function filtered(box, total, { what, text, only }) {
  const left = el("span", { role: "status", class: "note" });
  const search = el("input", { type: "search", placeholder: `Filter ${what}`, "aria-label": `Filter ${what}` });
  const tick = only && el("input", { type: "checkbox" });
  const apply = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = box.keep((row) => {
      const content = text(row).toLowerCase();
      return wanted.every((word) => content.includes(word)) && (!tick || !tick.checked || only.test(row));
    });
    left.textContent = `${number(rows)} of ${number(total)} ${what}`;
  };
  search.addEventListener("input", apply);
  if (tick) tick.addEventListener("change", apply);
  apply();
  return el("div", {}, el("div", { class: "tools" }, search, tick && el("label", {}, tick, ` ${only.title}`), left), box);
}

/** Counts by name, as rows, largest first. */
const counted = (counts) => entries(counts).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1])
  .map(([name, count]) => ({ name, count }));
