// One image at a time: the picture, why it was asked for, the classes.

import { find, imageUrl, make, sharp, sure } from "./dom.js";
import { digits, matching, meaning } from "./keys.js";

const FEW = 10;
const RETRY = 1500;

export class Single {
  // classes: names; answer(item, {kind, …}); undo().
  constructor(classes, answer, undo) {
    this.classes = classes;
    this.answer = answer;
    this.undo = undo;
    this.typing = classes.length > FEW;
    this.numbers = classes.some((name) => /^[0-9]/.test(name));
    this.recent = [];
    this.item = null;
    this.trained = false;
    this.filter = find("filter");
    find("typing").hidden = !this.typing;
    // While the server is away nothing can be shown; it is tried again until it can.
    find("image").addEventListener("error", () => setTimeout(() => this.retry(), RETRY));
    this.filter.addEventListener("input", () => this.showClasses());
    for (const button of document.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => this.act(button.dataset.act));
    }
  }

  show(item) {
    this.item = item;
    this.filter.value = "";
    find("single").hidden = item === null;
    if (item === null) return;
    const guess = item.predicted === null ? "" : `; predicted ${this.classes[item.predicted]} ${sure(item)}`.trimEnd();
    const image = find("image");
    image.alt = `Image to label: ${item.name}${guess}`;
    sharp(image, item);
    this.showImage();
    find("name").textContent = `${item.name} · ${item.width} × ${item.height}`;
    find("why").textContent = item.why ? `Why this image: ${item.why}.` : "";
    this.showNeighbours();
    this.showClasses();
    if (this.typing) this.filter.focus({ preventScroll: true });
  }

  showImage() {
    find("image").src = imageUrl(this.item, this.trained ? "trained" : "full");
    const button = document.querySelector('[data-act="trained"]');
    button.setAttribute("aria-pressed", String(this.trained));
  }

  retry() {
    if (this.item !== null && !this.visible()) this.showImage();
  }

  // Nobody labels what he does not see yet.
  visible() {
    const image = find("image");
    return image.complete && image.naturalWidth > 0;
  }

  give(what) {
    if (this.item !== null && this.visible()) this.answer(this.item, what);
  }

  showNeighbours() {
    const near = this.item.neighbours;
    const box = find("neighbours");
    box.hidden = near.length === 0;
    box.querySelector("ul").replaceChildren(
      ...near.map((n) => {
        const picture = make("img", { src: imageUrl(n, "small"), alt: `labelled ${n.label}` });
        sharp(picture, this.item);
        return make("li", {}, picture, make("span", { className: "muted" }, n.label));
      }),
    );
  }

  // In the order of the classes; with many of them the prediction and the latest first.
  listed() {
    const all = this.classes.map((_, k) => k);
    if (!this.typing) return all;
    const guess = this.item.predicted === null ? [] : [this.item.predicted];
    const first = [...new Set([...guess, ...this.recent])];
    const order = [...first, ...all.filter((k) => !first.includes(k))];
    return matching(this.classes, order, this.filter.value);
  }

  // The key of each class that is listed, "" where it has none.
  keys(listed) {
    if (this.typing && (this.numbers || this.filter.value)) return listed.map(() => "");
    return digits(listed.map((k) => this.classes[k]));
  }

  showClasses() {
    const listed = this.listed();
    const keys = this.keys(listed);
    const buttons = listed.map((k, place) => {
      const button = make("button", { type: "button", onclick: () => this.choose(k) });
      button.append(make("span", {}, this.classes[k]));
      if (keys[place]) button.append(make("kbd", {}, keys[place]));
      if (this.item.predicted === k) {
        button.classList.add("predicted");
        button.dataset.sure = `predicted ${sure(this.item)}`;
      }
      return button;
    });
    if (!buttons.length) buttons.push(make("p", { className: "muted" }, "No such class."));
    find("classes").replaceChildren(...buttons);
  }

  choose(k) {
    if (this.item === null || !this.visible()) return;
    this.recent = [k, ...this.recent.filter((other) => other !== k)].slice(0, FEW - 1);
    this.give({ kind: "label", label: k });
  }

  act(name) {
    if (name === "undo") this.undo();
    if (this.item === null) return;
    if (name === "none") this.give({ kind: "label", label: -1 });
    if (name === "skip") this.give({ kind: "skip", reason: "skip" });
    if (name === "unsure") this.give({ kind: "skip", reason: "unsure" });
    if (name === "bad") this.give({ kind: "skip", reason: "bad image" });
    if (name === "trained") {
      this.trained = !this.trained;
      this.showImage();
    }
  }

  // Returns whether the key was taken; "grid" is left to the page.
  key(event) {
    // A focused button is pressed by Space and Enter, as everywhere.
    const onButton = event.target.closest?.("button, select, a");
    if (onButton && (event.key === " " || event.key === "Enter")) return false;
    const meant = meaning(event, this.typing, this.filter.value, this.numbers);
    if (meant === null || meant.act === "grid") return false;
    if (meant.act) {
      this.act(meant.act);
      return true;
    }
    if (this.item === null) return false;
    const listed = this.listed();
    const k = listed[meant.first ? 0 : this.keys(listed).indexOf(meant.digit)];
    if (k === undefined || (meant.first && !this.filter.value.trim())) return false;
    this.choose(k);
    return true;
  }
}
