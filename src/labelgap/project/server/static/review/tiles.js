// Thumbnails that can be chosen: a click, with Ctrl one more, with Shift all in between.

import { find, make } from "../dom.js";
import { known, nameOf, percent, picture } from "./known.js";

export class Tiles {
  // box: where they are; changed(): the choice is another one.
  constructor(box, changed) {
    this.box = box;
    this.changed = changed;
    this.items = [];
    this.last = null; // where a range begins
    box.addEventListener("click", (event) => this.click(event));
    box.addEventListener("dblclick", (event) => this.open(event));
    box.addEventListener("keydown", (event) => this.key(event));
  }

  clear() {
    this.items = [];
    this.last = null;
    this.box.replaceChildren();
  }

  add(items) {
    this.items.push(...items);
    this.box.append(...items.map(tile));
    this.show();
  }

  show() {
    for (const node of this.box.querySelectorAll(".tile"))
      node.setAttribute("aria-pressed", String(known.chosen.has(Number(node.dataset.id))));
  }

  at(event) {
    const node = event.target.closest(".tile");
    return node ? this.items.findIndex((item) => item.id === Number(node.dataset.id)) : -1;
  }

  click(event) {
    const at = this.at(event);
    if (at < 0) return;
    const id = this.items[at].id;
    if (event.shiftKey && this.last !== null) {
      const [from, to] = [Math.min(at, this.last), Math.max(at, this.last)];
      if (!event.ctrlKey && !event.metaKey) known.chosen.clear();
      for (const item of this.items.slice(from, to + 1)) known.chosen.add(item.id);
    } else {
      // Alone it is chosen or let go; the others stay only with Ctrl.
      const was = known.chosen.has(id);
      const only = was && known.chosen.size === 1;
      if (!event.ctrlKey && !event.metaKey) known.chosen.clear();
      if (was && (only || event.ctrlKey || event.metaKey)) known.chosen.delete(id);
      else known.chosen.add(id);
      this.last = at;
    }
    this.show();
    this.changed();
  }

  open(event) {
    const at = this.at(event);
    if (at >= 0) large(this.items[at]);
  }

  key(event) {
    const at = this.at(event);
    const nodes = [...this.box.querySelectorAll(".tile")];
    const wide = nodes.filter((node) => node.offsetTop === nodes[0].offsetTop).length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide };
    if (at < 0 || !(event.key in steps || event.key === "o")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "o") return large(this.items[at]);
    nodes[at + steps[event.key]]?.focus();
  }
}

export function tile(item) {
  const said = item.label !== null ? nameOf(item.label) : item.state === "skipped" ? item.reason : "";
  const other = item.predicted !== null && item.predicted !== item.label;
  return make("button", { type: "button", className: "tile", "data-id": String(item.id), "aria-pressed": "false",
    title: `${item.name}\nDouble click or o: large` },
    picture(item),
    make("span", { className: said ? "said" : "said muted" }, said || "no label"),
    make("span", { className: item.disagrees ? "guess differs" : "guess" },
      other ? `${nameOf(item.predicted)} ${percent(item.confidence)}` : ""));
}

export function large(item) {
  const box = find("large");
  box.querySelector("img").replaceWith(picture(item, "full"));
  box.querySelector("p").textContent = `${item.name} · ${nameOf(item.label)}`;
  box.showModal();
}
