// Asking for more images: the server trains and chooses while one goes on labelling.

import { find } from "./dom.js";

export class More {
  // begun(): called once the server has taken the question; away(error): it has not.
  constructor(begun, away) {
    this.asked = false; // by this page, so that the end is told once
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
    this.asked = true;
    find("more-state").textContent = "Learning from the answers so far. Go on labelling meanwhile.";
  }

  show(asking) {
    find("more-go").disabled = asking.running;
    const bar = find("more-progress");
    bar.hidden = !asking.running;
    if (asking.running) {
      bar.max = Math.max(asking.steps, 1);
      bar.value = asking.step;
      bar.title = asking.doing;
      if (asking.doing) {
        const left = asking.left ? `, about ${asking.left} left` : "";
        find("more-state").textContent =
          `It is ${asking.doing}: ${asking.step} of ${asking.steps}${left}. ` +
          "Go on labelling meanwhile.";
      }
    } else if (this.asked) {
      this.asked = false;
      const late = asking.answered ? ` ${asking.answered} were answered meanwhile.` : "";
      find("more-state").textContent =
        asking.error ?? `${asking.added} more images are here.${late}`;
    }
  }
}
