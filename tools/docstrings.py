"""The house's docstrings as the site's parser reads them.

In the source an entry stands on one line, `name: what it is`. The parser would take what follows
the colon for a type, and would show an empty description.
"""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
SECTION = re.compile(
    r"^(?P<title>Parameters|Attributes|Raises|Returns)\n-+\n(?P<body>(?:.+\n?)*)", re.MULTILINE
)
ENTRY = re.compile(r"^([*\w.]+(?:, [*\w.]+)*): +(.*)$", re.MULTILINE)
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md\b")


def parsed(text: str) -> str:
    """A docstring whose entries have their description on a line of its own, and whose names of
    pages are links.

    text: without the indentation of the source.
    """
    return PAGE.sub(_link, SECTION.sub(_section, text))


def _section(found: re.Match[str]) -> str:
    title, body = found["title"], found["body"]
    if title == "Returns":  # one thing, of the type that the signature has
        body = ":\n" + "".join(f"    {line}\n" for line in body.splitlines())
    else:
        body = ENTRY.sub(r"\1\n    \2", body)
    return f"{title}\n{'-' * len(title)}\n{body}"


def _link(found: re.Match[str]) -> str:
    """The page's address beside the API's own, where there is such a page."""
    there = (DOCS / f"{found[1]}.md").exists()
    return f"[{Path(found[1]).name}]({found[1]}.md)" if there else found[0]
