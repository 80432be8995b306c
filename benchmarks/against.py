"""One method against all others, setting by setting: the tables and the figure of docs/findings.md.

    python benchmarks/against.py benchmarks/results/field --figure docs/field.png

Prints Markdown, and draws every method's lead over random labels in each setting. Arms are judged
as the benchmark's own report judges them: by balanced accuracy where the pool is imbalanced, paired
by seed, and by Holm's p over all arms of the setting. The upper line, which looks at the truth, is
in no comparison.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from labelgap.bench.evidence import compare
from labelgap.bench.evidence import statistics as st
from labelgap.bench.evidence.collect import collect
from labelgap.bench.evidence.compare import Comparison
from labelgap.bench.grid.store import Store
from labelgap.bench.report.tables import markdown

OTHERS = ["random", "daal", "badge", "margin", "typiclust"]
LOOKS: dict[str, dict[str, Any]] = {
    "method": {"c": "#d1495b", "s": 90, "marker": "D"},
    "daal": {"c": "#2453a6", "s": 60},
    "other": {"c": "#9aa0a6", "s": 28},
}
SEED = 0  # of the bootstrap, which ten seeds and more have


class Against:
    """The areas under the curves of one setting, and one arm's differences to the others."""

    def __init__(self, c: Comparison, method: str) -> None:
        self.c, self.method = c, method
        self.area = {
            arm: area
            for k, (arm, area) in enumerate(zip(c.arms, c.areas(c.main)[:, :, 0], strict=True))
            if not c.upper(k)
        }
        others = [arm for arm in self.area if arm != method]
        rng = np.random.default_rng(SEED)
        self.to = {arm: st.paired(self.area[method], self.area[arm], rng) for arm in others}
        p = st.holm(np.array([self.to[arm].p for arm in others]))
        self.holm = dict(zip(others, p.tolist(), strict=True))
        self.best = max(others, key=lambda arm: float(self.area[arm].mean()))

    def difference(self, arm: str) -> str:
        """In points, with its interval; bold where Holm's p is below 0.05."""
        interval = self.to[arm].interval
        text = f"{100 * interval.mean:+.1f}"
        if self.holm[arm] < 0.05:
            text = f"**{text}**"
        if len(self.c.seeds) > 1:
            text += f" ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
        return text

    def verdicts(self) -> tuple[list[str], list[str]]:
        """Arms that the method is above, and arms that are above it, by Holm's p."""
        sure = [arm for arm, p in self.holm.items() if p < 0.05]
        above = [arm for arm in sure if self.to[arm].interval.mean > 0]
        return above, [arm for arm in sure if arm not in above]


def of_labels(c: Comparison) -> str:
    return f"{c.labels[0]:,} → {c.labels[-1]:,} labels"


def setting(c: Comparison) -> str:
    """Its name, and by what it is judged."""
    # A variant that is named by its labels says nothing more.
    by_labels = c.variant == f"{c.labels[0]} to {c.labels[-1]}"
    name = Path(c.data).name if by_labels else c.name
    return f"{name}{', balanced accuracy' if c.imbalanced else ''}"


def draw(found: list["Against"], file: Path) -> None:
    """A row a setting, a dot a method: points over random; the one method, DAAL and the best."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found = found[::-1]
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.66 * len(found)), dpi=110, layout="constrained")
    for row, one in enumerate(found):
        lead = {a: 100 * float((x - one.area["random"]).mean()) for a, x in one.area.items()}
        for arm in lead.keys() - {"random"}:
            named = arm in (one.method, "daal")
            look = LOOKS["method" if arm == one.method else arm if named else "other"]
            axes.scatter(lead[arm], row, zorder=3 if named else 2, **look)
        above = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axes.annotate(one.best, (lead[one.best], row), color="#5f6368", **above)
    names = [f"{setting(one.c)}\n{of_labels(one.c)}" for one in found]
    axes.set_yticks(range(len(found)), names, fontsize=8)
    axes.axvline(0, color="#5f6368", linewidth=1)
    axes.set_xlabel("points over random labels, averaged over the curve")
    for look, name in zip(
        LOOKS, (found[0].method, "daal", "others, the best by name"), strict=True
    ):
        axes.scatter([], [], label=name, **LOOKS[look])
    figure.legend(loc="outside upper center", ncol=3, frameon=False, fontsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6")
    axes.set_axisbelow(True)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", default="gap")
    parser.add_argument(
        "--of", nargs="*", default=["random", "daal", "badge", "margin", "typiclust"]
    )
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    found = [
        Against(c, options.method)
        for c in compare.comparisons(collect(Store(options.folder)).finished)
        if options.method in c.arms
    ]
    if options.figure:
        draw(found, options.figure)
    named = [arm for arm in options.of if arm != options.method]
    head = ["setting", "labels", "seeds", options.method, *(f"− {arm}" for arm in named),
            "best other", "− that one"]  # fmt: skip
    rows = []
    for one in found:
        rows.append([
            setting(one.c),
            of_labels(one.c).removesuffix(" labels"),
            str(len(one.c.seeds)),
            f"{100 * one.area[options.method].mean():.1f}",
            *(one.difference(arm) if arm in one.to else "–" for arm in named),
            one.best,
            one.difference(one.best),
        ])  # fmt: skip
    print(markdown(head, rows))
    for one in found:
        above, below = one.verdicts()
        print(f"* {setting(one.c)}: above {', '.join(above) or 'none'}; "
              f"below {', '.join(below) or 'none'} (Holm).")  # fmt: skip
    print()
    arms = sorted(set.intersection(*(set(one.area) for one in found)))
    scores = np.array([[one.area[arm].mean() for arm in arms] for one in found])
    ranks = st.average_ranks(scores)
    order = np.argsort(ranks)
    head = ["method", "mean rank", *(setting(one.c) for one in found)]
    areas = [[f"{100 * score:.1f}" for score in scores[:, k]] for k in order]
    print(
        markdown(
            head, [[arms[k], f"{ranks[k]:.1f}", *a] for k, a in zip(order, areas, strict=True)]
        )
    )


if __name__ == "__main__":
    main()
