// What the review view knows: classes, what is chosen, what was done; and small words about them.

import { make, imageUrl, sharp } from "../dom.js";

export const NONE = -1; // none of the classes

export const known = {
  state: null, // the server's last word
  classes: [],
  keys: [], // of each class the key that gives it, "" where none is left
  chosen: new Set(), // ids
  writes: null,
};

export const nameOf = (label) =>
  label === null ? "no label" : label === NONE ? "none of these" : known.classes[label];

export const percent = (p) => `${Math.min(99, Math.round(100 * p))} %`;

// The key of each class here: the first of its keys that does nothing else in this view.
export const keysOf = (keys) => keys.map((own) => own.find((key) => !"ckoz-".includes(key)) ?? "");

// A colour for each class, apart from its neighbours' by the golden angle; told by name too.
export function colourOf(label, dark) {
  if (label < 0) return dark ? "#8b93a0" : "#7a818c";
  const hue = (label * 137.508 + 215) % 360;
  return `hsl(${hue} ${dark ? 65 : 70}% ${dark ? 68 : 42}%)`;
}

export function picture(item, view = "small") {
  const image = make("img", {
    src: imageUrl(item, view), alt: item.name, loading: view === "small" ? "lazy" : "eager", decoding: "async",
  });
  sharp(image, item);
  return image;
}
