"""Where a name was registered, so that a second registration can name both places."""

import sys
from dataclasses import dataclass

RUN_ONCE = "labelgap_own_"
"""How the names of modules begin that run once: users' files. One that registers a name for the
second time does so on another line, or in a loop."""


@dataclass(frozen=True)
class Place:
    """The line that registers a name; `of`: the class that it registers, by its qualified name."""

    module: str
    file: str
    line: int
    of: str = ""

    def __str__(self) -> str:
        return f"{self.module} ({self.file}, line {self.line})"

    def again(self, other: "Place") -> bool:
        """Whether `other` is this registration run once more: a notebook's cell, a reload."""
        if self.module.startswith(RUN_ONCE):
            return False
        return (self.module, self.of) == (other.module, other.of)


_CHECKERS = ("jaxtyping", "beartype")
"""They wrap functions where shapes are checked (the test suite); no place is theirs."""


def calling(module: str) -> Place:
    """The place that called into a module: the nearest frame outside it."""
    frame = sys._getframe(1)
    while frame.f_back and _inside(frame.f_globals.get("__name__", ""), module):
        frame = frame.f_back
    return Place(frame.f_globals.get("__name__", ""), frame.f_code.co_filename, frame.f_lineno)


def _inside(name: str, module: str) -> bool:
    return name == module or name.split(".")[0] in _CHECKERS
