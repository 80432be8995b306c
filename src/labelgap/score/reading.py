"""The rows of a shard: features as they lie there, encoded images one after the other."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.data.source import Item
from labelgap.score.shards import FEATURES, FOLDER, PARQUET, Shard

ROWS = 16 * 4096
"""Rows read at a time: 128 MB of 512 floats."""
IMAGES = frozenset("bmp gif heic heif jpeg jpg png ppm tif tiff webp".split())
_END = bytes(1024)
"""How every archive that was written to its end ends."""

Rows = Float[np.ndarray, "n d"]


def has_features(shard: Shard) -> bool:
    """Whether a shard holds vectors (else encoded images)."""
    if shard.kind == PARQUET:
        return any(_is_vector(f.type) for f in _parquet(shard).schema_arrow)
    return shard.kind == FEATURES


def feature_blocks(shard: Shard, width: int | None = None) -> Iterator[Rows]:
    """Its features in order, as float32, up to `ROWS` rows at a time; nothing else is read.

    width: d that they must have.

    Raises
    ------
    DataError: a torn file, an array of another shape or type; names the shard.
    """
    if shard.kind == PARQUET:
        yield from _vectors(shard, width)
        return
    array = open_map(shard.path, shard.name)
    _check_width(shard, array.shape[1], width)
    for start in range(0, len(array), ROWS):
        yield np.array(array[start : start + ROWS], dtype=np.float32)


def open_map(path: Path, name: str) -> Rows:
    """A `.npy` file of floats [n, d], mapped; `DataError` by its name for any other."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        not_the_disk(error, path)
        raise DataError(
            f"{name}: torn, or no .npy file of plain numbers ({error}).", "Write it anew."
        ) from error
    if array.ndim != 2 or array.dtype not in (np.float16, np.float32):
        raise DataError(
            f"{name}: an array {array.dtype}{list(array.shape)}.",
            "A shard of features is float32 or float16, [rows, features].",
        )
    found: Rows = array
    return found


def _check_width(shard: Shard, found: int, wanted: int | None) -> None:
    if wanted is not None and found != wanted:
        raise DataError(
            f"{shard.name}: {found} features an item, and the labelled items have {wanted}.",
            "Compute all by one network.",
        )


def _parquet(shard: Shard) -> Any:
    try:
        return pq.ParquetFile(shard.path)
    except (pa.ArrowException, OSError) as error:
        not_the_disk(error, shard.path)
        raise DataError(
            f"{shard.name}: torn, or no Parquet file ({error}).", "Write it anew."
        ) from error


def _is_vector(kind: Any) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool((lists or pa.types.is_large_list(kind)) and pa.types.is_floating(kind.value_type))


def _batches(shard: Shard, column: str, rows: int) -> Iterator[Any]:
    try:
        for batch in _parquet(shard).iter_batches(rows, columns=[column]):
            yield batch.column(0)
    except (pa.ArrowException, OSError) as error:
        not_the_disk(error, shard.path)
        raise DataError(f"{shard.name}: torn ({error}).", "Write it anew.") from error


def _vectors(shard: Shard, width: int | None) -> Iterator[Rows]:
    schema = _parquet(shard).schema_arrow
    name = _one(shard, [f.name for f in schema if _is_vector(f.type)], "lists of numbers")
    for column in _batches(shard, name, ROWS):
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        lengths = pa.compute.list_value_length(column).to_numpy(zero_copy_only=False)
        if column.null_count or len(set(lengths.tolist())) > 1:
            raise DataError(
                f"{shard.name}: rows of {name!r} are missing or differ in length.",
                "Give each row as many numbers; NaN where they are not known.",
            )
        _check_width(shard, int(lengths[0]), width)
        yield values.reshape(len(column), -1)


def _one(shard: Shard, names: list[str], what: str) -> str:
    if len(names) != 1:
        raise DataError(
            f"{shard.name}: {len(names)} columns of {what}.", "A shard has exactly one of them."
        )
    return names[0]


def image_items(shard: Shard) -> Iterator[Item]:
    """Its images, still encoded, with their names: paths, members of the archive, or rows.

    Raises
    ------
    DataError: a torn archive or table; names the shard.
    """
    if shard.kind == FOLDER:
        for path in sorted(p for p in shard.path.rglob("*") if p.is_file()):
            if path.suffix.lower()[1:] in IMAGES:
                yield path.relative_to(shard.path).as_posix(), path
    elif shard.kind == PARQUET:
        yield from _table(shard)
    else:
        yield from _archive(shard)


def _archive(shard: Shard) -> Iterator[Item]:
    with shard.path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - len(_END)))
        whole = stream.read() == _END
    if not whole:  # tarfile takes the end of the file for the end of the archive
        raise DataError(f"{shard.name}: torn: the archive has no end.", "Get it anew.")
    try:
        with tarfile.open(shard.path, "r:") as archive:
            for member in archive:
                if member.isfile() and member.name.rpartition(".")[2].lower() in IMAGES:
                    stream_of = archive.extractfile(member)
                    assert stream_of is not None  # of a file it is there
                    yield member.name, stream_of.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        not_the_disk(error, shard.path)
        raise DataError(f"{shard.name}: torn ({error}).", "Get it anew.") from error


def _table(shard: Shard) -> Iterator[Item]:
    def of_images(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(f.name == "bytes" for f in kind)
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    schema = _parquet(shard).schema_arrow
    name = _one(shard, [f.name for f in schema if of_images(f.type)], "images")
    row = 0
    for column in _batches(shard, name, 256):
        for cell in column.to_pylist():
            data = cell.get("bytes") if isinstance(cell, dict) else cell
            yield str(row), data or b""
            row += 1
