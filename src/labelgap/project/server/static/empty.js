// What is shown while there is no image: what goes on, or how good it is and what to do next.

import { curve } from "./curve.js";
import { find } from "./dom.js";

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function title(state) {
  if (state.asking.running) return "The next images are being chosen";
  if (!state.untouched && state.done >= state.asked) return "Every image has an answer";
  if (state.done < state.asked) return "The rest is with somebody else";
  return state.asked ? "This batch is done" : "Nothing is asked yet";
}

function text(state) {
  const { asking } = state;
  if (asking.running) {
    const far = asking.percent === null ? "" : `: ${asking.percent} %`;
    const left = asking.left ? `, ${asking.rate}, about ${asking.left} left` : "";
    return `The network is ${asking.doing}${far}${left}. They come by themselves.`;
  }
  if (!state.untouched && state.done >= state.asked) {
    return "Look at them again, or put more images into the folder. " +
      "Ctrl-C in the terminal ends the page and says which command is next.";
  }
  const rest = state.untouched ? ` ${state.untouched} images were never asked.` : "";
  return `Everything that was asked for has an answer, or is with somebody else.${rest}`;
}

function cost(state) {
  const { images, learning, answer } = state.cost;
  if (!images || state.asking.running) return "";
  const said = [];
  if (learning !== null) said.push(`about ${duration(learning)} of learning`);
  if (answer !== null) {
    said.push(`about ${duration(images * answer)} of your time (${answer.toFixed(1)} s an answer so far)`);
  }
  return said.length ? `The next ${images} images cost ${said.join(" and ")}.` : "";
}

// shown: whether there is no image.
export function showEmpty(state, shown) {
  const box = find("empty");
  box.hidden = !shown;
  if (!shown) return;
  const { asking } = state;
  find("empty-title").textContent = title(state);
  find("empty-text").textContent = text(state);
  const points = state.curve;
  find("outcome").hidden = !points.length;
  if (points.length) {
    find("outcome-accuracy").textContent = `Accuracy on images it never learned: ${state.accuracy.sentence}.`;
    find("outcome-verdict").textContent = `${state.verdict.charAt(0).toUpperCase()}${state.verdict.slice(1)}.`;
    find("curve").replaceChildren(...(points.length > 1 ? [curve(points)] : []));
  }
  find("cost").textContent = cost(state);
  find("more").hidden = asking.running || !state.untouched;
  find("to-review").hidden = state.labelled === 0;
}
