// From a key to what it means. With more than ten classes letters type a class's name.

const ACTS = { " ": "skip", "?": "unsure", "!": "bad", "-": "none", "=": "trained", g: "grid" };
const LETTERS = { u: "unsure", b: "bad", n: "none", s: "skip", v: "trained" };

// event: KeyboardEvent; typing: whether letters type; text: what is typed so far; numbers: whether
// digits type too, since names begin with them.
// Returns {act}, {digit: "0" … "9"}, {first: true}, or null.
export function meaning(event, typing, text, numbers = false) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const key = event.key;
  if (key === "Backspace") return text ? null : { act: "undo" };
  if (typing && key === "Enter") return { first: true };
  if (typing && text) return null; // names may have digits and signs in them
  if (/^[0-9]$/.test(key)) return typing && numbers ? null : { digit: key };
  if (key in ACTS && !(typing && key === "g")) return { act: ACTS[key] };
  if (!typing && key in LETTERS) return { act: LETTERS[key] };
  return null;
}

// The key of each name of a list, "" where none is left: a name that is a digit has that key, the
// others take the rest in order, 1 … 9, 0.
export function digits(names) {
  const own = names.filter((name) => /^[0-9]$/.test(name));
  const rest = [..."1234567890"].filter((key) => !own.includes(key));
  return names.map((name) => (own.includes(name) ? name : rest.shift() ?? ""));
}

// The classes that match what was typed: the one of that name, those that begin with it, then
// those that contain it.
export function matching(names, order, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return order;
  const named = (test) => order.filter((k) => test(names[k].toLowerCase()));
  return [
    ...new Set([
      ...named((name) => name === wanted),
      ...named((name) => name.startsWith(wanted)),
      ...named((name) => name.includes(wanted)),
    ]),
  ];
}
