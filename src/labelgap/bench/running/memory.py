"""Memory, as far as the operating system tells: free on the machine, peak of this process."""

import sys
from pathlib import Path

_INFO, _STATUS, _CLEAR = Path("/proc/meminfo"), Path("/proc/self/status"), "/proc/self/clear_refs"


def available() -> int | None:
    """Bytes that new work can take without swapping; None where nobody knows (not Linux)."""
    return _field(_INFO, "MemAvailable:")


def reset_peak() -> None:
    """Forget the peak of what this process did before (Linux; elsewhere it is kept)."""
    if Path(_CLEAR).exists():
        try:
            Path(_CLEAR).write_text("5")
        except PermissionError:
            return  # a container may forbid it: the peak is then that of the process's life


def peak() -> int | None:
    """Most bytes resident since `reset_peak`; None where nobody knows."""
    found = _field(_STATUS, "VmHWM:")
    if found is not None or sys.platform == "win32":
        return found
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _field(file: Path, name: str) -> int | None:
    if not file.exists():
        return None
    for line in file.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None
