// One image at a time: the picture, why it was asked for, the classes.

import { find, imageUrl, make, sharp, sure } from "./dom.js";
import { matching, meaning, named, shown } from "./keys.js";
import { Zoom } from "./zoom.js";

const RETRY = 1500;
const FLASH = 350;

export class Single {
  // classes: names; keys: of the page; answer(item, {kind, …}); undo().
  constructor(classes, keys, answer, undo) {
    this.classes = classes;
    this.keys = keys;
    this.answer = answer;
    this.undo = undo;
    this.item = null;
    this.trained = false;
    this.searching = false;
    this.zoom = new Zoom();
    this.filter = find("filter");
    find("typing").hidden = !keys.typing;
    // While the server is away nothing can be shown; it is tried again until it can.
    find("image").addEventListener("error", () => setTimeout(() => this.retry(), RETRY));
    this.filter.addEventListener("input", () => this.showMatching());
    find("guess").addEventListener("click", () => this.choose(this.item.predicted));
    for (const button of document.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => this.act(button.dataset.act));
      const key = shown(keys, button.dataset.act);
      if (key) button.querySelector("kbd").textContent = key;
    }
    this.makeButtons();
  }

  // The buttons stay where they are as long as the page is open; only their marks change.
  makeButtons() {
    const longest = Math.max(...this.classes.map((name) => name.length));
    const box = find("classes");
    box.style.setProperty("--choice", `${Math.min(20, Math.max(8.5, 0.52 * longest + 6.6))}rem`);
    document.querySelector(".side").classList.toggle("many", this.keys.typing);
    this.buttons = this.classes.map((name, k) =>
      make(
        "button",
        { type: "button", title: name, onclick: () => this.choose(k) },
        make("span", { className: "of" }, name),
        make("span", { className: "sure" }),
        ...this.keys.classes[k].slice(0, 1).map((key) => make("kbd", {}, named(key))),
      ),
    );
    box.replaceChildren(...this.buttons);
  }

  show(item) {
    const same = item !== null && this.item !== null && item.id === this.item.id;
    this.item = item;
    find("single").hidden = item === null;
    if (item === null || same) return;
    this.filter.value = "";
    this.searching = false;
    const name = item.predicted === null ? null : this.classes[item.predicted];
    const image = find("image");
    image.alt = `Image to label: ${item.name}${name ? `; predicted ${name} ${sure(item)}`.trimEnd() : ""}`;
    sharp(image, item);
    this.zoom.reset(item);
    this.showImage();
    find("name").textContent = `${item.name} · ${item.width} × ${item.height}`;
    find("why").textContent = item.why ? `Why this image: ${item.why}.` : "";
    find("numbers").classList.toggle("blank", !item.numbers);
    find("numbers").querySelector("p").textContent = item.numbers;
    const guess = find("guess");
    guess.classList.toggle("blank", name === null);
    guess.disabled = name === null;
    guess.textContent = name === null ? "" : `The network says ${name} ${sure(item)}`;
    this.showNeighbours();
    this.buttons.forEach((button, k) => {
      button.classList.toggle("predicted", item.predicted === k);
      button.querySelector(".sure").textContent = item.predicted === k ? sure(item) : "";
    });
    this.showMatching();
    if (this.keys.typing && !matchMedia("(pointer: coarse)").matches) {
      this.filter.focus({ preventScroll: true });
    }
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
    box.classList.toggle("blank", near.length === 0);
    box.querySelector("ul").replaceChildren(
      ...near.map((n) => {
        const picture = make("img", { src: imageUrl(n, "small"), alt: `labelled ${n.label}` });
        sharp(picture, this.item);
        return make("li", {}, picture, make("span", { className: "muted small-text" }, n.label));
      }),
    );
  }

  // What is typed hides the other classes; the order stays, and the best match is marked.
  showMatching() {
    const found = matching(this.classes, this.filter.value);
    const some = new Set(found);
    const first = this.filter.value.trim() ? found[0] : undefined;
    this.buttons.forEach((button, k) => {
      button.hidden = !some.has(k);
      button.classList.toggle("first", k === first);
    });
    find("no-class").hidden = found.length > 0;
  }

  choose(k) {
    if (this.item === null || !this.visible()) return;
    this.flash(this.buttons[k]);
    this.give({ kind: "label", label: k });
  }

  flash(button) {
    button.classList.remove("flash");
    void button.offsetWidth; // so that it begins anew for the same class twice
    button.classList.add("flash");
    setTimeout(() => button.classList.remove("flash"), FLASH);
  }

  act(name) {
    if (name === "undo") this.undo();
    if (this.item === null) return;
    const button = document.querySelector(`.minor [data-act="${name}"]`);
    if (button && name !== "trained" && this.visible()) this.flash(button);
    if (name === "none") this.give({ kind: "label", label: -1 });
    if (name === "skip") this.give({ kind: "skip", reason: "skip" });
    if (name === "unsure") this.give({ kind: "skip", reason: "unsure" });
    if (name === "bad") this.give({ kind: "skip", reason: "bad image" });
    if (name === "zoom") this.zoom.toggle();
    if (name === "search" && this.keys.typing) {
      this.searching = true;
      this.filter.focus({ preventScroll: true });
    }
    if (name === "trained") {
      this.trained = !this.trained;
      this.zoom.reset(this.item);
      this.showImage();
    }
  }

  // Returns whether the key was taken; what the page itself does is left to it.
  key(event) {
    // A focused button is pressed by Space and Enter, as everywhere.
    const onControl = event.target.closest?.("button, select, a, summary");
    if (onControl && (event.key === " " || event.key === "Enter")) return false;
    const meant = meaning(event, this.keys, this.filter.value, this.searching);
    if (meant === null || meant.act === "grid" || meant.act === "keys") return false;
    if (meant.act) {
      this.act(meant.act);
      return true;
    }
    if (this.item === null) return false;
    let chosen = meant.choose;
    if (meant.first) {
      if (!this.filter.value.trim()) return false;
      chosen = matching(this.classes, this.filter.value)[0];
    }
    if (chosen === undefined) return false;
    this.choose(chosen);
    return true;
  }
}
