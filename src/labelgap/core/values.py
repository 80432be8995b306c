"""Values as people type them: `--set key=value`."""

import tomllib
from typing import Any


def parse_value(text: str) -> Any:
    """A TOML value (number, true, "text", [1, 2]); anything else is text itself; none is None."""
    if text.lower() in ("none", "null"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
