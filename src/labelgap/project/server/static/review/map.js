// The map: a dot an image, filled with its class's colour where it has a label. Hovering shows the
// image, drawing around some chooses them.

import { call } from "../calls.js";
import { find, imageUrl, make } from "../dom.js";
import { colourOf, known, nameOf } from "./known.js";

const NO_LABEL = -2;
const REACH = 12; // pixels around a dot within which it is meant
const EDGE = 16;

export class Map2 {
  constructor(chosen, away) {
    Object.assign(this, { chosen, away });
    this.points = [];
    this.rope = null; // corners of what is being drawn
    this.canvas = find("canvas");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => {
      this.legend();
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(find("map-box"));
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.up(event));
    this.canvas.addEventListener("pointerleave", () => (find("hover").hidden = true));
  }

  async load() {
    let told;
    try {
      told = await call("/api/review/map");
    } catch (error) {
      return this.away(error);
    }
    this.points = told.points.map(([id, x, y, label, predicted]) => ({ id, x, y, label, predicted }));
    const some = told.points.length < told.total ? ` ${told.points.length} of ${told.total} images are drawn.` : "";
    find("map-text").textContent = told.ready
      ? `Images that look alike lie together; distances across the map mean nothing. Draw around some to choose them, Shift adds to the choice.${some}`
      : "The map is being drawn; it appears here by itself.";
    find("map-box").hidden = !this.points.length;
    this.legend();
    this.draw();
  }

  legend() {
    const counts = new Map();
    for (const { label } of this.points) counts.set(label, (counts.get(label) ?? 0) + 1);
    const classes = [...counts.keys()].filter((k) => k > NO_LABEL).sort((a, b) => counts.get(b) - counts.get(a));
    const dot = (label, hollow) => {
      const canvas = make("canvas", { width: 24, height: 24, className: "dot" });
      const context = canvas.getContext("2d");
      context.scale(2, 2);
      mark(context, 6, 6, 4, colourOf(label, this.dark.matches), hollow);
      return canvas;
    };
    find("legend").replaceChildren(
      ...classes.slice(0, 24).map((k) => make("li", {}, dot(k, false), `${nameOf(k)} ${counts.get(k)}`)),
      ...(classes.length > 24 ? [make("li", {}, `and ${classes.length - 24} more classes`)] : []),
      ...(counts.get(NO_LABEL) ? [make("li", {}, dot(NO_LABEL, true),
        `no label ${counts.get(NO_LABEL)} (ring: coloured by what the labels say of it)`)] : []));
  }

  place(point) {
    const { clientWidth: w, clientHeight: h } = this.canvas, size = Math.min(w, h) - 2 * EDGE;
    return [(w - size) / 2 + point.x * size, (h - size) / 2 + (1 - point.y) * size];
  }

  draw() {
    const canvas = this.canvas, scale = devicePixelRatio, style = getComputedStyle(canvas);
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const r = this.points.length > 3000 ? 2.5 : 4, dark = this.dark.matches;
    const ordered = [...this.points].sort((a, b) => (a.label > NO_LABEL) - (b.label > NO_LABEL));
    for (const point of ordered) {
      const [x, y] = this.place(point), hollow = point.label === NO_LABEL;
      mark(context, x, y, hollow ? r - 0.5 : r, colourOf(hollow ? point.predicted : point.label, dark), hollow);
      if (known.chosen.has(point.id)) mark(context, x, y, r + 3, style.getPropertyValue("--ink"), true);
    }
    if (this.rope?.length > 1) {
      context.beginPath();
      this.rope.forEach(([x, y]) => context.lineTo(x, y));
      context.closePath();
      context.strokeStyle = style.getPropertyValue("--accent");
      context.setLineDash([5, 4]);
      context.stroke();
    }
  }

  nearest(x, y) {
    let best = null, least = REACH ** 2;
    for (const point of this.points) {
      const [px, py] = this.place(point), d = (px - x) ** 2 + (py - y) ** 2;
      if (d < least) [best, least] = [point, d];
    }
    return best;
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.rope = [[event.offsetX, event.offsetY]];
    find("hover").hidden = true;
  }

  move(event) {
    if (this.rope) {
      this.rope.push([event.offsetX, event.offsetY]);
      return requestAnimationFrame(() => this.draw());
    }
    const point = this.nearest(event.offsetX, event.offsetY), box = find("hover");
    box.hidden = point === null;
    if (point === null) return;
    const [x, y] = this.place(point), image = box.querySelector("img");
    if (image.dataset.id !== String(point.id)) {
      image.dataset.id = String(point.id);
      image.src = imageUrl(point, "small");
    }
    const said = point.label === NO_LABEL ? "no label" : nameOf(point.label);
    const guess = point.predicted >= 0 && point.predicted !== point.label ? `, others say ${nameOf(point.predicted)}` : "";
    box.querySelector("figcaption").textContent = said + guess;
    box.style.setProperty("left", `${Math.max(0, Math.min(x + 14, this.canvas.clientWidth - 150))}px`);
    box.style.setProperty("top", `${Math.max(0, Math.min(y + 14, this.canvas.clientHeight - 170))}px`);
  }

  up(event) {
    const rope = this.rope ?? [];
    this.rope = null;
    if (!event.shiftKey) known.chosen.clear();
    const far = rope.some(([x, y]) => Math.hypot(x - rope[0][0], y - rope[0][1]) > 5);
    if (far) for (const point of this.points) {
      if (inside(this.place(point), rope)) known.chosen.add(point.id);
    } else {
      const point = this.nearest(event.offsetX, event.offsetY);
      if (point) known.chosen.add(point.id);
    }
    this.draw();
    this.chosen();
  }
}

function mark(context, x, y, r, colour, hollow) {
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  context.lineWidth = 1.5;
  context[hollow ? "strokeStyle" : "fillStyle"] = colour;
  context[hollow ? "stroke" : "fill"]();
}

// Whether a ray from the point crosses the rope an odd number of times.
function inside([x, y], rope) {
  let odd = false;
  for (let i = 0, j = rope.length - 1; i < rope.length; j = i++) {
    const [ax, ay] = rope[i], [bx, by] = rope[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}
