"""docs/scaling.png of benchmarks/scaling/memory.jsonl: memory and time against the pool's size.

uv run python benchmarks/scaling/figure.py
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent


def main() -> None:
    lines = [json.loads(line) for line in (HERE / "memory.jsonl").read_text().splitlines()]
    # Of a method and a size the last one counts.
    last = {(x["method"], x["items"]): x for x in lines if x["dtype"] == "float32"}
    figure, (memory, seconds) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for number, method in enumerate(sorted({method for method, _ in last})):
        # Ten colours, and other marks once they come again.
        style = "o-" if number < 10 else "s--"
        found = sorted((items, x) for (name, items), x in last.items() if name == method)
        n = [items for items, _ in found]
        memory.plot(n, [x["bytes"] / 1e9 for _, x in found], style, ms=4, label=method)
        seconds.plot(n, [max(x["cpu_seconds"], 0.01) for _, x in found], style, ms=4, label=method)
    sizes = sorted({items for _, items in last})
    features = [4 * 512 * n / 1e9 for n in sizes]
    memory.plot(sizes, features, "k--", lw=1, label="one copy of the features")
    memory.axhline(2, color="grey", lw=1)
    for axes, name in ((memory, "peak memory above the map [GB]"), (seconds, "processor time [s]")):
        axes.set(xscale="log", yscale="log", xlabel="items of the pool, 512 features", ylabel=name)
        axes.grid(alpha=0.3)
    memory.legend(fontsize=7, ncols=2)
    figure.savefig(HERE.parents[1] / "docs" / "scaling.png", dpi=110)


if __name__ == "__main__":
    main()
