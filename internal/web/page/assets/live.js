// What all pages share: the stream of updates, how fresh the page is, and ages that grow.

const silence = 15000; // milliseconds without a word after which the link counts as lost
const link = document.getElementById("link");
const state = { lost: null, offset: Number(document.body.dataset.time) - Date.now() / 1000 };

const clock = (ms) => new Date(ms).toTimeString().slice(0, 8);

function show(kind, text) {
  if (link.textContent === text) return;
  link.className = `link ${kind}`;
  link.textContent = text;
}

function heard(seconds) {
  state.offset = seconds - Date.now() / 1000;
  state.at = Date.now();
  state.lost = null;
  document.body.classList.remove("lost-link");
  show("live", "Live");
}

function lose() {
  state.lost ??= state.at ?? Date.now();
  document.body.classList.add("lost-link");
  show("lost", `Disconnected since ${clock(state.lost)}, showing what was known then`);
}

/** follow calls apply with each update, and goes on after a lost link where it was. */
export function follow(query, apply) {
  let source, timer, wait = 2000;
  let version = document.body.dataset.version;
  const close = () => { source?.close(); source = null; clearTimeout(timer); };
  const again = (after) => { clearTimeout(timer); timer = setTimeout(open, after); };
  const quiet = () => { lose(); close(); again(wait); };
  const alive = (event, seconds) => {
    version = event.lastEventId || version;
    wait = 2000;
    heard(seconds);
    clearTimeout(timer);
    timer = setTimeout(quiet, silence);
  };
  function open() {
    close();
    // The origin, because an address that has a token in it can't be asked relative to.
    source = new EventSource(`${location.origin}/updates?since=${encodeURIComponent(version)}${query}`);
    timer = setTimeout(quiet, silence);
    source.onopen = () => heard(Date.now() / 1000 + state.offset);
    source.onmessage = (event) => {
      const update = JSON.parse(event.data);
      alive(event, update.t);
      apply(update);
      ages();
    };
    source.addEventListener("alive", (event) => alive(event, Number(event.data)));
    source.addEventListener("reload", () => location.reload());
    source.onerror = () => { // also where the browser would try by itself: it gives up for good on an answer that isn't 200
      lose();
      close();
      again(wait);
      wait = Math.min(wait * 1.5, 30000);
    };
  }
  // A page in the background lets go of its connection: browsers have few for one server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return close();
    if (Date.now() - state.at > silence) lose();
    open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  if (!document.hidden) open();
}

/** age is how long ago a time was, in one unit, as the server writes it. */
export function age(at) {
  if (at <= 0) return at ? "?" : "–"; // nobody knows, or there is none
  const s = Math.max(0, Math.floor(Date.now() / 1000 + state.offset) - at);
  if (s < 120) return `${s}s`;
  if (s < 120 * 60) return `${Math.floor(s / 60)}m`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86400)}d`;
}

/** put changes a text, where it does change: a selection in it stays, and nothing is drawn again. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function ages() {
  if (state.lost) return; // what isn't known any more grows no older
  for (const node of document.querySelectorAll("[data-at]")) {
    if (node.dataset.at > 0) put(node, age(Number(node.dataset.at)));
  }
}

setInterval(() => { if (!document.hidden) ages(); }, 5000);
