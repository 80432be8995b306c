// Small helpers over the document. Text is only ever set as text, never as markup.

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// crypto.randomUUID is kept from pages that come over plain HTTP from another machine (--host).
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The version is the content's: the browser keeps images, and every project has an image 0.
export const imageUrl = ({ id, version }, view = "full") =>
  `/image/${id}?view=${view}&v=${version ?? ""}`;

// How sure the network is: "87 %", or nothing where it is not known.
export const sure = (item) =>
  item.probability === null ? "" : `${Math.min(99, Math.round(100 * item.probability))} %`;

// Small pictures are shown with their pixels, not blurred.
export function sharp(image, item) {
  const small = Math.max(item.width, item.height) <= 128;
  image.classList.toggle("small", small);
}
