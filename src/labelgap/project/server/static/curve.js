// The learning curve as a drawing: accuracy by labels, each point with its interval.

const SPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [420, 170, 48, 24, 10, 14];

function draw(tag, attributes, text) {
  const node = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
}

const percent = (value) => `${Math.round(100 * value)} %`;

// points: [{labels, value, low, high, total}], by labels.
export function curve(points) {
  const most = Math.max(...points.map((p) => p.labels));
  const x = (labels) => LEFT + (labels / most) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value) * (HEIGHT - TOP - BOTTOM);
  const said = points.map((p) => `${p.labels} labels ${percent(p.value)}`).join(", ");
  const box = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Accuracy by labels: ${said}`,
  });
  for (const share of [0, 0.5, 1]) {
    box.append(
      draw("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share) }),
      draw("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)),
    );
  }
  for (const p of points) {
    box.append(draw("line", { class: "range", x1: x(p.labels), x2: x(p.labels), y1: y(p.low), y2: y(p.high) }));
  }
  const line = points.map((p) => `${x(p.labels)},${y(p.value)}`).join(" ");
  box.append(draw("polyline", { points: line }));
  for (const p of points) box.append(draw("circle", { cx: x(p.labels), cy: y(p.value), r: 3.5 }));
  box.append(
    draw("text", { x: LEFT, y: HEIGHT - 6 }, "0"),
    draw("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${most} labels`),
  );
  return box;
}
