// One daemon's page: a section is asked for again when something of it may have changed, and takes the place of the old one where it has.
import { follow } from "./live.js";

const every = { usage: 15000, log: 5000, events: 15000 };
const least = 2000; // milliseconds between two questions
const due = new Set();
const tags = new Map(); // of the answers that are shown, by what was asked: the browser's own cache must keep nothing
let busy = false;

async function refresh() {
  if (busy || due.size === 0 || document.hidden) return;
  busy = true;
  const asked = [...due];
  due.clear();
  try {
    const question = asked.sort().join(",");
    const answer = await fetch(`${location.origin}${location.pathname}?section=${question}`, { cache: "no-store", headers: { "If-None-Match": tags.get(question) ?? '""' } });
    if (answer.status === 404) document.querySelector(".state").textContent = "Gone";
    if (answer.ok) tags.set(question, answer.headers.get("ETag"));
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"), asked);
  } catch {
    // the link is lost, and says so itself
  }
  setTimeout(() => { busy = false; refresh(); }, least);
}

// The server escaped what is in the sections, as in the page that was loaded; nothing in them is run.
function replace(page, asked) {
  for (const id of asked) {
    const [now, next] = [document.getElementById(id), page.getElementById(id)];
    if (!now || !next || now.isEqualNode(next)) continue;
    if (now.contains(document.getSelection()?.anchorNode) && !document.getSelection().isCollapsed) continue; // somebody is copying it
    const box = now.querySelector("pre");
    const at = box && { top: box.scrollTop, end: box.scrollTop + box.clientHeight >= box.scrollHeight - 4 };
    now.replaceWith(document.adoptNode(next));
    if (at) scroll(next.querySelector("pre"), at);
  }
}

function scroll(box, { top, end }) {
  if (box) box.scrollTop = end ? box.scrollHeight : top;
}

function ask(...sections) {
  for (const section of sections) due.add(section);
  refresh();
}

scroll(document.querySelector("#log pre"), { end: true });
for (const [section, interval] of Object.entries(every)) setInterval(ask, interval, section);
follow(`&only=${document.body.dataset.id}`, (update) => {
  if (update.gone || update.states || update.notes || update.hosts) ask("now", "events", "diff");
});
