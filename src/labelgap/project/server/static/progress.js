// How far the labelling is: counts, accuracy, disagreements, and this person's last answers.

import { find, imageUrl, make, sharp } from "./dom.js";
import { banner, page } from "./page.js";

const SHOWN = 24;

function words(entry) {
  if (entry.kind === "skip") return entry.reason;
  return entry.label === -1 ? "none of these" : (entry.name ?? page.classes[entry.label]);
}

// Notes how far an answer is: pending, stored or refused. A tick is shown for "stored" only.
export function changed(entry, state, reason) {
  if (entry.kind !== "undo") {
    let known = page.past.find((past) => past.key === entry.key);
    if (!known) {
      const { key, id, item, bulk } = entry;
      known = { key, id, what: words(entry), item, bulk };
      page.past.unshift(known);
    }
    known.state = state;
    if (state === "refused") page.gone.delete(entry.id);
  }
  if (state === "refused") banner(`Not stored: ${reason}`);
  showHistory();
}

// What was answered before this page was loaded, so that undo reaches it too.
export function recall(state) {
  const undone = new Map();
  for (const event of state.history) {
    if (event.kind === "undone") {
      undone.set(event.id, (undone.get(event.id) ?? 0) + 1);
      continue;
    }
    const times = undone.get(event.id) ?? 0;
    if (times) undone.set(event.id, times - 1);
    const { id, what, bulk, item } = event;
    page.past.push({ id, what, bulk, old: item, state: "stored", undone: times > 0 });
  }
}

export function showHistory() {
  const marks = { pending: "…", stored: "✓", refused: "✗" };
  find("history").replaceChildren(
    ...page.past.slice(0, SHOWN).map((past) => {
      const item = past.item ?? past.old;
      const picture = item ? [make("img", { src: imageUrl(item, "small"), alt: "", loading: "lazy" })] : [];
      if (item) sharp(picture[0], item);
      const button = make(
        "button",
        { type: "button", disabled: !item, title: `${past.what}: ${item?.name ?? past.id}. Click to answer again.`, onclick: () => page.again(past) },
        ...picture,
        make("span", { className: "mark" }, marks[past.state]),
        make("span", { className: past.undone ? "what undone" : "what" }, past.what),
      );
      return make("li", { className: past.state }, button);
    }),
  );
  const waiting = page.queue.length;
  const saved = find("saved");
  saved.className = waiting ? "waiting" : "";
  const [mark, word] = waiting ? [String(waiting), "not saved yet"] : ["✓", "all saved"];
  saved.replaceChildren(mark, make("span", { className: "word" }, ` ${word}`));
}

export function showState(state) {
  page.more.show(state.asking);
  find("project").textContent = state.project;
  document.title = `${state.done}/${state.asked} · ${state.project}`;
  find("progress").max = Math.max(state.asked, 1);
  find("progress").value = state.done;
  find("counts").replaceChildren(
    `${state.done} of ${state.asked}`, make("span", { className: "word" }, " answered"),
  );
  const a = state.accuracy;
  find("accuracy").textContent = a
    ? `accuracy ${a.sentence}` +
      (state.unanswered ? `, ${state.unanswered} without a class` : "")
    : "";
  find("accuracy").title = [state.verdict, state.unanswered_sentence].filter(Boolean).join("\n");
  const box = find("conflicts");
  box.hidden = state.conflict_count === 0;
  box.querySelector("ul").replaceChildren(
    ...state.conflicts.map((conflict) =>
      make(
        "li",
        {},
        make("span", { className: "muted" }, `#${conflict.id}`),
        " ",
        conflict.answers.map((one) => `${one.person}: ${one.what}`).join("; "),
      ),
    ),
  );
}
