// The server: login, questions to it, and what is said while it is away.

import { find } from "./dom.js";
import { banner, page } from "./page.js";

export class LoggedOut extends Error {}

export async function call(path) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new Error("The server is away.");
  }
  if (response.status === 401) throw new LoggedOut();
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return response.json();
}

export async function login() {
  const given = new URLSearchParams(location.hash.slice(1));
  // The login name gives way to a name that somebody chose on the page; --annotator does not.
  const known = localStorage.getItem("labelgap/person");
  const name = given.get("person") || (!known && given.get("user"));
  if (name) localStorage.setItem("labelgap/person", name);
  if (!given.get("token")) return;
  // The secret leaves the address line, the history and every screenshot.
  history.replaceState(null, "", "/");
  await fetch("/api/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: given.get("token") }),
  });
}

// Without the secret nothing here works, so nothing is shown but what to do.
export function locked() {
  banner(null);
  for (const id of ["head", "work", "past"]) find(id).hidden = true;
  find("locked").hidden = false;
  const waiting = page.queue ? page.queue.length : 0;
  find("locked-kept").textContent = waiting
    ? `${waiting} answers are kept in this browser and sent once the link is open.`
    : "";
}

export function away(error) {
  if (error === null) return banner(null);
  if (error instanceof LoggedOut) return locked();
  const waiting = page.queue ? page.queue.length : 0;
  const kept = waiting ? ` ${waiting} answers are kept here and sent when it returns.` : "";
  banner(`${error.message ?? error}${kept}`);
}
