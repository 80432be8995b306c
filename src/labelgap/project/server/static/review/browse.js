// All images that pass the filters, fetched as one scrolls.

import { call } from "../calls.js";
import { find } from "../dom.js";
import { query, watchFilters } from "./filters.js";
import { known } from "./known.js";
import { Tiles } from "./tiles.js";

const AT_ONCE = 200;

export class Browse {
  constructor(chosen, away) {
    this.tiles = new Tiles(find("tiles"), chosen);
    this.away = away;
    this.turn = 0; // an answer to an older question is not shown
    this.total = null;
    watchFilters(() => this.show());
    new IntersectionObserver((seen) => {
      if (seen[0].isIntersecting && this.total > this.tiles.items.length) this.more();
    }, { rootMargin: "800px" }).observe(find("more-tiles"));
  }

  // Anew, from the first one; as many as were there.
  async show() {
    const turn = ++this.turn, wanted = Math.max(AT_ONCE, Math.min(500, this.tiles.items.length));
    const found = await this.ask(0, wanted);
    if (found === null || turn !== this.turn) return;
    this.tiles.clear();
    this.put(found);
  }

  async more() {
    if (this.fetching) return;
    this.fetching = true;
    const turn = this.turn;
    const found = await this.ask(this.tiles.items.length, AT_ONCE);
    this.fetching = false;
    if (found !== null && turn === this.turn) this.put(found);
  }

  put(found) {
    this.total = found.total;
    this.tiles.add(found.items);
    const all = known.state.items;
    find("found").textContent = found.total === 0 ? "No image passes these filters."
      : `${found.total} of ${all} images. Click to choose, Ctrl adds one, Shift all in between; then a class's key.`;
  }

  async ask(offset, limit) {
    const wanted = query();
    wanted.set("offset", String(offset));
    wanted.set("limit", String(limit));
    try {
      return await call(`/api/review/items?${wanted}`);
    } catch (error) {
      this.away(error);
      return null;
    }
  }
}
