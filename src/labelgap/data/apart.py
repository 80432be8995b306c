"""Images decoded in processes of their own: one that crashes or hangs ends with its name told."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from labelgap.core.errors import DataError
from labelgap.data.decoder import next_image
from labelgap.data.decoders import Lost, shared
from labelgap.data.images import decode, picture, sampled
from labelgap.data.scales import ALONE, Scales, Values
from labelgap.data.source import Item

Block = UInt8[np.ndarray, "k h w c"]
_CHUNK = 128  # images a process decodes at a time


def decode_apart(
    item: Item,
    channels: int,
    shape: tuple[int, int] | None,
    image_size: int | None,
    scales: Scales = ALONE,
) -> UInt8[np.ndarray, "h w c"]:
    """What `decode` gives; also raises `DataError` where the decoder crashes, hangs (60 s), or
    takes more than 4 GiB."""
    if isinstance(item[1], np.ndarray):  # nothing to decode
        return decode(item, channels, shape, image_size, scales)
    try:
        return shared().run(decode, found(item), channels, shape, image_size, scales)
    except Lost as error:
        raise DataError(
            f"{item[0]}: not a readable image ({error}).", "Replace it or remove it."
        ) from error


def found(item: Item) -> Item:
    """The item by its whole path: a process keeps the folder that it was started in."""
    name, data = item
    return (name, data.absolute()) if isinstance(data, Path) else item


def sampled_apart(item: Item) -> tuple[str, Values] | None:
    """What `sampled` gives; None too where the decoder ends."""
    try:
        return shared().run(sampled, found(item))
    except Lost:
        return None


def picture_apart(data: bytes, longest: int, scales: Scales = ALONE) -> Image.Image:
    """What `picture` gives; also raises `DataError` where the decoder ends."""
    try:
        return shared().run(picture, data, longest, scales)
    except Lost as error:
        raise DataError(f"Not a readable image ({error}).") from error


def decode_all(
    items: Iterable[Item],
    channels: int,
    shape: tuple[int, int] | None,
    image_size: int | None,
    advance: Callable[[int], None],
    scales: Scales = ALONE,
) -> Iterator[Block]:
    """Decode several at once; yields blocks in the order of the items.

    At most a few blocks are in memory. `advance(n)` is called as images are finished.
    """
    workers = os.cpu_count() or 1
    stream = iter(items)
    running: deque[Future[Block]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            while True:
                while len(running) < 2 * workers and (chunk := list(islice(stream, _CHUNK))):
                    running.append(pool.submit(_block, chunk, channels, shape, image_size, scales))
                if not running:
                    return
                done = running.popleft().result()
                advance(len(done))
                yield done
        except BaseException as error:
            for future in running:
                future.cancel()
            if isinstance(error, KeyboardInterrupt):  # else those that run are soon done
                shared().stop()
            raise


def _block(
    chunk: list[Item],
    channels: int,
    shape: tuple[int, int] | None,
    image_size: int | None,
    scales: Scales,
) -> Block:
    if not any(isinstance(data, np.ndarray) for _, data in chunk):
        try:
            return shared().run(
                stacked, [found(i) for i in chunk], channels, shape, image_size, scales
            )
        except Lost:
            pass  # one of them ended the process: which one shows when they come singly
    return np.stack([decode_apart(item, channels, shape, image_size, scales) for item in chunk])


def stacked(
    chunk: list[Item],
    channels: int,
    shape: tuple[int, int] | None,
    image_size: int | None,
    scales: Scales,
) -> Block:
    """Several images as one array; what the process runs."""
    images = []
    for item in chunk:
        next_image()
        images.append(decode(item, channels, shape, image_size, scales))
    return np.stack(images)
