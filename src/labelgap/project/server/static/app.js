// The page: the list of images, what an answer does to it, and what happens when.

import { LoggedOut, away, call, locked, login } from "./calls.js";
import { find, imageUrl, randomId } from "./dom.js";
import { showEmpty } from "./empty.js";
import { Grid } from "./grid.js";
import { meaning, shown } from "./keys.js";
import { More } from "./more.js";
import { askName, overlaid, showKeys } from "./overlay.js";
import { IDLE, WATCH, banner, page, person } from "./page.js";
import { changed, recall, showHistory, showState } from "./progress.js";
import { Queue } from "./queue.js";
import { Single } from "./single.js";

const AHEAD = 40; // images held for this person
const FEW_LEFT = 15;
const PREFETCHED = 5;
const RENEW = 240000; // well before a lease of ten minutes ends

function rename() {
  find("keys").close();
  askName(person(), (name) => {
    localStorage.setItem("labelgap/person", name);
    location.reload();
  });
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
    page.looked = true;
    page.items.push(...batch.filter((item) => !here.has(item.id) && !page.gone.has(item.id)));
    show();
    if (page.items.length < FEW_LEFT) refresh(); // it may be choosing the next ones
  } catch (error) {
    away(error);
  } finally {
    fetching = false;
  }
}

function show() {
  const item = page.items[0] ?? null;
  if (page.mode === "grid" && !page.grid.possible) setMode("single");
  const single = page.mode === "single";
  find("mode").disabled = !page.grid.possible;
  find("mode").title = page.grid.possible
    ? "Many images at once"
    : "There is no prediction to confirm: the network learns from the first answers";
  find("grid").hidden = single || item === null;
  page.single.show(single ? item : null);
  if (!single) page.grid.show();
  // Without an image it waits for a state that knows the last answers.
  if (item !== null) find("empty").hidden = true;
  else refresh();
  for (const next of page.items.slice(1, 1 + PREFETCHED)) new Image().src = imageUrl(next);
}

function setMode(mode) {
  page.mode = mode;
  find("mode").setAttribute("aria-pressed", String(mode === "grid"));
}

function toggleMode() {
  if (page.mode === "single" && !page.grid.possible) return;
  setMode(page.mode === "single" ? "grid" : "single");
  show();
}

// An old answer's image once more; Escape leaves it as it was.
page.again = (past) => {
  const item = past.item ?? past.old;
  const why = `you answered ${past.what}; another answer replaces it, Esc leaves it`;
  const guess = { predicted: null, probability: null, neighbours: [], numbers: "" };
  leaveAgain();
  page.items = [{ ...item, ...guess, why, again: true }, ...page.items.filter((i) => i.id !== item.id)];
  setMode("single");
  show();
};

function leaveAgain() {
  if (!page.items[0]?.again) return false;
  page.items.shift();
  return true;
}

// ------------------------------------------------------------------------------------ answers

function answer(item, what, bulk) {
  if (!put(item, what, bulk)) return;
  show();
  if (page.items.length < FEW_LEFT) more();
}

function put(item, what, bulk) {
  // A label is a place among the classes of this page, which may be others when it arrives.
  const of = what.kind === "label" ? { classes_seq: page.classesSeq, name: page.classes[what.label] } : {};
  try {
    page.queue.push({ id: item.id, ...what, ...of, item, bulk });
  } catch {
    banner("This browser cannot keep answers (its storage is full or forbidden): not answered.");
    return false;
  }
  page.gone.add(item.id);
  page.items = page.items.filter((other) => other.id !== item.id);
  return true;
}

// One undo takes them all back.
function answerMany(items, label) {
  const bulk = randomId();
  for (const item of items) put(item, { kind: "label", label }, bulk);
  show();
  if (page.items.length < FEW_LEFT) more();
}

function undo() {
  const last = page.past.find((entry) => !entry.undone && entry.state !== "refused");
  if (!last) return;
  const together = (entry) => entry.bulk === last.bulk && !entry.undone && entry.state !== "refused";
  const all = last.bulk ? page.past.filter(together) : [last];
  for (const one of all) if (!takeBack(one)) break;
  show();
  showHistory();
}

