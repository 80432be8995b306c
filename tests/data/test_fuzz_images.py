"""Mutated images: each is an image or a quarantine, and nothing else comes out of the readers."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from mutated import FORMATS, SIDE, seeds, tally
from PIL import features

from labelgap.data.decoders import Decoders, Lost
from labelgap.project.images.look import seen

_BLOCK = 250


def run(pool, first, count):
    """As `tally`, apart; a file that ended the process is counted as such, which is a quarantine
    too, and the files behind it go on."""
    try:
        return pool.run(tally, first, count)
    except Lost as error:
        if count == 1:
            return {("?", f"lost: {error}"): 1}, None
    parts = [run(pool, n, 1) for n in range(first, first + count)]
    whole = Counter()
    for counts, _ in parts:
        whole.update(counts)
    return dict(whole), next((e for _, e in parts if e is not None), None)


def fuzz(files):
    pool = Decoders(2)
    whole, escapes = Counter(), []
    try:
        with ThreadPoolExecutor(2) as threads:
            starts = range(0, files, _BLOCK)
            for counts, escaped in threads.map(lambda n: run(pool, n, _BLOCK), starts):
                whole.update(counts)
                escapes += [] if escaped is None else [escaped]
    finally:
        pool.stop()
    return whole, escapes


def check(files):
    whole, escapes = fuzz(files)
    for key, count in sorted(whole.items()):
        print(f"{count:7d} {key[0]}: {key[1]}")
    assert not escapes
    assert sum(whole.values()) == files
    # The mutations reach both sides: images that still open, and damage found late in a file.
    for name in FORMATS:
        if name in ("AVIF", "WEBP") and not features.check(name.lower()):
            continue
        of = {said: n for (kind, said), n in whole.items() if kind == name}
        assert of["image"] > 0.01 * sum(of.values()), name
        assert of["damaged"] > 0.01 * sum(of.values()), name


def test_the_seeds_are_images():
    for name, files in seeds().items():
        for data in files:
            what = seen("f", data, 3, SIDE)
            # Pillow writes float images, which have no rule of their own in every version.
            assert what.pixels is not None, (name, what)


def test_mutated_images_are_images_or_quarantined():
    check(1_500)


@pytest.mark.slow
def test_two_hundred_thousand_mutated_images():
    check(200_000)
