"""What to call a result's method, its data set and its page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPORT = "report.html"


def method_name(result: Mapping[str, Any]) -> str:
    """The method's name, or "objective+acquisition" for a free pair."""
    return str(result.get("method") or f"{result['objective']}+{result['acquisition']}")


def data_name(result: Mapping[str, Any]) -> str:
    """The data set's name; of a folder its last part."""
    return Path(str(result["dataset"])).name or str(result["dataset"])
