"""Columns of Arrow tables in the Hugging Face convention: which hold images, which labels."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from labelgap.core.errors import DataError

# Where a table has several columns of the right type, the conventional name decides; CIFAR-100
# has fine and coarse labels, and the fine ones are its classes.
IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label")


def image_column(file: Path, schema: Any) -> str:
    """The column of encoded images: bytes, alone or as a struct with `bytes`.

    Raises `DataError` where there is none, or several and none of a conventional name.
    """
    found = [field.name for field in schema if _holds_image(field.type)]
    return the_one(file, schema, found, IMAGE_NAMES, "image bytes")


def label_column(file: Path, schema: Any) -> str:
    """The column of labels: the one of a conventional name, else the only one of whole numbers.

    Raises `DataError` where there is none, or several.
    """
    if (named := named_labels(schema)) is not None:
        return named
    # pandas writes its index as a column.
    integers = [f.name for f in schema if pa.types.is_integer(f.type) and f.name[:2] != "__"]
    return the_one(file, schema, integers, LABEL_NAMES, "integer labels")


def named_labels(schema: Any) -> str | None:
    """The column of labels by its name, whatever its type; None without one."""
    images = [field.name for field in schema if _holds_image(field.type)]
    return next((n for n in LABEL_NAMES if n in schema.names and n not in images), None)


def class_names(file: Path, schema: Any, column: str) -> tuple[str, ...] | None:
    """The names that Hugging Face's metadata give to a column's numbers; None without metadata.

    Raises `DataError` for metadata that do not describe the column.
    """
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return None
    try:
        names = json.loads(raw)["info"]["features"][column].get("names")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file}: its Hugging Face metadata do not describe the column {column!r} ({error!r}).",
            "Save the data set anew, or without these metadata.",
        ) from error
    return tuple(str(name) for name in names) if names else None


def the_one(
    file: Path, schema: Any, found: list[str], preferred: tuple[str, ...], what: str
) -> str:
    """The column to take of those found: of a preferred name, else the only one."""
    for name in preferred:
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    if named := [field for field in schema if field.name in preferred]:
        raise DataError(
            f"{file}: the column {named[0].name!r} is of type {named[0].type}, and {what} are "
            "needed.",
            f"Write {what} into it.",
        )
    columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
    raise DataError(
        f"{file}: {len(found) or 'no'} columns of {what} ({columns}).",
        f"Rename the one to use to {preferred[0]!r}."
        if found
        else f"Add a column {preferred[0]!r} of {what}.",
    )


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_image(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return _is_bytes(kind)
