// The table of daemons: filtered and sorted here, and kept as the updates say.
import { age, follow, put } from "./live.js";

const table = document.getElementById("daemons");
const search = document.getElementById("q");
const [STATE, NAME, READY, CPU, MEMORY, RESTARTS, UP, NOTE] = [0, 1, 2, 3, 4, 5, 6, 7];
const find = (id) => document.getElementById(`i${id}`);
const blank = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
const groups = () => table.tBodies;
const rows = (group) => [...group.rows].slice(1);

// What is shown.

let kind = new URLSearchParams(location.search).get("state") ?? "";

function filter() {
  const wanted = search.value.trim().toLowerCase();
  const counts = { "": 0 };
  let shown = 0;
  for (const group of groups()) {
    const host = group.querySelector(".h")?.textContent ?? "";
    const all = rows(group);
    let here = 0;
    for (const row of all) {
      counts[""]++;
      counts[row.className] = (counts[row.className] ?? 0) + 1;
      const matches = (!kind || row.className === kind) && (!wanted ||
        [host, row.cells[NAME].textContent, row.cells[STATE].textContent, row.cells[NOTE].lastChild.data].join("\n").toLowerCase().includes(wanted));
      if (row.hidden === matches) row.hidden = !matches;
      here += matches;
    }
    shown += here;
    group.hidden = here === 0 && !!(kind || wanted);
    const count = group.querySelector(".count");
    if (count) put(count, plural(all.length, "daemon"));
  }
  for (const tally of document.querySelectorAll(".tally")) {
    const n = counts[tally.dataset.kind] ?? 0;
    put(tally.firstElementChild, String(n));
    tally.classList.toggle("zero", n === 0);
    tally.dataset.kind === kind ? tally.setAttribute("aria-current", "true") : tally.removeAttribute("aria-current");
  }
  const hosts = table.querySelectorAll(".host").length, lost = table.querySelectorAll(".host.lost").length;
  put(document.getElementById("hosts"), plural(hosts, "host"));
  put(document.getElementById("unreached"), lost ? `${lost} not reached` : "");
  put(document.getElementById("shown"), kind || wanted ? `${shown} of ${counts[""]} shown` : "");
  document.getElementById("nomatch").hidden = shown > 0 || counts[""] === 0;
}

function remember() {
  const query = new URLSearchParams();
  if (kind) query.set("state", kind);
  if (search.value) query.set("q", search.value);
  history.replaceState(null, "", query.size ? `?${query}` : "/");
}

search.addEventListener("input", () => { filter(); remember(); });
search.form.addEventListener("submit", (event) => event.preventDefault());
document.querySelector(".tallies").addEventListener("click", (event) => {
  const tally = event.target.closest(".tally");
  if (!tally || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  kind = tally.dataset.kind === kind ? "" : tally.dataset.kind;
  filter();
  remember();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target === search) return;
  event.preventDefault();
  search.focus();
});

table.addEventListener("mouseover", (event) => { // what is cut is there for who points at it
  const cell = event.target.closest(".note");
  if (cell) cell.title = cell.scrollWidth > cell.clientWidth ? cell.lastChild.data.trim() : "";
});

// In which order.

