"""A user's own method: one Python file that registers a pair."""

import hashlib
import importlib.util
import sys
from pathlib import Path

from labelgap.axes import METHODS, Method
from labelgap.errors import ConfigError


def load_methods(file: Path) -> list[Method]:
    """Import a file and return the methods that it registered.

    Raises
    ------
    ConfigError: no such file, an error while it runs (with its line), or nothing registered.
    """
    import labelgap.methods  # noqa: F401  (the built-in names are taken first)

    if not file.is_file():
        raise ConfigError(f"--method {file}: no such file.", "Check the path.")
    before = dict(METHODS)
    spec = importlib.util.spec_from_file_location(f"labelgap_own_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = error.__traceback__
        while line and line.tb_next:
            line = line.tb_next
        where = f" (line {line.tb_lineno} of {line.tb_frame.f_code.co_filename})" if line else ""
        raise ConfigError(
            f"{file} cannot be imported: {type(error).__name__}: {error}{where}.",
            "Correct the file; see docs/own-method.md.",
        ) from error
    made = [m for name, m in METHODS.items() if before.get(name) is not m]
    if not made:
        raise ConfigError(
            f"{file} registers no method.",
            'End it with `method("mine", "cross-entropy", "mine", title=…, citation=…)`.',
        )
    taken = [m.name for m in made if m.name in before]
    if taken:
        raise ConfigError(
            f"{file} registers {taken[0]!r}, which is a built-in method.", "Choose another name."
        )
    return made


def source_hash(file: Path) -> str:
    """SHA-256 of a method's file: part of a run's identity."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
