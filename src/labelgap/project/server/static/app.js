// The page: the list of images, what an answer does to it, and what happens when.

import { LoggedOut, away, call, login } from "./calls.js";
import { find, imageUrl } from "./dom.js";
import { Grid } from "./grid.js";
import { More } from "./more.js";
import { IDLE, WATCH, banner, page, person } from "./page.js";
import { changed, recall, showHistory, showState } from "./progress.js";
import { Queue } from "./queue.js";
import { Single } from "./single.js";

const AHEAD = 40; // images held for this person
const FEW_LEFT = 15;
const PREFETCHED = 5;
const RENEW = 240000; // well before a lease of ten minutes ends

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
  // A label is a place among the classes of this page, which may be others when it arrives.
  const of = what.kind === "label" ? { classes_seq: page.classesSeq, name: page.classes[what.label] } : {};
  try {
    page.queue.push({ id: item.id, ...what, ...of, item });
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

function arrived(state) {
  if (state.classes_seq !== page.classesSeq) return location.reload(); // other classes now
  if (page.asked !== null && state.asked > page.asked) more();
  page.asked = state.asked;
  if (state.asking.running) refresh(WATCH);
  else if (!page.items.length) refresh(IDLE);
  showState(state);
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
  const first = await state();
  page.classes = first.classes;
  page.classesSeq = first.classes_seq;
  page.queue = new Queue(first.id, person, told, (reason) =>
    away(reason === null ? null : new Error(reason)),
  );
  page.single = new Single(page.classes, answer, undo);
  page.grid = new Grid(page.classes, () => page.items, answerMany);
  page.more = new More(refresh, away);
  recall(first);
  // Answers that a closed page had not sent are answered already.
  for (const entry of page.queue.entries()) {
    if (entry.kind !== "undo") page.gone.add(entry.id);
    told(entry, "pending");
  }
  arrived(first);
  showHistory();
  find("mode").addEventListener("click", toggleMode);
  document.addEventListener("keydown", keydown);
  window.addEventListener("online", () => page.queue.send());
  await more();
  page.queue.send();
  setInterval(more, RENEW);
}

start().catch(away);
