// A page that was opened as a file may start no worker, and Material searches in one. Here a hidden
// frame stands for it: no server and no other host is needed.
// Its name is what keeps Material's `offline` plugin from asking unpkg.com for a script like it.
"use strict";

if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #inside = null; // the frame's window, once the worker's script has run there
    #waiting = [];

    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<!doctype html><title>worker</title>"; // of this page's own origin
      frame.addEventListener("load", () => this.#begin(frame.contentWindow, url), { once: true });
      document.body.append(frame);
    }

    async #begin(inside, url) {
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = async (...urls) => {
        for (const each of urls) await run(inside, each);
      };
      try {
        await run(inside, new URL(url, document.baseURI).href);
      } catch (error) {
        this.dispatchEvent(new ErrorEvent("error", { message: error.message }));
        return;
      }
      this.#inside = inside;
      for (const data of this.#waiting.splice(0)) this.postMessage(data);
    }

    postMessage(data) {
      if (this.#inside === null) this.#waiting.push(data);
      else setTimeout(() => this.#inside.dispatchEvent(new MessageEvent("message", { data })));
    }
  };

  const run = (inside, url) =>
    new Promise((resolve, reject) => {
      const script = inside.document.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${url} cannot be loaded`));
      inside.document.head.append(script);
    });
}
