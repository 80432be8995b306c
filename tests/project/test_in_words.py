"""Why an image was asked for, in a person's words."""

import pytest

from labelgap.project.asking.explain import HELD_OUT
from labelgap.project.asking.in_words import in_words

WORDS = [
    ({}, HELD_OUT, "cat", 0.9, "drawn at random, to measure how good the network is"),
    ({"coverage": 0.1}, "", "leopard", 0.714,
     "unlike what is labelled so far; the network is 71\u00a0% sure it is leopard"),
    ({"likelihood-gap": 3.0, "critic": 1.0}, "", None, None,
     "unlike anything labelled so far, and like much that is not"),
    ({"likelihood_gap": -3.0}, "", None, None, ""),
    ({"cluster_size": 12.0}, "", None, None, "typical of 12 similar images"),
    ({"cluster_size": 1}, "", None, None, ""),
    ({"entropy": 1.2}, "", "cat", 0.34,
     "the network can hardly tell; its first guess is cat (34\u00a0%)"),
    ({"rarity": 0.8}, "", "cat", 1.0,
     "perhaps of a class with few labels; the network is 99\u00a0% sure it is cat"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "kept", "guess", "p", "said"), WORDS)
def test_what_is_said(parts, kept, guess, p, said):
    assert in_words(parts, kept, guess, p) == said
