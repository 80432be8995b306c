"""Why an item was asked for, in words: the parts of its score, said one by one."""

import math
from collections.abc import Mapping


def explain(parts: Mapping[str, float | int | None], classes: int) -> str:
    """One line for a person who has not read the method's paper.

    Parameters
    ----------
    parts: named components of the score, as in queries.jsonl.
    classes: number of classes, which bounds the entropy.
    """
    said = [_say(name, value, classes) for name, value in parts.items() if value is not None]
    return "; ".join(said)


GLOSSARY = {
    "likelihood_gap": "The likelihood gap is the log-likelihood under the mixture of the "
    "unlabelled features minus that under the mixture of the labelled ones.",
    "critic": "The critic is higher for what looks more like the unlabelled set.",
    "coverage": "Coverage is how similar all images are to the nearest labelled one, on average; "
    "an image that the network is sure of counts less.",
}
"""What a part's number means, for parts whose name does not say it."""


def number(value: float | int, signed: bool = False) -> str:
    """Three significant digits with a true minus sign; "+2.1" where the sign is the message."""
    if value == 0 or not math.isfinite(value):
        text = f"{value:+g}" if signed and value else f"{value:g}"
    elif 1e-3 <= abs(value) < 1e5:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    else:
        text = f"{value:+.2e}" if signed else f"{value:.2e}"
    return text.replace("-", "−")


def _say(name: str, value: float | int, classes: int) -> str:
    key = name.replace("-", "_")
    if key == "likelihood_gap":
        if value > 0:
            return (
                "unlike what is labelled, typical of what is not: "
                f"likelihood gap {number(value, signed=True)}"
            )
        return f"more like what is labelled: likelihood gap {number(value, signed=True)}"
    if key == "critic":
        return f"critic {number(value)}"
    if key == "entropy":
        most = math.log(classes) if classes > 1 else 0.0
        return f"entropy of the prediction {number(value)} of at most {number(most)}"
    if key == "margin":
        # Stored as minus the difference, so that higher is more informative.
        return f"the two likeliest classes are {number(100 * abs(value))} points apart"
    if key == "least_confidence":
        return f"the likeliest class has only {number(100 * (1 - value))}\u00a0%"
    if key == "coverage":
        return f"unlike what is labelled: adds {number(100 * value)}\u00a0% of coverage"
    if key == "uncertainty":
        return f"the network's doubt is {number(100 * value)}\u00a0%"
    if key == "rarity":
        return f"rarity of its likely classes {number(value)} (1: no label yet)"
    return f"{name.replace('_', ' ').replace('-', ' ')} {number(value)}"
