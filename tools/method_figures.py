"""A figure for every method that works on vectors: what it asks for on one small flat set.

    uv run python tools/method_figures.py            # writes docs/methods/figures/*.png

All figures have the same 600 items in the plane, in six groups of which two are small, the same 12
labels and the same logistic regression. So they can be laid side by side. A network's features are
stood in for by random cosines of the two coordinates, in which near items are alike and far ones
are not. A page of a method gets its figure behind the first paragraph.

A method that needs a network of its own trains a small one on the 12 labels. FixMatch alone has no
figure: it learns from crops of images.
"""

import io
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression

import labelgap
from labelgap.arrays.supply import by_arrays

PAGES = Path(__file__).parents[1] / "docs" / "methods"
FIGURES = PAGES / "figures"
CENTRES = np.array([[0, 0], [3, 0.4], [1.4, 2.6], [4.6, 2.6], [-1.2, 2.9], [5.2, 0.2]])
SIZES = (190, 170, 130, 60, 30, 20)
COLOURS = np.array(["#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d", "#e45756"])
LABELS, PICKS, WIDTH = 12, 10, 128
DROPOUT, WITHOUT = ("ads", "bald", "drop-query", "mc-dropout"), ("fixmatch",)


def world() -> tuple[np.ndarray, ...]:
    """Items, features, classes, who is labelled, the classes that these have, probabilities."""
    rng = np.random.default_rng(4)
    y = np.repeat(np.arange(len(SIZES)), SIZES)
    x = CENTRES[y] + rng.normal(scale=0.62, size=(len(y), 2))
    ids = np.sort(rng.choice(len(y), LABELS, replace=False))
    waves, phases = rng.normal(size=(2, WIDTH)), rng.uniform(0, 2 * np.pi, WIDTH)
    z = np.cos(x @ waves + phases)
    model = LogisticRegression().fit(z[ids], y[ids])
    return x, z, y, ids, model.classes_, model.predict_proba(z)


def chosen(method: str) -> tuple[np.ndarray, np.ndarray]:
    """What a method asks for by arrays alone, and the class that is predicted for each item."""
    _, z, y, ids, classes, p = world()
    asked = labelgap.choose(
        PICKS, z, probabilities=p, labelled=ids, labels=y[ids], classes=classes, method=method
    ).rows
    return asked, classes[p.argmax(1)]


def trained(method: str) -> tuple[np.ndarray, np.ndarray]:
    """The same of a method that trains."""
    _, z, y, ids, _, _ = world()
    z = z.astype(np.float32)
    network = {"name": "mlp", "hidden": [64], "dropout": 0.1 if method in DROPOUT else 0.0}
    task = labelgap.Task.from_arrays(z, y)
    session = labelgap.Session(task, method=method, network=network, training={"steps": 300})
    session.start_with(ids)
    session.tell({int(i): int(y[i]) for i in ids})
    session.fit()
    return session.ask(PICKS).ids, session.predict(z).argmax(1)


def draw(method: str, asked: np.ndarray, predicted: np.ndarray) -> bytes:
    """The figure as a PNG of few colours."""
    x, _, y, ids, _, _ = world()
    figure, axes = plt.subplots(figsize=(5.2, 3.1), dpi=110, layout="constrained")
    axes.scatter(*x.T, s=12, c=COLOURS[predicted], alpha=0.55, linewidths=0)
    axes.scatter(
        *x[ids].T, s=46, marker="s", c=COLOURS[y[ids]], edgecolors="black", label="labelled"
    )
    axes.scatter(*x[asked].T, s=90, facecolors="none", edgecolors="black", linewidths=1.8,
                 label=f"asked for by {method}")  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncol=2, frameon=False, fontsize=9)
    axes.spines[:].set_color("#cccccc")
    made = io.BytesIO()
    figure.savefig(made, format="png")
    plt.close(figure)
    small = io.BytesIO()
    Image.open(made).convert("RGB").quantize(128).save(small, format="png", optimize=True)
    return small.getvalue()


def link(page: Path, method: str) -> None:
    """The figure behind the page's first paragraph, once."""
    said = f"![Ten items that {method} asks for, of 600 in the plane](figures/{method}.png)"
    text = page.read_text("utf-8")
    if said not in text:
        title, first, rest = text.split("\n\n", 2)
        page.write_text(f"{title}\n\n{first}\n\n{said}\n\n{rest}", "utf-8")


def main() -> None:
    FIGURES.mkdir(exist_ok=True)
    alone = set(by_arrays())
    for page in sorted(PAGES.glob("*.md")):
        method = page.stem
        if method not in WITHOUT:
            asked = chosen(method) if method in alone else trained(method)
            (FIGURES / f"{method}.png").write_bytes(draw(method, *asked))
            link(page, method)
            print(method, flush=True)


if __name__ == "__main__":
    main()
