"""Says of which class each image is, by the network in model.onnx beside this file.

    python predict.py photo.jpg more-photos/           a line for each image
    python predict.py photos/ --out predictions.csv    a table, with every class's probability

It needs onnxruntime, numpy and Pillow (pip install onnxruntime numpy pillow), and pi-heif for
HEIC photographs. From Python:

    from predict import Model
    names, probabilities = Model().predict(["photo.jpg"])
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 50_000_000
WIDE = ("I", "I;16", "I;16L", "I;16B", "F")
SUFFIXES = (
    ".png .jpg .jpeg .jpe .jfif .mpo .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .avif "
    ".heic .heif .hif"
).split()
BATCH = 32


class Model:
    """The network of one file. `classes`: their names, in the order of the probabilities.

    `side`: of the square that it looks at, in pixels. `scales`: which values become 0 and 255, of
    pixels that are not 8 bits.
    """

    def __init__(self, file: Any = None) -> None:
        import onnxruntime

        place = Path(file) if file else Path(__file__).resolve().parent / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(place), providers=["CPUExecutionProvider"])
        known = self.session.get_modelmeta().custom_metadata_map
        self.classes: list[str] = json.loads(known["classes"])
        self.side: int = json.loads(known["side"])
        self.scales: dict[str, list[float]] = json.loads(known["scales"])

    def predict(self, paths: Sequence[Any]) -> tuple[list[str], Any]:
        """Class names, and probabilities [images, classes], of some image files.

        Raises `ValueError` with the file's name where one is no image.
        """
        rows = [
            self.probabilities(np.stack([self.read(path) for path in paths[i : i + BATCH]]))
            for i in range(0, len(paths), BATCH)
        ]
        table = np.concatenate(rows) if rows else np.empty((0, len(self.classes)), np.float32)
        return [self.classes[k] for k in table.argmax(axis=1)], table

    def read(self, path: Any) -> Any:
        """An image as the network takes it. Raises `ValueError` where it is none."""
        return read_image(path, self.side, self.scales)

    def probabilities(self, images: Any) -> Any:
        """Of uint8 images [n, side, side, 3], RGB."""
        return self.session.run(None, {"images": images})[0]


def read_image(path: Any, side: int, scales: Mapping[str, Sequence[float]]) -> Any:
    """An image file as uint8 [side, side, 3]: upright, RGB, the square at the centre.

    Raises `ValueError` with the file's name where it is no image.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"more than {MAX_PIXELS // 1_000_000} Mpx")
            image.draft(None, (2 * side, 2 * side))
            plain = to_rgb(image, scales)
            return np.asarray(ImageOps.fit(plain, (side, side), Image.Resampling.BICUBIC))
    except Exception as error:  # decoders raise errors of every type
        raise ValueError(f"{path}: not a readable image ({error})") from error


def to_rgb(image: Image.Image, scales: Mapping[str, Sequence[float]]) -> Image.Image:
    """Upright; 16-bit and other values scaled to 8 bits as in training; transparency laid over
    white; the rest converted."""
    if (kind := kind_of(image)) is not None:
        image = scaled(image, kind, scales)
    else:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def kind_of(image: Image.Image) -> str | None:
    """What the pixels are where they are not 8 bits."""
    bits, form = tag(image, 258, 0), tag(image, 339, 1)
    if image.mode == "L":
        return "8-bit signed" if form == 2 else None
    if image.mode not in WIDE:
        return None
    if image.mode == "F":
        return "float"
    if image.mode != "I" or not bits:
        return "12-bit" if bits == 12 else "16-bit"
    return f"{bits}-bit signed" if form == 2 else f"{bits}-bit"


def scaled(image: Image.Image, kind: str, scales: Mapping[str, Sequence[float]]) -> Image.Image:
    """Values other than 8 bits as 8 bits, upright, by the range that was chosen for training."""
    if kind not in scales:
        raise ValueError(f"{kind} pixels, and the network has learned none")
    values = np.asarray(ImageOps.exif_transpose(image))
    if kind == "8-bit signed":
        values = values.view(np.int8)
    elif kind == "32-bit":
        values = values.view(np.uint32)
    if kind == "float" and not np.isfinite(values).all():
        raise ValueError("NaN or infinite pixels")
    low, high = scales[kind]
    shares = (values.astype(np.float64) - low) / (high - low)
    made = np.rint(255 * shares.clip(0, 1)).astype(np.uint8)
    return Image.fromarray(~made if tag(image, 262, 1) == 0 else made)


def tag(image: Image.Image, number: int, without: int) -> int:
    """A number in the header of a TIFF."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or number not in tags:
        return without
    value = tags[number]
    return int(value[0] if isinstance(value, tuple) else value)


def open_heic() -> None:
    """Let Pillow open HEIC, where pi-heif is installed; without it such files are left out,
    by name."""
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def find_images(places: Sequence[str]) -> Iterator[Path]:
    """Files as they are given; of a folder all that have an image's suffix, at any depth."""
    for place in map(Path, places):
        if not place.is_dir():
            yield place
            continue
        for path in sorted(place.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
            if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
                yield path


def main() -> int:
    """The command; its exit status is 1 where a file was left out."""
    words = argparse.ArgumentParser(description="Says of which class each image is.")
    words.add_argument("places", nargs="+", metavar="IMAGE|FOLDER")
    words.add_argument("--out", metavar="FILE.csv", help="write a table instead")
    given = words.parse_args()
    model, failed = Model(), 0
    found: list[tuple[Path, Any]] = []
    waiting: list[tuple[Path, Any]] = []

    def flush() -> None:
        if waiting:
            table = model.probabilities(np.stack([pixels for _, pixels in waiting]))
            found.extend(zip([path for path, _ in waiting], table, strict=True))
            waiting.clear()

    for path in find_images(given.places):
        try:
            waiting.append((path, model.read(path)))
        except ValueError as error:
            failed += 1
            print(f"left out: {error}", file=sys.stderr)
        if len(waiting) == BATCH:
            flush()
    flush()
    if not found and not failed:
        print("There are no images there.", file=sys.stderr)
        return 1
    if given.out:
        write_table(given.out, model.classes, found)
        print(f"{len(found)} predictions -> {given.out}")
    else:
        for path, row in found:
            print(f"{path}\t{model.classes[row.argmax()]}\t{row.max():.3f}")
    return 1 if failed else 0


def write_table(file: str, classes: Sequence[str], found: Sequence[tuple[Path, Any]]) -> None:
    """path, predicted, probability, and a column p(class) for each class."""

    def harmless(text: str) -> str:  # a spreadsheet would take it for a formula
        return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

    with open(file, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "predicted", "probability", *(f"p({name})" for name in classes)])
        for path, row in found:
            name = classes[row.argmax()]
            numbers = [f"{value:.6f}" for value in (row.max(), *row)]
            table.writerow([harmless(str(path)), harmless(name), *numbers])


open_heic()
if __name__ == "__main__":
    sys.exit(main())
