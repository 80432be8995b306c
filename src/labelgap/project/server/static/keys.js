// From a key to what it means. With more than ten classes letters type a class's name.

const ACTS = { " ": "skip", "?": "unsure", "!": "bad", "-": "none", "=": "trained", g: "grid" };
const LETTERS = { u: "unsure", b: "bad", n: "none", s: "skip", v: "trained" };

// event: KeyboardEvent; typing: whether letters type; text: what is typed so far.
// Returns {act}, {digit: 0…9 (the place in the list)}, {first: true}, or null.
export function meaning(event, typing, text) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const key = event.key;
  if (key === "Backspace") return text ? null : { act: "undo" };
  if (typing && key === "Enter") return { first: true };
  if (typing && text) return null; // names may have digits and signs in them
  if (/^[0-9]$/.test(key)) return { digit: (Number(key) + 9) % 10 };
  if (key in ACTS && !(typing && key === "g")) return { act: ACTS[key] };
  if (!typing && key in LETTERS) return { act: LETTERS[key] };
  return null;
}

// The classes that match what was typed: those that begin with it, then those that contain it.
export function matching(names, order, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return order;
  const begins = order.filter((k) => names[k].toLowerCase().startsWith(wanted));
  const has = order.filter((k) => !begins.includes(k) && names[k].toLowerCase().includes(wanted));
  return [...begins, ...has];
}
