"""What the site's API page adds to its parser; `mkdocs.yml` names this file."""

from typing import Any

import griffe

from tools.docstrings import parsed


class Entries(griffe.Extension):
    """Every docstring in the parser's form, before it is read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = parsed(obj.docstring.value)
