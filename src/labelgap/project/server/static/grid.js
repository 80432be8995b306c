// Many images of one prediction at once: those that are surely right are marked; the others are
// looked at, marked by hand, and given this class or another one.

import { find, imageUrl, make, sharp, sure } from "./dom.js";
import { meaning } from "./keys.js";

const SHOWN = 20;
// Among twenty images of this confidence one is wrong on average at most.
const SURE = 0.95;

export class Grid {
  // classes: names; keys: of the page; items(): what is waiting; answerMany(items, label); undo().
  constructor(classes, keys, items, answerMany, undo) {
    this.classes = classes;
    this.keys = keys;
    this.items = items;
    this.answerMany = answerMany;
    this.undo = undo;
    this.marked = new Set(); // by the network's confidence or by hand
    this.byHand = new Set();
    this.shown = [];
    find("grid-class").addEventListener("change", () => this.showTiles());
    find("confirm").addEventListener("click", () => this.confirm());
    find("grid-undo").addEventListener("click", undo);
  }

  // Whether there is anything to confirm.
  get possible() {
    return this.items().some((item) => item.predicted !== null);
  }

  groups() {
    const groups = new Map();
    for (const item of this.items()) {
      if (item.predicted === null) continue;
      if (!groups.has(item.predicted)) groups.set(item.predicted, []);
      groups.get(item.predicted).push(item);
    }
    for (const items of groups.values()) items.sort((a, b) => b.probability - a.probability);
    return [...groups.entries()].sort((a, b) => b[1].length - a[1].length);
  }

  show() {
    const select = find("grid-class");
    const before = select.value;
    const groups = this.groups();
    select.replaceChildren(
      ...groups.map(([k, items]) =>
        make("option", { value: String(k) }, `${this.classes[k]} (${items.length})`),
      ),
    );
    if (groups.some(([k]) => String(k) === before)) select.value = before;
    this.showTiles();
  }

  showTiles() {
    const chosen = find("grid-class").value;
    const found = this.groups().find(([k]) => String(k) === chosen);
    this.shown = found ? found[1].slice(0, SHOWN) : [];
    this.label = found ? found[0] : null;
    const certain = this.shown.filter((item) => item.calibrated && item.probability >= SURE);
    this.marked = new Set(certain.map((item) => item.id));
    this.byHand.clear();
    find("tiles").replaceChildren(...this.shown.map((item) => this.tile(item)));
    const why = this.shown.every((item) => item.calibrated)
      ? "Marked are those of 95 % and more."
      : "None is marked: no label has checked the network's percentages yet.";
    find("grid-help").textContent =
      `${why} Click or Space marks; Enter confirms the marked; a class's key gives another class ` +
      "to those that you marked yourself.";
    this.showCount();
  }

  tile(item) {
    const image = make("img", { src: imageUrl(item, "small"), alt: item.name });
    sharp(image, item);
    const button = make("button", { type: "button", className: "tile" }, image);
    button.append(make("span", { className: "small-text" }, sure(item)));
    button.setAttribute("aria-pressed", String(this.marked.has(item.id)));
    button.addEventListener("click", () => {
      const marked = !this.marked.delete(item.id);
      if (marked) this.marked.add(item.id);
      if (marked) this.byHand.add(item.id);
      else this.byHand.delete(item.id);
      button.setAttribute("aria-pressed", String(marked));
      this.showCount();
    });
    return button;
  }

  showCount() {
    const n = this.marked.size;
    const button = find("confirm");
    button.disabled = n === 0;
    button.textContent = n === 0 ? "Nothing is marked" : `Confirm ${n} × ${this.classes[this.label]}`;
    const own = this.byHand.size ? `, ${this.byHand.size} of them by you` : "";
    find("grid-count").textContent = `${n} of ${this.shown.length} marked${own}.`;
  }

  // Nobody answers for what he does not see yet.
  seen(ids) {
    const images = [...find("tiles").querySelectorAll("img")];
    const there = images.map((image) => image.complete && image.naturalWidth > 0);
    return this.shown.filter((item, i) => there[i] && ids.has(item.id));
  }

  confirm() {
    const items = this.seen(this.marked);
    if (items.length) this.answerMany(items, this.label);
  }

  // Returns whether the key was taken.
  key(event) {
    if (event.key === "Enter" && !event.target.closest?.("button:not(.tile), select, a")) {
      this.confirm();
      return true;
    }
    const meant = meaning(event, this.keys, "");
    if (meant === null) return false;
    if (meant.act === "undo") this.undo();
    else if (meant.choose !== undefined) this.give(meant.choose);
    else return false;
    return true;
  }

  give(label) {
    const items = this.seen(this.byHand);
    if (items.length) this.answerMany(items, label);
    else {
      find("grid-count").textContent =
        `Mark the images first that are ${this.classes[label]}: click or Space.`;
    }
  }
}
