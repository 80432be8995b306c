"""How many picks a map of float16 shares with one of float32.

    uv run python benchmarks/scaling/half.py --items 1000000 --method margin daal

The pool is memory.py's, written once in each type; logits are of the features as they were read.
Where each pick depends on those before, one near tie sends a method another way, to picks as good.
So the same is done with features moved by the smallest step of float32, which is what another
processor does to them: what these picks share is the most that can be asked. Prints Markdown.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from memory import LABELLED, of_file, pool_file

METHODS = ("margin", "entropy", "daal", "gap", "u-herding", "max-herding", "coreset", "badge")


def moved_file(file: Path) -> Path:
    """The pool with every number moved up by its smallest step."""
    to = file.with_name(f"{file.stem}-moved.npy")
    if not to.exists():
        whole = np.load(file, mmap_mode="r")
        made = np.lib.format.open_memmap(to, "w+", whole.dtype, whole.shape)
        for start in range(0, len(whole), 8192):
            part = whole[start : start + 8192]
            made[start : start + 8192] = np.nextafter(part, np.float32(np.inf))
        made.flush()
    return to


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--method", nargs="+", default=list(METHODS))
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    place = Path(tempfile.gettempdir()) / "labelgap-scaling"
    place.mkdir(parents=True, exist_ok=True)
    wide, half = (pool_file(args.items + LABELLED, args.width, h, place) for h in (False, True))
    files = (wide, half, moved_file(wide))
    print("| method | float16 | moved by one step of float32 |\n|---|--:|--:|")
    for method in args.method:
        picks = [of_file(method, file, args.budget, args.threads)["ids"] for file in files]
        first, *others = ({int(i) for i in ids} for ids in picks)  # type: ignore[attr-defined]
        shares = [f"{100 * len(first & other) / len(first):.1f} %" for other in others]
        print(f"| {method} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
