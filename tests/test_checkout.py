"""What is tracked: a clone stays light, has nothing that a command makes, and its links lead on."""

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST = 20_000_000
"""Bytes of all tracked files together."""


def git(*words: str) -> list[str]:
    """Names that git lists, or a skip where this is no checkout."""
    try:
        top = subprocess.run(
            ["git", "rev-parse", "--show-toplevel"], cwd=ROOT, capture_output=True, text=True
        )
        if top.returncode or Path(top.stdout.strip()).resolve() != ROOT:
            pytest.skip(f"{ROOT} is not a git checkout of its own. {top.stderr.strip()}")
        found = subprocess.run(["git", *words, "-z"], cwd=ROOT, capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return sorted({name.decode() for name in found.stdout.split(b"\0") if name})


def tracked() -> list[str]:
    """Tracked files that are there: one may be deleted and not yet committed."""
    return [name for name in git("ls-files") if (ROOT / name).is_file()]


def test_the_tracked_files_are_few_megabytes() -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in tracked()}
    whole = sum(sizes.values())
    largest = sorted(sizes, key=lambda name: -sizes[name])[:15]
    named = "\n".join(f"{sizes[name]:>12,}  {name}" for name in largest)
    assert whole < MOST, f"{whole:,} bytes are tracked, not under {MOST:,}. The largest:\n{named}"


def test_nothing_is_tracked_that_is_ignored() -> None:
    """Pages, vector figures and tables of reports, above all: benchmarks/README.md."""
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == []


CODE = re.compile(r"^(```|~~~).*?^\1|(`+)[^`]+?\2", re.DOTALL | re.MULTILINE)
LINK = re.compile(
    r"""\]\(\s*<?([^)>\s]+)>?[^)]*\)"""  # [text](target) and ![text](target "title")
    r"""|^\[[^\]]+\]:\s+<?([^>\s]+)"""  # [name]: target
    r"""|(?:src|href|srcset)=["']([^"'\s]+)""",
    re.MULTILINE,
)


def links(text: str) -> list[str]:
    """Targets of links and pictures, code left out."""
    return ["".join(found) for found in LINK.findall(CODE.sub("", text))]


def test_the_links_of_markdown_are_found() -> None:
    text = """[a](b.md) ![x [1, 2]](<c.png> "C") [`d`](d/e.md#part) `[no](no.md)` <img src="f.svg">
```
[no](no.md)
```
[g]: h.md
"""
    assert links(text) == ["b.md", "c.png", "d/e.md#part", "f.svg", "h.md"]


def test_every_relative_link_leads_to_a_tracked_file() -> None:
    names = tracked()
    there = {ROOT / name for name in names}
    folders = {folder for file in there for folder in file.parents}  # sites list a folder
    there |= {folder for folder in folders if folder.is_relative_to(ROOT)}
    lost = []
    for name in names:
        if not name.endswith(".md"):
            continue
        for target in links((ROOT / name).read_text("utf-8")):
            path = unquote(target.split("#")[0].split("?")[0])
            if not path or re.match(r"[a-z][a-z0-9+.-]*:", target) or target.startswith("//"):
                continue
            found = ((ROOT / name).parent / path).resolve()
            if found not in there:
                lost.append(f"{name}: {target}")
    assert not lost, "links to files that are not tracked:\n" + "\n".join(lost)