const severity = ["bad", "unknown", "busy", "off", "ok"];
const figure = (text) => { // "12.3", "34.5M"; what isn't known comes last
  const n = parseFloat(text);
  return isNaN(n) ? -1 : n * 1024 ** Math.max(0, "BKMGTPE".indexOf(text.at(-1)));
};
const since = (node) => Number(node.dataset.at);
const keys = {
  [STATE]: (row) => severity.indexOf(row.className),
  [READY]: (row) => ["no", "?", "yes"].indexOf(row.cells[READY].textContent),
  [CPU]: (row) => -figure(row.cells[CPU].textContent),
  [MEMORY]: (row) => -figure(row.cells[MEMORY].firstChild.data.trim()),
  [RESTARTS]: (row) => -figure(row.cells[RESTARTS].textContent),
  [UP]: (row) => -since(row.cells[UP]),
  [NOTE]: (row) => -since(row.cells[NOTE].firstElementChild),
};
const order = { by: NAME, sign: 1 };
const plural = (n, one) => n === 1 ? `1 ${one}` : `${n} ${one}s`;
const byName = (a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

function sort(unlessIn) { // moved, an element would lose the focus
  const key = keys[order.by];
  for (const group of groups()) {
    if (unlessIn && group.contains(unlessIn)) continue;
    const before = rows(group);
    const sorted = before.map((row) => ({ row, name: row.cells[NAME].textContent, key: key?.(row) ?? 0 }))
      .sort((a, b) => order.sign * (a.key - b.key || (key ? 0 : byName(a, b))) || byName(a, b));
    if (sorted.some((one, i) => one.row !== before[i])) group.append(...sorted.map((one) => one.row));
  }
}

for (const [i, head] of [...table.tHead.rows[0].cells].entries()) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  if (i === NAME) head.setAttribute("aria-sort", "ascending");
  button.addEventListener("click", () => {
    order.sign = order.by === i ? -order.sign : 1;
    order.by = i;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order.sign > 0 ? "ascending" : "descending");
    sort();
  });
}

// What changes.

function time(node, at, none) {
  node.dataset.at = at;
  put(node, at ? age(at) : none);
}

function figureCell(cell, node, text) {
  if (node.data !== text) node.data = text;
  text.startsWith("?") ? cell.title = "not known" : cell.removeAttribute("title");
}

const steps = {
  hosts([id, name, drivers, trouble, why]) {
    let group = find(id);
    if (!group) {
      document.getElementById("none")?.remove();
      group = blank("t-group");
      group.id = `i${id}`;
      table.insertBefore(group, [...groups()].find((other) => other.querySelector(".h").textContent > name) ?? null);
    }
    group.rows[0].classList.toggle("lost", trouble !== "");
    put(group.querySelector(".h"), name);
    put(group.querySelector(".drivers"), drivers);
    put(group.querySelector(".trouble"), trouble);
    group.querySelector(".trouble").title = why;
  },
  rows([id, host, name, path]) {
    const row = find(id) ?? blank("t-row");
    row.id = `i${id}`;
    row.querySelector("a").textContent = name;
    row.querySelector("a").setAttribute("href", path);
    find(host)?.append(row);
  },
  states([id, kind, phase, why, ready, readyWhy, restarts, since, limit]) {
    const row = find(id);
    if (!row) return;
    row.className = kind;
    put(row.cells[STATE], phase);
    row.cells[STATE].title = why;
    put(row.cells[READY], ready);
    row.cells[READY].title = readyWhy;
    put(row.cells[RESTARTS], restarts);
    time(row.cells[UP], since, "–");
    put(row.cells[MEMORY].lastElementChild, limit);
  },
  notes([id, text, at]) {
    const cell = find(id)?.cells[NOTE];
    if (!cell) return;
    time(cell.firstElementChild, at, "");
    cell.lastChild.data = ` ${text}`;
  },
  gone(id) {
    find(id)?.remove();
  },
};

function figures(list) { // four for each daemon
  for (let i = 0; i + 3 < list.length; i += 4) {
    const cells = find(list[i])?.cells;
    if (!cells) continue;
    const cpu = list[i + 1];
    figureCell(cells[CPU], cells[CPU].firstChild, typeof cpu === "number" ? cpu.toFixed(cpu < 99.95 ? 1 : 0) : cpu);
    figureCell(cells[MEMORY], cells[MEMORY].firstChild, `${list[i + 2]} `);
    cells[MEMORY].className = `n mem f${list[i + 3]}`;
  }
}

filter();
follow("", (update) => {
  for (const [list, step] of Object.entries(steps)) update[list]?.forEach(step);
  if (update.figures) figures(update.figures);
  filter();
  if (order.by !== NAME || update.rows) sort(document.activeElement);
});
