// Answers leave here once each, in order, and are forgotten only when the server has stored them.
//
// Each answer is an entry of its own in localStorage (so that two tabs cannot overwrite each
// other's), under a key that sorts in the order of answering. Its request id makes a repeated
// sending harmless: the server stores a request once.

import { randomId } from "./dom.js";

const AT_ONCE = 50;
const LONGEST_WAIT = 15000;

export class Queue {
  // project: the project's own id; person(): who answers;
  // onChange(entry, state): "pending" | "stored" | "refused"; onAway(reason or null).
  constructor(project, person, onChange, onAway) {
    this.prefix = `labelgap/${project}/`;
    this.project = project;
    this.person = person;
    this.onChange = onChange;
    this.onAway = onAway;
    this.sending = false;
    this.wait = 500;
    this.timer = null;
    this.count = 0;
  }

  entries() {
    const keys = [];
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      if (key.startsWith(this.prefix)) keys.push(key);
    }
    return keys.sort().map((key) => ({ key, ...JSON.parse(localStorage.getItem(key)) }));
  }

  get length() {
    return this.entries().length;
  }

  // Throws where the browser cannot keep it: then nothing was answered.
  push(answer) {
    // Those that are given at once are known by the first part, also after a reload.
    const request = answer.bulk ? `${answer.bulk}.${randomId()}` : randomId();
    const order = `${String(Date.now()).padStart(15, "0")}-${String(this.count++).padStart(6, "0")}`;
    const entry = { ...answer, request, person: this.person() };
    const key = `${this.prefix}${order}-${request}`;
    localStorage.setItem(key, JSON.stringify(entry));
    this.onChange({ key, ...entry }, "pending");
    this.send();
    return request;
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.timer);
    try {
      for (let batch = this.next(); batch.length; batch = this.next()) await this.post(batch);
      this.wait = 500;
      this.onAway(null);
    } catch (error) {
      this.onAway(error.message);
      this.timer = setTimeout(() => this.send(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    } finally {
      this.sending = false;
    }
  }

  // The oldest entries of one person.
  next() {
    const all = this.entries();
    const end = all.findIndex((entry) => entry.person !== all[0].person);
    return all.slice(0, end < 0 ? AT_ONCE : Math.min(end, AT_ONCE));
  }

  async post(batch) {
    let response;
    try {
      response = await fetch("/api/answers", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          project: this.project,
          person: batch[0].person,
          answers: batch.map(({ key, person, item, bulk, ...answer }) => answer),
        }),
      });
    } catch {
      throw new Error("The server is away.");
    }
    let body = {};
    try {
      body = await response.json();
    } catch {
      throw new Error(`The server answered ${response.status}.`);
    }
    (body.results ?? []).forEach((result, i) => {
      localStorage.removeItem(batch[i].key);
      this.onChange(batch[i], result.stored ? "stored" : "refused", result.refused);
    });
    if (!response.ok) throw new Error(body.error ?? `The server answered ${response.status}.`);
  }
}
