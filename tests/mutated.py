"""Images that went wrong: flipped, cut, edited, spliced; and what the readers made of them."""

import random
import struct
import zlib
from io import BytesIO

import numpy as np
from heic_files import heic_bytes
from PIL import Image, features

from labelgap.core.errors import DataError
from labelgap.data.decoder import next_image
from labelgap.data.images import ColourFound, decode, picture
from labelgap.project.images.look import seen

SIDE = 16
FORMATS = ("PNG", "JPEG", "TIFF", "AVIF", "WEBP", "GIF", "BMP", "HEIF")
_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a text"
    return exif.tobytes()


def seeds():
    """Format -> whole files of many kinds, made by Pillow and, for HEIC, pillow-heif."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (24, 20, 4), dtype=np.uint8)
    smooth = np.add.outer(np.arange(24), np.arange(20)).astype(np.uint8) * 5
    rgb, rgba = Image.fromarray(noise[..., :3]), Image.fromarray(noise)
    grey = Image.fromarray(smooth)
    wide = Image.fromarray(smooth.astype(np.uint16) * 200)
    palette = rgb.quantize(16)
    clear = palette.copy()
    clear.info["transparency"] = 3
    frames = {"save_all": True, "append_images": [grey.convert("RGB")]}
    kinds = {
        "PNG": [
            (grey, {}), (rgb, {"exif": _exif(6)}), (rgba, {}), (clear, {}), (wide, {}),
            (grey.convert("1"), {}), (rgb, frames), (grey, {"transparency": 7}),
            (rgb, {"dpi": (90, 90), "icc_profile": b"no profile"}),
        ],
        "JPEG": [
            (grey, {}), (rgb, {"exif": _exif(8)}), (rgb.convert("CMYK"), {}),
            (rgb, {"progressive": True}), (rgb, {"subsampling": 0, "restart_marker_blocks": 1}),
        ],
        "TIFF": [
            *((rgb, {"compression": c}) for c in
              ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma")),
            (grey.convert("1"), {"compression": "group4"}), (wide, {}), (rgba, {}), (palette, {}),
            (grey.convert("F"), {}), (grey.convert("I"), {}), (rgb.convert("CMYK"), {}),
            (rgb, frames | {"exif": _exif(3)}),
        ],
        "AVIF": [(rgb, {}), (rgba, {}), (rgb, {"exif": _exif(6)}), (rgb, frames)],
        "WEBP": [
            (rgb, {}), (rgb, {"lossless": True}), (rgba, {}), (rgba, {"lossless": True}),
            (rgb, frames), (rgb, {"exif": _exif(6)}),
        ],
        "GIF": [(palette, {}), (clear, {}), (grey, {}), (rgb, frames), (palette, {"interlace": 1})],
        "HEIF": [
            (rgb, {}), (rgba, {}), (grey, {}), (rgb, {"exif": _exif(6)}), (rgb, frames),
            (rgb, {"quality": -1}),
        ],
        "BMP": [(grey, {}), (rgb, {}), (rgba, {}), (palette, {}), (grey.convert("1"), {})],
    }  # fmt: skip
    made = {}
    for name, images in kinds.items():
        if name in ("AVIF", "WEBP") and not features.check(name.lower()):
            continue
        made[name] = []
        for image, options in images:
            if name == "HEIF":
                more = options.get("append_images", ())
                kept = {k: v for k, v in options.items() if k in ("quality", "exif")}
                made[name].append(heic_bytes(image, *more, **kept))
                continue
            sink = BytesIO()
            image.save(sink, name, **options)
            made[name].append(sink.getvalue())
    return made


def _parts(data):
    """The file cut at its own seams: chunks of PNG and RIFF, segments of JPEG, boxes of AVIF and
    HEIC; anywhere for others."""
    parts, at = [], 0
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        parts, at = [data[:8]], 8
        while at + 12 <= len(data):
            end = at + 12 + struct.unpack(">I", data[at : at + 4])[0]
            parts.append(data[at:end])
            at = end
    elif data[:4] == b"RIFF":
        parts, at = [data[:12]], 12
        while at + 8 <= len(data):
            size = struct.unpack("<I", data[at + 4 : at + 8])[0]
            end = at + 8 + size + size % 2
            parts.append(data[at:end])
            at = end
    elif data[:2] == b"\xff\xd8":
        parts, at = [data[:2]], 2
        while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
            end = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
            parts.append(data[at:end])
            at = end
    elif data[4:8] == b"ftyp":
        while at + 8 <= len(data):
            end = at + max(8, struct.unpack(">I", data[at : at + 4])[0])
            parts.append(data[at:end])
            at = end
    else:
        step = max(1, len(data) // 7)
        return [data[i : i + step] for i in range(0, len(data), step)]
    return [*parts, data[at:]] if at < len(data) else parts


def _flip(data, other, rng):
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        made[rng.randrange(len(made))] ^= rng.randrange(1, 256)
    return bytes(made)


def _cut(data, other, rng):
    return data[: rng.randrange(len(data))]


def _edit(data, other, rng):
    """A number in the header becomes one at an edge."""
    made, width = bytearray(data), rng.choice((1, 2, 4))
    at = rng.randrange(min(len(made), rng.choice((40, 200, 1 << 30))))
    edge = rng.choice(_EDGES) & (256**width - 1)
    made[at : at + width] = edge.to_bytes(width, rng.choice(("big", "little")))
    return bytes(made)


def _splice(data, other, rng):
    """Parts dropped, doubled, exchanged, or taken from another file."""
    parts, others = _parts(data), _parts(other)
    for _ in range(rng.choice((1, 1, 2, 4))):
        i = rng.randrange(len(parts))
        what = rng.randrange(4)
        if what == 0 and len(parts) > 1:
            del parts[i]
        elif what == 1:
            parts.insert(i, parts[rng.randrange(len(parts))])
        elif what == 2:
            j = rng.randrange(len(parts))
            parts[i], parts[j] = parts[j], parts[i]
        else:
            parts.insert(i, rng.choice(others))
    return b"".join(parts)


def _grow(data, other, rng):
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at + rng.randrange(0, 40) :]


def _sums(data):
    """A PNG whose chunks have right check sums: what was edited gets behind them."""
    parts = _parts(data)
    for i, part in enumerate(parts[1:], 1):
        if len(part) >= 12:
            parts[i] = part[:-4] + struct.pack(">I", zlib.crc32(part[4:-4]))
    return b"".join(parts)


def mutated(files, rng):
    """One file that went wrong, from `seeds`; and the format that it began as."""
    name = rng.choice(sorted(files))
    data = rng.choice(files[name])
    other = rng.choice(files[rng.choice((name, name, name, rng.choice(sorted(files))))])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if data:
            data = rng.choice((_flip, _cut, _edit, _edit, _edit, _splice, _grow))(data, other, rng)
    if name == "PNG" and rng.random() < 0.7:
        data = _sums(data)
    return name, data


def outcome(data, rng):
    """What the readers make of a file: "image", a reason of quarantine, or "ESCAPE: …"."""
    try:
        what = seen("f", data, 3, SIDE)
        (what.reason + what.detail).encode()  # it is stored
    except BaseException as error:  # noqa: BLE001  (what the test looks for)
        return f"ESCAPE: seen: {error!r}"
    fine = what.pixels is not None and what.pixels.shape == (SIDE, SIDE, 3)
    if bool(what.reason) == fine or (fine and what.pixels.dtype != np.uint8):
        return f"ESCAPE: neither image nor reason: {what}"
    if len(data) == 0:
        return what.reason
    reader = rng.randrange(3)
    try:
        if reader < 2:
            channels = rng.choice((1, 3))
            array = decode(("f", data), channels, None, None if reader else SIDE)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != channels:
                return f"ESCAPE: decode: {array.dtype}{array.shape}"
        elif picture(data, SIDE).mode != "RGB":
            return "ESCAPE: picture: no RGB"
    except (DataError, ColourFound) as error:
        str(error).encode()
    except BaseException as error:  # noqa: BLE001  (what the test looks for)
        return f"ESCAPE: {'decode' if reader < 2 else 'picture'}: {error!r}"
    return what.reason or "image"


def tally(first, count):
    """Outcomes of files number first, first + 1, …: (format, outcome) -> how many; and the first
    file that escaped."""
    files, counts, escaped = seeds(), {}, None
    for number in range(first, first + count):
        next_image()
        rng = random.Random(number)
        name, data = mutated(files, rng)
        said = outcome(data, rng)
        if said.startswith("ESCAPE") and escaped is None:
            escaped = number, said, data
        counts[name, said] = counts.get((name, said), 0) + 1
    return counts, escaped