function takeBack(one) {
  try {
    page.queue.push({ id: one.id, kind: "undo" });
  } catch {
    banner("This browser cannot keep answers: not undone.");
    return false;
  }
  one.undone = true;
  if (one.item?.again) return true; // the answer of before stands again
  page.gone.delete(one.id);
  if (one.item) page.items = [one.item, ...page.items.filter((other) => other.id !== one.id)];
  return true;
}

// What the queue tells of an answer: pending, stored or refused.
function told(entry, state, reason) {
  changed(entry, state, reason);
  const back = entry.kind === "undo" && state === "stored";
  if (back && !page.items.some((item) => item.id === entry.id)) more();
  refresh();
}

// ---------------------------------------------------------------------------- the server's state

let due = null;

function refresh(wait = 250) {
  clearTimeout(due);
  due = setTimeout(async () => {
    try {
      arrived(await state());
      if (page.lost) away(null);
      page.lost = false;
    } catch (error) {
      page.lost = true;
      away(error);
      if (!(error instanceof LoggedOut)) refresh(IDLE);
    }
  }, wait);
}

function state() {
  return call(`/api/state?${new URLSearchParams({ person: person() })}`);
}

// The page may be opened before the server is there.
async function firstState() {
  for (;;) {
    try {
      const found = await state();
      banner(null);
      return found;
    } catch (error) {
      if (error instanceof LoggedOut) throw error;
      away(error);
      await new Promise((resolve) => setTimeout(resolve, WATCH));
    }
  }
}

function arrived(state) {
  if (state.classes_seq !== page.classesSeq) return location.reload(); // other classes now
  if (page.asked !== null && state.asked > page.asked) more();
  page.asked = state.asked;
  page.state = state;
  showEmpty(state, !page.items.length && page.looked && !page.queue.length);
  if (state.asking.running) refresh(WATCH);
  else if (!page.items.length) refresh(IDLE);
  showState(state);
}

// -------------------------------------------------------------------------------------- start

function keydown(event) {
  if (event.defaultPrevented || event.isComposing || overlaid()) return;
  const typed = event.target === find("filter");
  if (event.target.closest?.("select, input") && !typed) return;
  if (event.key === "Escape" && leaveAgain()) {
    show();
    return;
  }
  const inGrid = page.mode === "grid";
  const text = inGrid ? "" : find("filter").value;
  const act = meaning(event, page.keys, text, page.single.searching)?.act;
  if (act === "grid") toggleMode();
  else if (act === "keys") showKeys(page.keys, page.classes);
  else if (inGrid ? !page.grid.key(event) : !page.single.key(event)) return;
  event.preventDefault();
}

async function start() {
  await login();
  find("person").textContent = person();
  for (const id of ["person", "rename"]) find(id).addEventListener("click", rename);
  const first = await firstState();
  page.classes = first.classes;
  page.classesSeq = first.classes_seq;
  page.queue = new Queue(first.id, person, told, (reason) =>
    away(reason === null ? null : new Error(reason)),
  );
  page.keys = first.keys;
  page.single = new Single(page.classes, page.keys, answer, undo);
  page.grid = new Grid(page.classes, page.keys, () => page.items, answerMany, undo);
  page.more = new More(refresh, away);
  recall(first);
  // Answers that a closed page had not sent are answered already.
  for (const entry of page.queue.entries()) {
    if (entry.kind !== "undo") page.gone.add(entry.id);
    told(entry, "pending");
  }
  arrived(first);
  showHistory();
  find("mode").querySelector("kbd").textContent = shown(page.keys, "grid");
  find("mode").addEventListener("click", toggleMode);
  find("help").addEventListener("click", () => showKeys(page.keys, page.classes));
  for (const id of ["head", "past"]) find(id).hidden = false;
  document.addEventListener("keydown", keydown);
  window.addEventListener("online", () => page.queue.send());
  await more();
  page.queue.send();
  setInterval(more, RENEW);
}

start().catch((error) => (error instanceof LoggedOut ? locked() : away(error)));
