// What can be done with the chosen images, and how it is taken back: a label, leaving out, asking.

import { find, make } from "../dom.js";
import { NONE, known } from "./known.js";

const FEW = 10; // classes that are buttons; of more, a list with a search
const MOST = 2000; // images in one write

const REMEMBERED = 50; // a reload forgets what is older

const past = []; // what can be undone, the newest last; kept in the browser, so a reload keeps it
const place = () => `labelgap/review/${known.state.id}/past`;

export function showActions() {
  const n = known.chosen.size;
  find("actions").hidden = !n;
  find("chosen").textContent = n > MOST ? `${n} chosen: more than ${MOST} at once` : `${n} chosen`;
  for (const button of find("actions").querySelectorAll("#give button, #give input, #none, #leave, #ask"))
    button.disabled = n > MOST;
}

function kept() {
  find("undo").disabled = !past.length;
  localStorage.setItem(place(), JSON.stringify(past.slice(-REMEMBERED)));
}

export function makeActions(clear) {
  past.splice(0, past.length, ...JSON.parse(localStorage.getItem(place()) ?? "[]"));
  find("undo").disabled = !past.length;
  const box = find("give");
  if (known.classes.length <= FEW) {
    box.replaceChildren(...known.classes.map((name, k) =>
      make("button", { type: "button", "data-label": String(k), onclick: () => give(k) },
        `${name} `, make("kbd", {}, known.keys[k]))));
  } else {
    const input = make("input", { id: "give-text", placeholder: "Type a class, Enter gives it",
      "aria-label": "Class for the chosen images", autocomplete: "off" });
    input.setAttribute("list", "give-names");
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      const wanted = input.value.trim().toLowerCase();
      const names = known.classes.map((name) => name.toLowerCase());
      const alike = names.filter((name) => name.includes(wanted));
      const k = names.indexOf(names.includes(wanted) || alike.length !== 1 ? wanted : alike[0]);
      input.setCustomValidity(k < 0 ? `${alike.length} classes are named like that.` : "");
      input.reportValidity();
      if (k < 0) return;
      input.value = "";
      give(k);
    });
    box.replaceChildren(input, make("datalist", { id: "give-names" },
      ...known.classes.map((name) => make("option", { value: name }))));
  }
  find("none").addEventListener("click", () => give(NONE));
  find("leave").addEventListener("click", () => leave([...known.chosen]));
  find("ask").addEventListener("click", () => ask());
  find("unchoose").addEventListener("click", clear);
  find("undo").addEventListener("click", undo);
}

export function give(label, ids = [...known.chosen]) {
  if (!ids.length || ids.length > MOST) return;
  remember("answer", { ids, label, classes_seq: known.state.classes_seq });
}

export function leave(ids) {
  if (ids.length && ids.length <= MOST) remember("answer", { ids, skip: "skip" });
}

export function keep(item) {
  remember("keep", { id: item.id, answer: item.answer });
}

function ask() {
  known.writes.push("ask", { ids: [...known.chosen] });
}

function remember(what, body) {
  past.push(known.writes.push(what, body));
  kept();
}

// One action back, however many images it was of.
export function undo() {
  const last = past.pop();
  if (!last) return;
  kept();
  if (last.what === "keep") known.writes.push("keep", { id: last.body.id, answer: last.body.answer, kept: false });
  else known.writes.push("undo", { of: last.body.request, ids: last.body.ids });
}

// A write that was refused is nothing that could be undone.
export function refused(write) {
  const at = past.findIndex((one) => one.body.request === write.body.request);
  if (at >= 0) past.splice(at, 1);
  kept();
}
