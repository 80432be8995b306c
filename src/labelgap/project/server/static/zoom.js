// The picture on its stage: fitted, enlarged by the wheel, or one to one; dragged while enlarged.

import { find, imageUrl } from "./dom.js";

const MOST = 16;
const FULL = 1280; // the longest side of what is sent at first

export class Zoom {
  constructor() {
    this.stage = find("stage");
    this.image = find("image");
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.drag(event));
    this.reset(null);
  }

  reset(item) {
    this.item = item;
    this.large = false;
    this.set(1, 0, 0);
  }

  // Points of the screen for one point of the picture as its file has it, while it is fitted.
  fit() {
    const { clientWidth, clientHeight } = this.stage;
    return Math.min(clientWidth / this.item.width, clientHeight / this.item.height);
  }

  toggle() {
    if (!this.item) return;
    if (this.scale !== 1) this.set(1, 0, 0);
    else this.set(1 / (this.fit() * devicePixelRatio), 0, 0);
  }

  wheel(event) {
    event.preventDefault();
    if (!this.item) return;
    const scale = Math.min(MOST, Math.max(1, this.scale * Math.exp(-event.deltaY / 400)));
    const box = this.stage.getBoundingClientRect();
    // What is under the pointer stays there.
    const x = event.clientX - box.left - box.width / 2;
    const y = event.clientY - box.top - box.height / 2;
    const by = scale / this.scale;
    this.set(scale, x - (x - this.x) * by, y - (y - this.y) * by);
  }

  drag(down) {
    if (this.scale === 1 || down.target.closest("button")) return;
    const { x, y } = this;
    const move = (event) => {
      this.set(this.scale, x + event.clientX - down.clientX, y + event.clientY - down.clientY);
    };
    this.stage.setPointerCapture(down.pointerId);
    this.stage.addEventListener("pointermove", move);
    const end = () => this.stage.removeEventListener("pointermove", move);
    this.stage.addEventListener("pointerup", end, { once: true });
    this.stage.addEventListener("pointercancel", end, { once: true });
  }

  set(scale, x, y) {
    const { clientWidth, clientHeight } = this.stage;
    const far = (size) => Math.max(0, (size * (scale - 1)) / 2);
    const within = (value, size) => Math.min(far(size), Math.max(-far(size), value));
    this.scale = scale;
    this.x = within(x, clientWidth);
    this.y = within(y, clientHeight);
    const fitted = scale === 1;
    this.image.style.transform = fitted ? "" : `translate(${this.x}px, ${this.y}px) scale(${scale})`;
    this.stage.classList.toggle("zoomed", !fitted);
    find("zoom").setAttribute("aria-pressed", String(!fitted));
    if (scale > 1) this.sharpen();
  }

  // More of its points, once somebody looks closer.
  sharpen() {
    const item = this.item;
    if (this.large || Math.max(item.width, item.height) <= FULL) return;
    this.large = true;
    const picture = new Image();
    picture.onload = () => {
      if (this.item === item && this.large) this.image.src = picture.src;
    };
    picture.src = imageUrl(item, "large");
  }
}
