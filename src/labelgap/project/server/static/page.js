// What this page knows: the images, the answers, who answers; and the line that tells of trouble.

import { find, randomId } from "./dom.js";

export const WATCH = 1000; // while the server chooses more images
export const IDLE = 10000; // while there is nothing to label here: somebody else may ask for more

export const page = {
  classes: [],
  classesSeq: null, // which classes these are, by the ledger's number
  items: [], // waiting, in order
  gone: new Set(), // answered here: a batch that was on its way may still hold them
  past: [], // this person's answers, newest first: {key, id, what, state, item}
  queue: null,
  keys: null, // what each key does
  state: null, // the last one of the server
  looked: false, // whether the server was asked for images: until then nothing is missing
  again: null, // shows an old answer's image once more
  single: null,
  grid: null,
  more: null,
  asked: null, // images asked for so far, as far as this page knows
  lost: false, // the last state could not be fetched
  mode: "single",
};

export function person() {
  let name = localStorage.getItem("labelgap/person");
  if (!name) {
    // From another machine nothing is known: two browsers are two persons until they say
    // otherwise, and each gets other images.
    name = `person-${randomId().slice(0, 4)}`;
    localStorage.setItem("labelgap/person", name);
  }
  return name;
}

export function banner(text) {
  const box = find("banner");
  box.hidden = !text;
  box.textContent = text ?? "";
}
