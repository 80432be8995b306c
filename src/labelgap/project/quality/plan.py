"""How exact the accuracy would be with more test labels, told before anybody labels them."""

from collections.abc import Callable
from dataclasses import dataclass

from labelgap.project.quality.ppi import Improved, wilson
from labelgap.project.quality.quality import Share

TARGETS = (0.1, 0.05, 0.03, 0.02, 0.01, 0.005)
"""Half widths that a person asks for."""


@dataclass(frozen=True)
class Plan:
    """Half widths of the interval, in 0..1: now, and with `more` labels; `needed` more labels
    bring it to `within`, None where there are not as many images."""

    now: float
    more: int
    then: float
    within: float
    needed: int | None
    left: int

    @property
    def sentence(self) -> str:
        """For people: "± 4.1 → ± 3.1 with 100 more; for ± 3 ask 140"."""
        said = f"± {100 * self.now:.1f} → ± {100 * self.then:.1f} points with {self.more} more"
        target = f"{100 * self.within:g}"
        if self.needed is None:
            return f"{said}; ± {target} needs more images than the {self.left} that are left"
        if not self.needed:
            return f"{said}; ± {target} is reached"
        return f"{said}; for ± {target} ask {self.needed}"


def plan(
    share: Share, improved: Improved | None, more: int, left: int, within: float | int | None = None
) -> Plan:
    """What `more` test labels would give, if the share stays what it is now.

    Parameters
    ----------
    share: of the test labels so far.
    improved: the same by the confidences, where that is what is shown.
    left: images that can be asked for testing still.
    within: a half width that is wanted, 0..1; by default the next of `TARGETS` below what `more`
        labels give.

    Raises ValueError without any label so far: there is no share to go by.
    """
    if not share.total:
        raise ValueError("no test label yet")
    more = min(more, left)

    def half(extra: int) -> float:
        low, high = _interval(share, improved, extra, left)
        return (high - low) / 2

    then = half(more)
    target = within if within is not None else next((t for t in TARGETS if t < then), TARGETS[-1])
    return Plan(half(0), more, then, target, _needed(half, target, left), left)


def _needed(half: Callable[[int], float], target: float, left: int) -> int | None:
    """The fewest labels with at most this half width, by bisection: it falls with labels."""
    if half(0) <= target:
        return 0
    if half(left) > target:
        return None
    low, high = 0, left
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if half(middle) <= target else (middle, high)
    return high


def _interval(
    share: Share, improved: Improved | None, extra: int, left: int
) -> tuple[float, float]:
    n = share.total + extra
    if improved is None:
        # Of a share that need not be a whole number of images; a share of 1 is not known to be 1.
        return wilson((share.right + 0.5) / (share.total + 1), n)
    # The images that only have a confidence become fewer as they are labelled.
    pool = improved.pool_noise * left / max(1, left - extra)
    variance = improved.noise / n + min(pool, improved.noise / n)
    value = improved.value
    return wilson(value, value * (1 - value) / variance, n - 1)
