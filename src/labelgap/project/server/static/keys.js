// From a key to what it means. Which keys there are is the server's to say (project/keep/keys.py).

// event: KeyboardEvent; keys: {typing, acts, classes}; text: what is typed so far; searching:
// whether somebody went to the search field by its key, so that letters are text there.
// Returns {act}, {choose: class}, {first: true}, or null.
export function meaning(event, keys, text, searching = false) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (event.key === "Backspace") return text ? null : { act: "undo" };
  if (keys.typing && event.key === "Enter") return { first: true };
  if (keys.typing && (text || searching)) return null; // names may have digits and signs in them
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (Object.hasOwn(keys.acts, key)) return { act: keys.acts[key] };
  const chosen = keys.classes.findIndex((own) => own.includes(key));
  return chosen < 0 ? null : { choose: chosen };
}

// The key that is shown for what something does: a letter before a sign.
export function shown(keys, act) {
  const all = Object.keys(keys.acts).filter((key) => keys.acts[key] === act);
  const key = all.find((one) => /^[a-z]$/.test(one)) ?? all[0] ?? "";
  return named(act === "skip" && all.includes(" ") ? " " : key);
}

export const named = (key) => (key === " " ? "Space" : key);

// The classes that match what was typed: the one of that name, those that begin with it, then
// those that contain it.
export function matching(names, text) {
  const order = names.map((_, k) => k);
  const wanted = text.trim().toLowerCase();
  if (!wanted) return order;
  const those = (test) => order.filter((k) => test(names[k].toLowerCase()));
  return [
    ...new Set([
      ...those((name) => name === wanted),
      ...those((name) => name.startsWith(wanted)),
      ...those((name) => name.includes(wanted)),
    ]),
  ];
}
