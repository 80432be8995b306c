// The page: login, the list of images, history, and what is shown when.

import { find, imageUrl, make, randomId } from "./dom.js";
import { Grid } from "./grid.js";
import { More } from "./more.js";
import { Queue } from "./queue.js";
import { Single } from "./single.js";

const AHEAD = 40; // images held for this person
const FEW_LEFT = 15;
const PREFETCHED = 5;
const RENEW = 240000; // well before a lease of ten minutes ends
const WATCH = 1000; // while the server chooses more images
const IDLE = 10000; // while there is nothing to label here: somebody else may ask for more

const page = {
  classes: [],
  items: [], // waiting, in order
  gone: new Set(), // answered here: a batch that was on its way may still hold them
  past: [], // this person's answers, newest first: {key, id, what, state, item}
  queue: null,
  single: null,
  grid: null,
  more: null,
  asked: null, // images asked for so far, as far as this page knows
  lost: false, // the last state could not be fetched
  mode: "single",
};

class LoggedOut extends Error {}

async function call(path) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new Error("The server is away.");
  }
  if (response.status === 401) throw new LoggedOut();
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return response.json();
}

// ------------------------------------------------------------------------------ login, person

async function login() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("person")) localStorage.setItem("labelgap/person", given.get("person"));
  if (!given.get("token")) return;
  // The secret leaves the address line, the history and every screenshot.
  history.replaceState(null, "", "/");
  await fetch("/api/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: given.get("token") }),
  });
}

function person() {
  let name = localStorage.getItem("labelgap/person");
  if (!name) {
    // Two browsers are two persons until they say otherwise: each gets other images.
    name = `person-${randomId().slice(0, 4)}`;
    localStorage.setItem("labelgap/person", name);
  }
  return name;
}

function rename() {
  const name = prompt("Your name, kept with each answer:", person());
  if (!name || !name.trim()) return;
  localStorage.setItem("labelgap/person", name.trim().slice(0, 60));
  location.reload();
}

// ------------------------------------------------------------------------------------- images

let fetching = false;

async function more() {
  if (fetching) return;
  fetching = true;
  try {
    const query = new URLSearchParams({ person: person(), n: String(AHEAD + page.queue.length) });
    const batch = await call(`/api/batch?${query}`);
    const here = new Set(page.items.map((item) => item.id));
    page.items.push(...batch.filter((item) => !here.has(item.id) && !page.gone.has(item.id)));
    show();
  } catch (error) {
    away(error);
  } finally {
    fetching = false;
  }
}

function show() {
  const item = page.items[0] ?? null;
  const single = page.mode === "single";
  find("grid").hidden = single;
  page.single.show(single ? item : null);
  if (!single) page.grid.show();
  const empty = find("empty");
  empty.hidden = page.items.length > 0;
  if (!empty.hidden) {
    find("grid").hidden = true;
    empty.textContent = "Everything that was asked for has an answer, or is with somebody else.";
  }
  for (const next of page.items.slice(1, 1 + PREFETCHED)) new Image().src = imageUrl(next);
}

function toggleMode() {
  page.mode = page.mode === "single" ? "grid" : "single";
  find("mode").setAttribute("aria-pressed", String(page.mode === "grid"));
  show();
}

// ------------------------------------------------------------------------------------ answers

function answer(item, what) {
  try {
    page.queue.push({ id: item.id, ...what, item });
  } catch {
    banner("This browser cannot keep answers (its storage is full or forbidden): not answered.");
    return;
  }
  page.gone.add(item.id);
  page.items = page.items.filter((other) => other.id !== item.id);
  show();
  if (page.items.length < FEW_LEFT) more();
}

function answerMany(items, label) {
  for (const item of items) answer(item, { kind: "label", label });
}

function undo() {
  const last = page.past.find((entry) => !entry.undone && entry.state !== "refused");
  if (!last) return;
  try {
    page.queue.push({ id: last.id, kind: "undo" });
  } catch {
    banner("This browser cannot keep answers: not undone.");
    return;
  }
  last.undone = true;
  page.gone.delete(last.id);
  if (last.item) {
    page.items = [last.item, ...page.items.filter((other) => other.id !== last.id)];
    show();
  }
  showHistory();
}

function words(entry) {
  if (entry.kind === "skip") return entry.reason;
  return entry.label === -1 ? "none of these" : page.classes[entry.label];
}

// state: pending, stored or refused. A tick is shown for "stored" only.
function changed(entry, state, reason) {
  if (entry.kind === "undo") {
    if (state === "stored" && !page.items.some((item) => item.id === entry.id)) more();
  } else {
    let known = page.past.find((past) => past.key === entry.key);
    if (!known) {
      known = { key: entry.key, id: entry.id, what: words(entry), item: entry.item };
      page.past.unshift(known);
    }
    known.state = state;
    if (state === "refused") page.gone.delete(entry.id);
  }
  if (state === "refused") banner(`Not stored: ${reason}`);
  showHistory();
  refresh();
}

