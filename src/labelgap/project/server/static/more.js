// Asking for more images: the server trains and chooses, by itself or because somebody asks.

import { find } from "./dom.js";

export class More {
  // begun(): called once the server has taken the question; away(error): it has not.
  constructor(begun, away) {
    this.watched = false; // so that the end is told once
    find("more").addEventListener("submit", async (event) => {
      event.preventDefault();
      document.activeElement.blur(); // the keys are the images' again
      try {
        await this.ask(Number(find("more-n").value));
        begun();
      } catch (error) {
        away(error);
      }
    });
  }

  async ask(n) {
    let response;
    try {
      response = await fetch("/api/more", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ n }),
      });
    } catch {
      throw new Error("The server is away.");
    }
    // 409: somebody else asks already, and these images come to all.
    if (!response.ok && response.status !== 409) throw new Error((await response.json()).error);
    find("more-state").textContent = "";
  }

  show(asking) {
    find("more-go").disabled = asking.running;
    const bar = find("more-progress");
    bar.hidden = !asking.running;
    const line = find("ahead-state");
    if (asking.running) {
      this.watched = true;
      if (asking.percent === null) bar.removeAttribute("value");
      else [bar.max, bar.value] = [100, asking.percent];
      const far = asking.percent === null ? "" : ` ${asking.percent} %`;
      const left = asking.left ? `, ${asking.left} left` : "";
      line.textContent = `Next images: ${asking.doing}${far}${left}`;
      line.title = asking.rate; // the line is short
      find("more-state").textContent = "";
      return;
    }
    if (this.watched) {
      this.watched = false;
      const late = asking.answered ? ` ${asking.answered} were answered meanwhile.` : "";
      find("more-state").textContent = asking.error ?? late.trim();
      line.textContent = asking.error ? "The next images could not be chosen" : `${asking.added} more images are here`;
      line.title = asking.error ?? "";
    } else if (asking.error) {
      find("more-state").textContent = asking.error;
      line.textContent = "The next images could not be chosen";
      line.title = asking.error;
    }
  }
}
