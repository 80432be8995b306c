"""Why an image was asked for, for somebody who labels: no number but how sure the network is."""

from collections.abc import Mapping

from labelgap.project.asking.explain import HELD_OUT

HARDLY = 0.5
"""Below it another class is as likely as the one that is named."""
RARE = 0.5
"""Of `rarity`, which is 1 where the likely classes have no label yet."""


def in_words(
    parts: Mapping[str, float | int],
    explanation: str,
    guess: str | None,
    probability: float | None,
) -> str:
    """One short sentence without its full stop; "" where nothing is known.

    Parameters
    ----------
    parts: components of the score, by their names.
    explanation: what was kept when the image was asked (`explain.why`); that of a held-out image
        is known again.
    guess, probability: the network's likeliest class, and how sure it is of it, in [0, 1].
    """
    if explanation == HELD_OUT:
        return "drawn at random, to measure how good the network is"
    known = {name.replace("-", "_"): value for name, value in parts.items()}
    said = []
    if (size := known.get("cluster_size")) is not None and size > 1:
        said.append(f"typical of {int(size)} similar images")
    if known.get("likelihood_gap", 0) > 0:
        said.append("unlike anything labelled so far, and like much that is not")
    elif known.get("coverage", 0) > 0:
        said.append("unlike what is labelled so far")
    if known.get("rarity", 0) > RARE:
        said.append("perhaps of a class with few labels")
    if guess is not None and probability is not None:
        percent = f"{min(99, round(100 * probability))}\u00a0%"
        if probability < HARDLY:
            said.append(f"the network can hardly tell; its first guess is {guess} ({percent})")
        else:
            said.append(f"the network is {percent} sure it is {guess}")
    return "; ".join(said)
