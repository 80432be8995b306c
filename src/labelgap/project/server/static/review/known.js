// What the review view knows: classes, what is chosen, what was done; and small words about them.

import { make, imageUrl, sharp } from "../dom.js";

export const NONE = -1; // none of the classes

export const known = {
  state: null, // the server's last word
  classes: [],
  keys: [], // of each class the digit that gives it, "" where none is left
  chosen: new Set(), // ids
  writes: null,
};

export const nameOf = (label) =>
  label === null ? "no label" : label === NONE ? "none of these" : known.classes[label];

export const percent = (p) => `${Math.min(99, Math.round(100 * p))} %`;

// A name that is a digit has that key, the others take the rest in order.
export function keysOf(names) {
  const own = names.filter((name) => /^[0-9]$/.test(name));
  const rest = [..."1234567890"].filter((key) => !own.includes(key));
  return names.map((name) => (own.includes(name) ? name : rest.shift() ?? ""));
}

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
