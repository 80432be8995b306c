// What is shown, from the form of filters to the query of the server.

import { find, make } from "../dom.js";
import { NONE, known } from "./known.js";

const STATES = [["", "all"], ["labelled", "labelled"], ["unlabelled", "no answer yet"],
  ["skipped", "skipped"], ["conflict", "people disagree"]];
const SORTS = [["name", "by name"], ["unsure", "least sure first"], ["sure", "surest first"],
  ["newest", "last answered first"], ["oldest", "first answered first"], ["label", "by label"],
  ["region", "by region"]];
const SURE = [["", "any"], ["0-0.5", "below 50 %"], ["0.5-0.8", "50 to 80 %"], ["0.8-0.95", "80 to 95 %"],
  ["0.95-1", "above 95 %"]];
const FIELDS = ["text", "state", "label", "predicted", "sure", "region", "by", "sort", "disagrees"];

const field = (name) => find(`f-${name}`);

function fill(name, choices) {
  const select = field(name), now = select.value;
  select.replaceChildren(...choices.map(([value, text]) => make("option", { value: String(value) }, text)));
  select.value = choices.some(([value]) => String(value) === now) ? now : String(choices[0][0]);
}

// Choices that depend on the project: filled anew when it tells of others.
export function fillFilters(state) {
  const classes = known.classes.map((name, k) => [k, name]);
  fill("state", STATES);
  fill("sort", SORTS);
  fill("sure", SURE);
  fill("label", [["", "any"], ...classes, [NONE, "none of these"]]);
  fill("predicted", [["", "any"], ...classes]);
  fill("by", [["", "anybody"], ...state.people.map((name) => [name, name || "(no name)"])]);
  const regions = state.regions.map((r) => [r.region,
    `${r.mostly === null ? "region" : `mostly ${known.classes[r.mostly]}`} (${r.labelled} of ${r.size} labelled)`]);
  fill("region", [["", regions.length ? "any" : "not known yet"], ...regions]);
}

export function query() {
  const found = new URLSearchParams();
  for (const name of ["text", "state", "label", "predicted", "region", "by", "sort"])
    if (field(name).value) found.set(name, field(name).value);
  const [least, most] = field("sure").value.split("-");
  if (most) {
    found.set("least", least);
    found.set("most", most);
  }
  if (field("disagrees").checked) found.set("disagrees", "1");
  return found;
}

// changed(): called when another filter is set.
export function watchFilters(changed) {
  let due = null;
  find("filters").addEventListener("input", () => {
    clearTimeout(due);
    due = setTimeout(changed, 150);
  });
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  // On a phone they would fill the screen before the first image.
  find("filter-box").open = matchMedia("(min-width: 761px)").matches;
  find("f-clear").addEventListener("click", () => {
    clearFilters();
    changed();
  });
}

export function clearFilters() {
  for (const name of FIELDS) {
    if (name === "disagrees") field(name).checked = false;
    else field(name).value = name === "sort" ? "name" : "";
  }
}
