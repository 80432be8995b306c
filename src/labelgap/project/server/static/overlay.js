// Two windows over the page: all keys, and who answers.

import { find, make } from "./dom.js";
import { named } from "./keys.js";

const WORDS = {
  skip: "Skip this image",
  unsure: "I am not sure",
  bad: "Bad image: cannot be judged",
  none: "None of the classes",
  trained: "Show it as the network sees it",
  keys: "All keys",
  grid: "Many images at once, or one",
  zoom: "One to one, or fitted; the wheel zooms",
  search: "Search for a class",
};
const GRID = [
  ["Space", "Mark an image, or take the mark away"],
  ["Enter", "Confirm the marked images"],
  ["class key", "Give the images you marked another class"],
];

function list(title, rows) {
  const lines = rows.map(([keys, what]) =>
    make("div", {}, make("dt", {}, ...keys.map((key) => make("kbd", {}, key))), make("dd", {}, what)),
  );
  return make("section", {}, make("h3", {}, title), make("dl", {}, ...lines));
}

export function showKeys(keys, classes) {
  const acts = Object.entries(WORDS).map(([act, what]) => [
    Object.keys(keys.acts).filter((key) => keys.acts[key] === act).map(named),
    what,
  ]);
  acts.push([["⌫"], "Undo the last answer, or the last many at once"]);
  acts.push([["Esc"], "Leave an old answer as it was"]);
  if (keys.typing) acts.push([["letters", "Enter"], "Type a class, and take the marked one"]);
  const own = classes.map((name, k) => [keys.classes[k], name]).filter(([some]) => some.length);
  find("keys-list").replaceChildren(
    list("Classes", own),
    list("This image", acts.filter(([some]) => some.length)),
    list("Grid", GRID.map(([key, what]) => [[key], what])),
    make("p", { className: "muted small-text" }, "Keys of your own: labelgap classes --key cat=c"),
  );
  find("keys").showModal();
}

// Asks for the name; chosen(name) is called where one was given.
export function askName(now, chosen) {
  const box = find("who");
  find("who-name").value = now;
  box.addEventListener(
    "close",
    () => {
      const name = find("who-name").value.trim().slice(0, 60);
      if (box.returnValue === "ok" && name) chosen(name);
    },
    { once: true },
  );
  box.returnValue = "";
  box.showModal();
}

export const overlaid = () => document.querySelector("dialog[open]") !== null;
