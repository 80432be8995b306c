// What is written leaves here in order and is forgotten only when the server has stored it. It is
// kept in the browser meanwhile, and its request id makes a repeated sending harmless.

import { randomId } from "../dom.js";
import { person } from "../page.js";

const LONGEST_WAIT = 15000;

export class Writes {
  // project: the project's own id; told(write, result): stored, or refused with result.refused;
  // waiting(number, why): how many are not stored yet, and what is in the way.
  constructor(project, told, waiting) {
    this.key = `labelgap/review/${project}`;
    this.project = project;
    this.told = told;
    this.waiting = waiting;
    this.sending = false;
    this.wait = 500;
  }

  entries() {
    return JSON.parse(localStorage.getItem(this.key) ?? "[]");
  }

  keep(entries) {
    localStorage.setItem(this.key, JSON.stringify(entries));
  }

  // what: answer, undo, keep or ask. Returns the write with its request id.
  push(what, body) {
    const write = { what, body: { ...body, request: randomId(), person: person(), project: this.project } };
    this.keep([...this.entries(), write]); // throws where the browser cannot keep it
    this.send();
    return write;
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.timer);
    try {
      for (let all = this.entries(); all.length; all = this.entries()) {
        this.waiting(all.length, null);
        const result = await post(all[0]);
        this.keep(this.entries().filter((w) => w.body.request !== all[0].body.request));
        this.told(all[0], result);
      }
      this.wait = 500;
      this.waiting(0, null);
    } catch (error) {
      this.waiting(this.entries().length, error.message);
      this.timer = setTimeout(() => this.send(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    } finally {
      this.sending = false;
    }
  }
}

async function post(write) {
  let response;
  try {
    response = await fetch(`/api/review/${write.what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(write.body),
    });
  } catch {
    throw new Error("The server is away.");
  }
  const body = await response.json().catch(() => ({}));
  // What can never be stored is not sent again: the reason is shown instead.
  if (response.ok || body.refused || response.status === 400 || response.status === 409) {
    return response.ok ? body : { refused: body.refused ?? body.error };
  }
  if (response.status === 401) throw new Error("Open the link that `labelgap label` printed.");
  throw new Error(body.error ?? `The server answered ${response.status}.`);
}
