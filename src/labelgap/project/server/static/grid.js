// Many images of one prediction at once: mark what is wrong, confirm the rest.

import { find, imageUrl, make, sharp, sure } from "./dom.js";

const SHOWN = 20;

export class Grid {
  // classes: names; items(): what is waiting; answerMany(items, label).
  constructor(classes, items, answerMany) {
    this.classes = classes;
    this.items = items;
    this.answerMany = answerMany;
    this.left = new Set();
    find("grid-class").addEventListener("change", () => this.showTiles());
    find("confirm").addEventListener("click", () => this.confirm());
  }

  groups() {
    const groups = new Map();
    for (const item of this.items()) {
      if (item.predicted === null) continue;
      if (!groups.has(item.predicted)) groups.set(item.predicted, []);
      groups.get(item.predicted).push(item);
    }
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
    this.left.clear();
    const chosen = find("grid-class").value;
    const found = this.groups().find(([k]) => String(k) === chosen);
    this.shown = found ? found[1].slice(0, SHOWN) : [];
    this.label = found ? found[0] : null;
    const tiles = this.shown.map((item) => this.tile(item));
    if (!tiles.length) {
      tiles.push(make("p", { className: "muted" }, "Nothing here has a prediction to confirm."));
    }
    find("tiles").replaceChildren(...tiles);
    this.showCount();
  }

  tile(item) {
    const image = make("img", { src: imageUrl(item, "small"), alt: item.name });
    sharp(image, item);
    const button = make("button", { type: "button", className: "tile" }, image);
    button.append(make("span", { className: "muted" }, `${this.classes[item.predicted]} ${sure(item)}`));
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const keep = this.left.delete(item.id);
      if (!keep) this.left.add(item.id);
      button.setAttribute("aria-pressed", String(keep));
      this.showCount();
    });
    return button;
  }

  showCount() {
    const n = this.shown.length - this.left.size;
    const button = find("confirm");
    button.disabled = n === 0;
    button.textContent = this.label === null ? "Confirm" : `Confirm ${n} × ${this.classes[this.label]}`;
  }

  confirm() {
    // Nobody confirms what he does not see yet.
    const images = [...find("tiles").querySelectorAll("img")];
    const seen = images.map((image) => image.complete && image.naturalWidth > 0);
    const items = this.shown.filter((item, i) => seen[i] && !this.left.has(item.id));
    if (items.length) this.answerMany(items, this.label);
  }
}
