"""A folder of small images in three classes, its answers, and its page's server."""

import subprocess
import sys
from contextlib import contextmanager

import numpy as np
from PIL import Image

CLASSES = ("red", "green", "blue")
QUICK = {
    "training": {"steps": 30, "batch_size": 16},
    "network": {"name": "resnet", "width": 8, "blocks": [1]},
}
"""A network from scratch that trains in a second."""


def image_of(k: int, rng: np.random.Generator, side: int = 12) -> Image.Image:
    """A noisy square in which class k's channel is the brightest."""
    pixels = rng.integers(0, 120, (side, side, 3))
    pixels[..., k] += 110
    return Image.fromarray(pixels.astype(np.uint8))


def make_images(folder, n=60, seed=0):
    """n images, of classes in turn; returns path -> class name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    truth = {}
    for i in range(n):
        name = f"im{i:04d}.png"
        image_of(i % 3, rng).save(folder / name)
        truth[name] = CLASSES[i % 3]
    return truth


def answer_all(project, truth, person="anna"):
    """Everything that is waiting gets its true label."""
    for item in project.ledger.outstanding():
        label = CLASSES.index(truth[project.items.get(item.id).path])
        project.ledger.answer(item.id, label, person=person)


@contextmanager
def running_server(folder, *options):
    """`labelgap label` in a process of its own: yields (process, base address, token)."""
    command = [sys.executable, "-m", "labelgap", "label", "--no-browser", "--project", str(folder)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        link = wait_for_link(process)
        base, _, fragment = link.partition("/#token=")
        yield process, base, fragment.partition("&")[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for_link(process):
    said = []
    while True:  # until it tells the link or ends: the line is read when it comes
        line = process.stdout.readline()
        said.append(line)
        for word in line.split():
            if "/#token=" in word:
                return word
        if not line and process.poll() is not None:
            break
    raise AssertionError("".join(said))
