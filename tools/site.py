"""Build the site of the documentation; every warning is an error.

    uv run --group docs python tools/site.py        # .site/html/index.html, to be opened as a file

The pages are the repository's own Markdown, so that they also read well there. They are laid
together under `.site/pages` first: `docs/` at the root, the committed reports of benchmarks beside
it. A link to what is no page (a script, a folder) becomes the name of what it led to.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / ".site" / "pages"
TOP = ("CHANGELOG.md", "CONTRIBUTING.md")
KINDS = (".md", ".png", ".ipynb", ".js", ".css")
SNIPPETS = "docs/snippets/"
CODE = re.compile(r"(^(```|~~~).*?^\2)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
SHAPE = re.compile(r"(`[^`]*`)|\[(\d+(?:, \d+)*)\](?!\()")  # "float32 [2, 2]" is no link
BEHIND = "---\nsearch: {boost: 0.2}\n---\n"
"""Of pages of numbers: the search shows them behind what explains them."""
NOWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//")


def files() -> list[str]:
    """The repository's files, tracked or new, by their path in it."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True)
    return sorted({name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()})


def place(name: str) -> str | None:
    """Where a file of the repository stands on the site; None for one that is no page of it."""
    if not name.endswith(KINDS):
        return None
    if name == "README.md":  # the site has a first page of its own
        return "index.md"
    if name.endswith(".ipynb"):
        return name.removeprefix("docs/").replace(".ipynb", ".md")
    if name in TOP or name.startswith("benchmarks/"):
        return name
    return name.removeprefix("docs/") if name.startswith("docs/") else None


def led(name: str, text: str, places: dict[str, str]) -> str:
    """A page's text with every link as it stands on the site.

    Parameters
    ----------
    name: the page's path in the repository.
    places: path in the repository to path on the site.
    """
    here = PurePosixPath(places[name]).parent
    snippets: dict[str, str] = {}

    def one(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if NOWHERE.match(target):
            return found[0]
        path, hash_, part = target.partition("#")
        whole = os.path.normpath(PurePosixPath(name).parent / unquote(path))
        if whole.startswith(SNIPPETS) and whole.endswith(".py"):
            stem = PurePosixPath(whole).stem
            snippets[stem] = (ROOT / whole).read_text("utf-8")
            return f"[{words}](#{stem})"
        there = places.get(whole)
        if there is None:
            return words if words.strip("`") in whole else f"{words} (`{whole}`)"
        return f"{picture}[{words}]({os.path.relpath(there, here)}{hash_}{part})"

    def outside(part: str) -> str:
        return SHAPE.sub(lambda found: found[1] or f"\\[{found[2]}\\]", LINK.sub(one, part))

    parts = CODE.split(text)
    # Every third part is outside a block: the block and its fence are the two groups between.
    page = "".join(
        outside(part) if k % 3 == 0 else part for k, part in enumerate(parts) if k % 3 != 2
    )
    if not snippets:
        return page
    shown = (
        f"### {stem}.py {{ #{stem} }}\n\n```python\n{code.rstrip()}\n```\n"
        for stem, code in snippets.items()
    )
    return page.rstrip() + "\n\n## The snippets\n\n" + "\n".join(shown)


def executed(notebook: Path, page: Path) -> None:
    """A notebook run from top to bottom, as a page with what it printed and drew; its pictures lie
    beside the page. A cell that fails ends the build."""
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    read = nbformat.read(notebook, as_version=4)
    ExecutePreprocessor(timeout=300).preprocess(read, {"metadata": {"path": str(page.parent)}})
    text, resources = MarkdownExporter().from_notebook_node(read)
    for name, content in resources.get("outputs", {}).items():
        (page.parent / name).write_bytes(content)
    page.write_text(text, "utf-8")


def lay(names: Iterable[str], pages: Path) -> None:
    """Copy pages and pictures to where the site wants them."""
    shutil.rmtree(pages, ignore_errors=True)
    places = {name: there for name in names if (there := place(name))}
    for name, there in places.items():
        if name == "README.md":
            continue
        (pages / there).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".ipynb"):
            executed(ROOT / name, pages / there)
        elif name.endswith(".md"):
            text = led(name, (ROOT / name).read_text("utf-8"), places)
            text = BEHIND * name.startswith("benchmarks/") + text
            (pages / there).write_text(text, "utf-8")
        else:
            shutil.copyfile(ROOT / name, pages / there)


def main() -> int:
    """Lay the pages together and build; the status of mkdocs."""
    lay(files(), PAGES)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    # Material's makers advertise their next product on every build.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    status = subprocess.run(command, cwd=ROOT, env=environment).returncode
    if status == 0:
        print(f"open {ROOT / '.site' / 'html' / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
