// The review view: which part is shown, what a key does, and what the server tells.

import { LoggedOut, call } from "../calls.js";
import { find } from "../dom.js";
import { banner } from "../page.js";
import { give, keep, leave, makeActions, refused, showActions, undo } from "./actions.js";
import { Browse } from "./browse.js";
import { Duplicates } from "./duplicates.js";
import { Errors } from "./errors.js";
import { fillFilters } from "./filters.js";
import { NONE, keysOf, known } from "./known.js";
import { Map2 } from "./map.js";
import { Writes } from "./writes.js";

const VIEWS = ["browse", "errors", "duplicates", "map"];
const WATCH = 700; // milliseconds between looks while the server computes
const LATER = 4000; // while it rests before it computes again
let view = "browse";
const parts = {};

function away(error) {
  if (error instanceof LoggedOut) {
    for (const id of ["head", "work", "actions", "making"]) find(id).hidden = true;
    find("locked").hidden = false;
    return;
  }
  banner(error?.message ?? error);
}

function clear() {
  known.chosen.clear();
  chosen();
}

function chosen() {
  showActions();
  parts.browse.tiles.show();
  for (const tiles of parts.duplicates.tiles) tiles.show();
  if (view === "map") parts.map.draw();
}

function open(name) {
  view = VIEWS.includes(name) ? name : "browse";
  if (location.hash.slice(1) !== view) history.replaceState(null, "", `#${view}`);
  for (const one of VIEWS) find(one).hidden = one !== view;
  for (const button of find("views").querySelectorAll("button"))
    if (button.dataset.view === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  clear();
  load();
}

function load() {
  if (view === "browse") return parts.browse.show();
  return parts[view].load();
}

// ------------------------------------------------------------------------------------ the server

let due = null;

async function refresh() {
  clearTimeout(due);
  let state;
  try {
    state = await call("/api/review/state");
  } catch (error) {
    return away(error);
  }
  const before = known.state;
  if (before && before.classes_seq !== state.classes_seq) return location.reload();
  known.state = state;
  showState(state);
  if (state.making.running) due = setTimeout(refresh, WATCH);
  else if (state.stale) due = setTimeout(refresh, LATER);
  // What has just been made appears by itself; a queue that somebody works on is left alone.
  const fresh = before && (before.done.join() !== state.done.join() || before.why_not !== state.why_not);
  const over = before?.making.running && !state.making.running;
  const atWork = view === "errors" && parts.errors.items.length > 0;
  if ((fresh || over) && !atWork) load();
}

function showState(state) {
  fillFilters(state);
  find("count-errors").textContent = state.doubts ? String(state.doubts) : "";
  find("count-duplicates").textContent = state.groups ? String(state.groups) : "";
  const making = state.making;
  find("making").hidden = !making.running && !making.error;
  find("making-bar").hidden = !making.running;
  find("making-bar").value = making.share ?? 0;
  const left = making.left ? `, about ${making.left} left` : "";
  find("making-text").textContent = making.running
    ? `It is ${making.doing}: ${Math.round(100 * making.share)} %${left}.`
    : making.error ?? "";
}

function told(write, result) {
  if (result.refused) {
    refused(write);
    banner(`Not stored: ${result.refused}`);
  } else if (write.what === "ask") {
    const kept = result.reserve ? ` ${result.reserve} stay aside, to measure accuracy.` : "";
    const there = result.known ? ` ${result.known} were asked or answered before.` : "";
    say(`${result.asked} of them will be asked.${there}${kept}`);
  }
  if (write.what === "undo" || write.body.kept === false || result.refused || view !== "errors") load();
  if (write.what !== "keep" && view !== "errors") clear();
  refresh();
}

let quiet = null;

function say(text) {
  clearTimeout(quiet);
  const box = find("saved");
  box.classList.remove("waiting");
  box.textContent = text;
  quiet = setTimeout(() => (box.textContent = "✓ all saved"), 6000);
}

function waiting(number, why) {
  const box = find("saved");
  if (number || !box.textContent || box.classList.contains("waiting"))
    box.textContent = number ? `${number} not saved yet` : "✓ all saved";
  box.classList.toggle("waiting", number > 0);
  if (why) banner(`${why} ${number} changes are kept here and sent when it returns.`);
  else if (number === 0 && find("banner").textContent.includes("kept here")) banner(null);
}

// -------------------------------------------------------------------------------------- start

function keydown(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, select, textarea") || find("large").open) return;
  if (event.key === "Escape") clear();
  else if (event.key === "Backspace" || event.key === "z") undo();
  else if (view === "errors" && parts.errors.key(event)) event.preventDefault();
  else if (view !== "errors" && known.chosen.size && event.key === "-") give(NONE);
  else if (view !== "errors" && known.chosen.size && known.keys.includes(event.key))
    give(known.keys.indexOf(event.key));
  else return;
  event.preventDefault();
}

async function start() {
  const state = await call("/api/review/state");
  known.state = state;
  known.classes = state.classes;
  known.keys = keysOf(state.keys);
  find("head").hidden = false;
  known.writes = new Writes(state.id, told, waiting);
  parts.browse = new Browse(chosen, away);
  parts.errors = new Errors((item, label) => give(label, [item.id]), keep, away);
  parts.duplicates = new Duplicates(chosen, leave, away);
  parts.map = new Map2(chosen, away);
  makeActions(clear);
  showState(state);
  for (const button of find("views").querySelectorAll("button"))
    button.addEventListener("click", () => open(button.dataset.view));
  window.addEventListener("hashchange", () => open(location.hash.slice(1)));
  document.addEventListener("keydown", keydown);
  window.addEventListener("online", () => known.writes.send());
  open(location.hash.slice(1));
  known.writes.send();
  refresh();
}

start().catch(away);
