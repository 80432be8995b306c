"""A Markdown table of finished runs: accuracy per round, AUBC, seconds, mean and spread over seeds.

    python benchmarks/summary.py runs/*            # folders of `labelgap run`, or their result.json

Runs of one data set, method and setting but different seeds make one row. The plain mean over
rounds is printed beside the AUBC, which weighs the first and the last round half.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """The result of a run's folder or file."""
    result: dict[str, Any] = json.loads(
        (path / "result.json" if path.is_dir() else path).read_text()
    )
    return result


def name(result: dict[str, Any]) -> str:
    """The method, or the pair."""
    return result["method"] or f"({result['objective']}, {result['acquisition']})"


def spread(values: list[float], digits: int = 3) -> str:
    """ "0.750 ± 0.004" (standard deviation over seeds), or the value alone."""
    text = f"{statistics.mean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {statistics.stdev(values):.{digits}f}"


def table(results: list[dict[str, Any]]) -> str:
    """Rows in the order in which the methods come."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        groups[name(result)].append(result)
    labels = [entry["labels"] for entry in results[0]["rounds"]]
    head = ["method", "seeds", *map(str, labels), "mean", "AUBC", "s a round: train", "align",
            "query", "evaluate"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for method, runs in groups.items():
        accuracy = [[entry["accuracy"] for entry in run["rounds"]] for run in runs]
        seconds = [entry["seconds"] for run in runs for entry in run["rounds"]]
        queries = [s["score"] + s["select"] for s in seconds]
        cells = [method, ", ".join(str(run["seed"]) for run in runs)]
        cells += [spread([a[i] for a in accuracy]) for i in range(len(labels))]
        cells += [spread([statistics.mean(a) for a in accuracy]),
                  spread([run["aubc"] for run in runs])]  # fmt: skip
        cells += [f"{statistics.mean(s[k] for s in seconds):.1f}" for k in ("train", "align")]
        cells += [f"{statistics.mean(queries):.2f}",
                  f"{statistics.mean(s['evaluate'] for s in seconds):.1f}"]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    print(table([read(path) for path in sorted(parser.parse_args().runs)]))


if __name__ == "__main__":
    main()
