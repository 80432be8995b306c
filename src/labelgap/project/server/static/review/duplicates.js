// Groups of images that show almost the same: labelled together, or left out but for one.

import { call } from "../calls.js";
import { find, make } from "../dom.js";
import { known, nameOf } from "./known.js";
import { Tiles } from "./tiles.js";

const AT_ONCE = 30;

export class Duplicates {
  // chosen(): the choice is another one; leave(ids): leave these out.
  constructor(chosen, leave, away) {
    Object.assign(this, { chosen, leave, away });
    this.box = find("duplicates");
    this.tiles = [];
    this.shown = AT_ONCE;
  }

  async load() {
    let told;
    try {
      told = await call(`/api/review/groups?limit=${this.shown}`);
    } catch (error) {
      return this.away(error);
    }
    this.tiles = [];
    if (!told.ready) return this.say("Looking", "The images are being compared with each other.");
    if (!told.total) return this.say("No near-duplicates", "No two images show almost the same.");
    this.box.replaceChildren(
      make("h1", {}, told.total === 1 ? "1 group of images that show almost the same"
        : `${told.total} groups of images that show almost the same`),
      make("p", { className: "muted" },
        "Choose a group and give all of it one label; or keep its first image and leave the others out."),
      ...told.groups.map((group) => this.group(group)));
    if (told.total > this.shown)
      this.box.append(make("button", { type: "button", onclick: () => {
        this.shown += AT_ONCE;
        this.load();
      } }, "Show more groups"));
  }

  group(items) {
    const box = make("div", { className: "tiles", role: "group", "aria-label": `${items.length} alike images` });
    const tiles = new Tiles(box, () => this.changed());
    tiles.add(items);
    this.tiles.push(tiles);
    const labels = [...new Set(items.map((item) => nameOf(item.label)))];
    const spare = items.slice(1).filter((item) => item.state !== "skipped").map((item) => item.id);
    return make("section", { className: "alike" },
      make("div", { className: "alike-head" },
        make("strong", {}, `${items.length} alike`),
        make("span", { className: labels.length > 1 ? "differs" : "muted" }, labels.join(", ")),
        make("button", { type: "button", className: "all", onclick: () => {
          known.chosen = new Set(items.map((item) => item.id));
          this.changed();
        } }, "Choose all"),
        make("button", { type: "button", className: "rest", disabled: !spare.length, onclick: () => this.leave(spare) },
          "Leave out all but the first")),
      box);
  }

  changed() {
    for (const tiles of this.tiles) tiles.show();
    this.chosen();
  }

  say(head, text) {
    this.box.replaceChildren(make("h1", {}, head), make("p", { className: "muted" }, text));
  }
}