// ------------------------------------------------------------------------------- what is shown

function showHistory() {
  const marks = { pending: "…", stored: "✓", refused: "✗" };
  find("history").replaceChildren(
    ...page.past.slice(0, 12).map((past) =>
      make(
        "li",
        { className: past.state },
        make("span", { className: "mark" }, marks[past.state]),
        make("span", { className: past.undone ? "undone" : "" }, past.what),
        make("span", { className: "muted" }, `#${past.id}`),
      ),
    ),
  );
  const waiting = page.queue.length;
  const saved = find("saved");
  saved.className = waiting ? "waiting" : "";
  saved.textContent = waiting ? `${waiting} not saved yet` : "✓ all saved";
}

function showState(state) {
  page.more.show(state.asking);
  if (page.asked !== null && state.asked > page.asked) more();
  page.asked = state.asked;
  if (state.asking.running) refresh(WATCH);
  else if (!page.items.length) refresh(IDLE);
  find("project").textContent = state.project;
  document.title = `${state.done}/${state.asked} · ${state.project}`;
  find("progress").max = Math.max(state.asked, 1);
  find("progress").value = state.done;
  find("counts").textContent = `${state.done} of ${state.asked} answered`;
  const a = state.accuracy;
  const percent = (x) => `${Math.round(100 * x)} %`;
  find("accuracy").textContent = a
    ? `accuracy ${percent(a.value)} (${percent(a.interval[0])}–${percent(a.interval[1])})`
    : "";
  find("accuracy").title = state.verdict;
  const box = find("conflicts");
  box.hidden = state.conflict_count === 0;
  box.querySelector("ul").replaceChildren(
    ...state.conflicts.map((conflict) =>
      make(
        "li",
        {},
        make("span", { className: "muted" }, `#${conflict.id}`),
        conflict.answers.map((one) => `${one.person}: ${one.what}`).join("; "),
      ),
    ),
  );
}

// What was answered before this page was loaded, so that undo reaches it too.
function recall(state) {
  const undone = new Map();
  for (const event of state.history) {
    if (event.kind === "undone") {
      undone.set(event.id, (undone.get(event.id) ?? 0) + 1);
      continue;
    }
    const times = undone.get(event.id) ?? 0;
    if (times) undone.set(event.id, times - 1);
    page.past.push({ id: event.id, what: event.what, state: "stored", undone: times > 0 });
  }
}

let due = null;

function refresh(wait = 250) {
  clearTimeout(due);
  due = setTimeout(async () => {
    try {
      showState(await call(`/api/state?${new URLSearchParams({ person: person() })}`));
      if (page.lost) away(null);
      page.lost = false;
    } catch (error) {
      page.lost = true;
      away(error);
      if (!(error instanceof LoggedOut)) refresh(IDLE);
    }
  }, wait);
}

function banner(text) {
  const box = find("banner");
  box.hidden = !text;
  box.textContent = text ?? "";
}

function away(error) {
  if (error === null) return banner(null);
  if (error instanceof LoggedOut) return banner("Open the link that `labelgap label` printed.");
  const waiting = page.queue ? page.queue.length : 0;
  const kept = waiting ? ` ${waiting} answers are kept here and sent when it returns.` : "";
  banner(`${error.message ?? error}${kept}`);
}

// -------------------------------------------------------------------------------------- start

function keydown(event) {
  if (event.defaultPrevented || event.isComposing) return;
  const typed = event.target === find("filter");
  if (event.target.closest?.("select, input") && !typed) return;
  if (event.key === "g" && !event.ctrlKey && !event.metaKey && !typed) {
    event.preventDefault();
    toggleMode();
    return;
  }
  const inGrid = page.mode === "grid";
  if (inGrid && event.key === "Enter" && !event.target.closest?.("button")) page.grid.confirm();
  else if (inGrid && event.key === "Backspace") undo();
  else if (inGrid || !page.single.key(event)) return;
  event.preventDefault();
}

async function start() {
  await login();
  find("person").textContent = person();
  find("person").addEventListener("click", rename);
  const state = await call(`/api/state?${new URLSearchParams({ person: person() })}`);
  page.classes = state.classes;
  page.queue = new Queue(state.id, person, changed, (reason) =>
    away(reason === null ? null : new Error(reason)),
  );
  page.single = new Single(page.classes, answer, undo);
  page.grid = new Grid(page.classes, () => page.items, answerMany);
  page.more = new More(refresh, away);
  recall(state);
  // Answers that a closed page had not sent are answered already.
  for (const entry of page.queue.entries()) {
    if (entry.kind !== "undo") page.gone.add(entry.id);
    changed(entry, "pending");
  }
  showState(state);
  showHistory();
  find("mode").addEventListener("click", toggleMode);
  document.addEventListener("keydown", keydown);
  window.addEventListener("online", () => page.queue.send());
  await more();
  page.queue.send();
  setInterval(more, RENEW);
}

start().catch(away);
