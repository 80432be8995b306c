// Labels that are probably wrong, one after the other: keep or change, one key each.

import { call } from "../calls.js";
import { find, make } from "../dom.js";
import { known, nameOf, picture } from "./known.js";

const AT_ONCE = 200;

export class Errors {
  // change(item, label), keep(item): written by the page.
  constructor(change, keep, away) {
    Object.assign(this, { change, keep, away });
    this.box = find("errors");
    this.items = [];
    this.done = 0;
    this.told = null;
  }

  async load() {
    try {
      this.told = await call(`/api/review/doubts?limit=${AT_ONCE}`);
    } catch (error) {
      return this.away(error);
    }
    this.items = this.told.items;
    this.show();
  }

  show() {
    const told = this.told, item = this.items[0];
    if (!told) return;
    if (told.why_not) return this.say("Not yet", told.why_not);
    if (!told.ready) return this.say("Looking", "Each label is being judged by the others.");
    if (!item)
      return this.say("Nothing left to look at", `${told.judged} labels were judged by the others. ${told.note}`);
    const head = heading(this.items);
    this.box.replaceChildren(
      make("h1", {}, head),
      make("p", { className: "muted" },
        `${told.judged} labels were judged by a classifier that learned from the others. ${told.note}`),
      make("div", { className: "doubt", id: "doubt", "data-id": String(item.id) },
        make("figure", {}, picture(item, "full"), make("figcaption", { className: "muted small-text" }, item.name)),
        make("div", { className: "say" },
          make("p", { className: "verdict" }, "Labelled ", make("strong", { className: "given" }, nameOf(item.label)),
            ", the others say ", make("strong", { className: "other" }, nameOf(item.suggested)), "."),
          make("div", { className: "keepchange" },
            make("button", { type: "button", id: "change", className: "primary", onclick: () => this.act("c") },
              `Change to ${nameOf(item.suggested)} `, make("kbd", {}, "c")),
            make("button", { type: "button", id: "keep", onclick: () => this.act("k") },
              `Keep ${nameOf(item.label)} `, make("kbd", {}, "k"))),
          make("p", { className: "muted small-text" },
            "Another class: its key, or the list below. A label that is kept does not come back."),
          others(item, (label) => this.act("label", label)))),
      make("ol", { className: "next", "aria-label": "Next in the queue" },
        ...this.items.slice(1, 9).map((next) =>
          make("li", {}, picture(next), make("span", {}, `${nameOf(next.label)} → ${nameOf(next.suggested)}`)))));
  }

  say(head, text) {
    this.box.replaceChildren(make("h1", {}, head), make("p", { className: "muted" }, text));
  }

  act(what, label) {
    const item = this.items[0];
    if (!item) return;
    const to = what === "c" ? item.suggested : label;
    if (what === "k" || to === item.label) this.keep(item);
    else this.change(item, to);
    this.items.shift();
    this.show();
  }

  // Whether the key meant something here.
  key(event) {
    if (!this.items.length) return false;
    if (event.key === "k" || event.key === "c") this.act(event.key);
    else {
      const at = known.keys.indexOf(event.key);
      if (at < 0) return false;
      this.act("label", at);
    }
    return true;
  }
}

// How bad the first one is, and how many of its kind are left.
function heading(items) {
  const likely = items.filter((item) => item.likely).length;
  const differ = items.filter((item) => item.disagrees).length;
  if (items[0].likely) return likely === 1 ? "1 label is probably wrong" : `${likely} labels are probably wrong`;
  if (items[0].disagrees) return `${differ} more ${differ === 1 ? "differs" : "differ"} from what the others say, less surely`;
  return "The other labels fit; the least sure ones first";
}

function others(item, give) {
  const select = make("select", { "aria-label": "Another class" },
    make("option", { value: "" }, "Another class …"),
    ...known.classes.map((name, k) =>
      make("option", { value: String(k) }, known.keys[k] ? `${name} (${known.keys[k]})` : name)),
    make("option", { value: "-1" }, "none of these"));
  select.addEventListener("change", () => select.value && give(Number(select.value)));
  return select;
}
