"""Whether a method under check has changed what checks it, or left something running.

A check that a method can rewrite proves nothing. This finds what is replaced by accident or out of
laziness; it is no wall against a program that hides what it does.
"""

import builtins
import hashlib
import hmac
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from labelgap.axes.registry import TABLES

_BESIDE: tuple[ModuleType, ...] = (
    builtins, hashlib, hmac, json, sys, threading, np, np.random, torch
)  # fmt: skip
"""Modules of others that the checks rely on; of the package every module that is loaded."""


_NAMES = {module.__name__ for module in _BESIDE}


class Guard:
    """What there was when it was made, to be compared after every check.

    Parameters
    ----------
    tables: further dictionaries by name, whose entries must stay what they are.
    """

    def __init__(self, tables: Mapping[str, Mapping[Any, Any]] | None = None) -> None:
        self._tables = {**{f"{kind}s": table for kind, table in TABLES.items()}, **(tables or {})}
        self._entries = {name: dict(table) for name, table in self._tables.items()}
        self._known = dict(_callables())
        self._threads = set(threading.enumerate())
        self._raised: list[str] = []
        self._hook = threading.excepthook

    def __enter__(self) -> "Guard":
        threading.excepthook = self._keep
        return self

    def __exit__(self, *exc: object) -> None:
        threading.excepthook = self._hook

    def _keep(self, failed: threading.ExceptHookArgs) -> None:
        error = getattr(failed.exc_type, "__name__", "an error")
        self._raised.append(f"a thread of its own died of {error}: {failed.exc_value}")

    def problems(self) -> list[str]:
        """What is wrong now, in words; what has been told once is not told again."""
        told, self._raised = self._raised, []
        started = [t for t in threading.enumerate() if t not in self._threads and t.is_alive()]
        self._threads |= set(started)
        if started:
            names = ", ".join(sorted(t.name for t in started))
            told.append(f"leaves threads running: {names}")
        changed = self._changed()
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            told.append(f"replaces what checks it: {', '.join(changed[:5])}{more}")
        return told

    def _changed(self) -> list[str]:
        """Names of what is another object now."""
        now, found = dict(_callables()), []
        for name, (kept, identity) in self._known.items():
            if name in now and now[name][1] == identity:
                continue
            module, _, last = name.rpartition(".")
            itself = name in now and module in _NAMES
            if not (itself and _by_itself(sys.modules[module], last, now[name][0])):
                found.append(name)
            self._known[name] = now.get(name, (kept, identity))
        for name, entries in self._entries.items():
            table = self._tables[name]
            for key, value in list(entries.items()):
                if table.get(key) is not value:
                    found.append(f"{name}[{key!r}]")
                    del entries[key]
        return found


def _callables() -> Iterator[tuple[str, tuple[object, tuple[Any, ...]]]]:
    """Functions, classes and methods by full name: (the object, what tells it from another).

    The object itself is kept, or its address could be that of another one later.
    """
    own = [
        m
        for name, m in list(sys.modules.items())
        if isinstance(m, ModuleType) and (name == "labelgap" or name.startswith("labelgap."))
    ]
    for module in (*own, *_BESIDE):
        for name, value in list(vars(module).items()):
            if not callable(value):
                continue
            path = f"{module.__name__}.{name}"
            if path == "threading.excepthook":
                continue  # the guard's own
            yield path, (value, _identity(value))
            if isinstance(value, type) and value.__module__.split(".")[0] == "labelgap":
                for part, inner in list(vars(value).items()):
                    if callable(inner) or isinstance(inner, property | classmethod | staticmethod):
                        yield f"{path}.{part}", (inner, _identity(inner))


def _by_itself(module: ModuleType, name: str, value: Any) -> bool:
    """Whether a library has replaced a function of its own, as torch does when parts are loaded."""
    code = getattr(value, "__code__", None)
    home = Path(module.__file__).parent if module.__file__ else None
    return bool(code and home and home in Path(code.co_filename).parents and value.__name__ == name)


def _identity(value: Any) -> tuple[Any, ...]:
    if isinstance(value, FunctionType):
        return id(value), id(value.__code__), id(value.__defaults__)
    return (id(value),)
