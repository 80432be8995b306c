"""`docs/inputs.md`, made from the lists of cases that stand beside the tests.

    python tests/inputs_page.py            writes the page
    python tests/inputs_page.py --check    says whether it is out of date

What happens to an input is not written here: where a list tells a test what to expect, the page
shows that; where something is refused, the page shows the very message. To show a further list, add
a line to `PAGE`: the test file, the name of its list, and how a case of it is told (`told`: its
first entry is what it is, its last what happens).
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TESTS = Path(__file__).parent
FILE = TESTS.parent / "docs" / "inputs.md"
LONGEST = 90
MESSAGE = 400
"""Characters of an example and of a message."""

Row = tuple[str, str, str]
"""What it is, an example, what happens."""


@dataclass(frozen=True)
class Part:
    """One list of cases, and how a case of it becomes a row of the page."""

    file: str
    name: str
    told: Callable[..., Row]


def told(what: str, *case: Any) -> Row:
    """A case whose last entry says in words what happens; what is between is the input."""
    return what, ", ".join(shown(x) for x in case[:-1] if x != ""), words(case[-1])


def quarantined(what: str, contents: bytes, reason: str) -> Row:
    return what, shown(contents), f"quarantined: {reason}"


def label(what: str, column: Any, outcome: Any) -> Row:
    return what, shown(column.to_pylist()), ", ".join(named(x) for x in outcome) or "nothing"


def known_label(what: str, classes: Any, column: Any, outcome: Any) -> Row:
    names = [named(classes[k] if k >= 0 else None) for k in outcome]
    return what, f"{shown(column.to_pylist())}, the classes are {shown(classes)}", ", ".join(names)


def no_label(what: str, column: Any, _: str) -> Row:
    from labelgap.data.labels import read_labels

    return what, shown(column.to_pylist()), refusal(lambda: read_labels(column, "labels.parquet"))


def table(what: str, name: str, contents: Any, outcome: Mapping[str, str]) -> Row:
    return (
        what,
        f"{code(name)}: {shown(contents)}",
        ", ".join(f"{k}: {v}" for k, v in outcome.items()),
    )


def no_table(what: str, name: str, contents: Any, _: str) -> Row:
    tables = import_module("test_tables")
    from labelgap.project.exchange.begin import begin
    from labelgap.project.exchange.exchange import import_file

    with TemporaryDirectory() as folder:
        tables.pictures(Path(folder) / "images")
        with begin(Path(folder) / "images", classes=("cat", "dog")).project as project:
            file = tables.written(Path(folder) / name, contents)
            said = refusal(lambda: import_file(project, file), Path(folder))
    return what, f"{code(name)}: {shown(contents)}", said


def file_name(what: str, files: Any, name: str, found: Any) -> Row:
    there = ", ".join(code(f) for f in files)
    return (
        what,
        f"{code(name)} where there is {there}",
        ", ".join(sorted(map(code, found))) or "no image",
    )


def changed_data(task: Any, said: str) -> Row:
    from labelgap.data.difference import difference
    from labelgap.data.identity import record_of

    identity = import_module("test_identity")
    found = difference(record_of(identity.task(identity.BASE)), record_of(task))
    assert str(found) == said
    happens = "told, and goes on with `--extend`" if found.only_grew else "refused, and told so"
    return escaped(said), "", happens


def full_disk(number: int, said: str) -> Row:
    import errno

    return (
        f"a write that fails by {errno.errorcode[number]}",
        "",
        f"told with file and cure: {said}",
    )


def wide_pixels(kind: str, _: bytes, low: float, high: float) -> Row:
    return (
        f"{kind} pixels over the range of their type",
        f"{low:,} to {high:,}",
        "0 to 255; the data's own range in place of the type's where they fill less than a quarter",
    )


def left_out(name: str, contents: bytes, kind: str | None) -> Row:
    happens = f"left out and counted: {kind}" if kind else "left out, not worth a line"
    return code(name), shown(contents), happens


def table_of_images(what: str, labels: Any, classes: Any) -> Row:
    return (
        f"labels of a Parquet: {what}",
        shown(labels.to_pylist()),
        f"the classes {shown(classes)}",
    )


def no_input(what: str, x: Any, _: str) -> Row:
    import numpy as np

    import labelgap

    def make() -> None:
        labelgap.Task.from_arrays(x, np.zeros(len(x), np.int64))

    return what, array(x), refusal(make)


def no_labels(what: str, y: Any, _: str) -> Row:
    import labelgap

    images = import_module("test_face").IMAGES
    return what, array(y), refusal(lambda: labelgap.Task.from_arrays(images, y, classes="abc"))


def no_item(what: str, items: Any, _: str) -> Row:
    import labelgap

    pairs = import_module("test_face").Pairs
    return f"a data set: {what}", "", refusal(lambda: labelgap.Task.from_dataset(pairs(items)))


def no_classes(what: str, classes: Any, _: Any) -> Row:
    from labelgap.project.keep.settings import check_classes

    return what, shown(classes), refusal(lambda: check_classes(classes))


def same_classes(what: str, found: Any, outcome: Any) -> Row:
    happens = "refused" if outcome is None else "mapped by name" if outcome != [0, 1] else "taken"
    return f"a copy of a known set: {what}", f"{shown(found)} for `cat, dog`", happens


LABELS, TABLES, INPUTS = "data/test_labels.py", "project/test_tables.py", "project/test_inputs.py"
FACE, LEFT_OUT, OWN = "session/test_face.py", "project/test_left_out.py", "data/test_data_own.py"

PAGE: dict[str, tuple[str, list[Part]]] = {
    "Labels": (
        "One rule for every source: folders, CSV, JSON lines, Parquet, Hugging Face, manifests, "
        "`import`.",
        [
            Part(LABELS, "VALUES", label),
            Part(LABELS, "DECLARED", lambda what, *case: label(f"classes declared: {what}", *case)),
            Part(LABELS, "KNOWN", known_label),
            Part(LABELS, "REFUSED", no_label),
            Part(INPUTS, "CLASS_LISTS", no_classes),
            Part(OWN, "ORDERS", same_classes),
        ],
    ),
    "Tables": (
        "What `labelgap import` does with a table in a project with the classes cat and dog, and "
        "the images a.png, b.png, c.png, d.png, sub/e.png, f.JPG, 7.png and zürich.png. A manifest "
        "is read alike. Whatever labelgap exports it imports again.",
        [Part(TABLES, "READ", table), Part(TABLES, "REFUSED", no_table)],
    ),
    "Names of files": (
        "Which image of a project in `/data/train` a name in a table means. A name that means "
        "several is left out and told; an internal number is never one.",
        [Part(TABLES, "NAMES", file_name)],
    ),
    "What is left out": (
        "Files in a folder that are no images for labelgap. One line for each kind says how many; "
        "`--verbose` lists them.",
        [Part(LEFT_OUT, "KINDS", left_out), Part(LEFT_OUT, "TABLES", table_of_images)],
    ),
    "Pictures": (
        "A picture that cannot be used is quarantined: it is named with its reason, and the rest "
        "goes on.",
        [Part(INPUTS, "IMAGES", quarantined), Part("data/test_scales.py", "CASES", wide_pixels)],
    ),
    "Arrays": (
        "What `Task.from_arrays` and `Task.from_dataset` refuse, when the task is made.",
        [
            Part(FACE, "WRONG_INPUTS", no_input),
            Part(FACE, "WRONG_LABELS", no_labels),
            Part(FACE, "WRONG_DATASETS", no_item),
        ],
    ),
    "Data that changed": (
        "A run's or session's folder knows its data by content. The same under another path goes "
        "on; other data are refused with what differs, and what only grew goes on with `--extend`.",
        [Part("data/test_identity.py", "SAID", changed_data)],
    ),
    "Disks": (
        "A disk that refuses is told as such, never as damage. Nothing acknowledged is lost; with "
        "room the same command goes on.",
        [Part("session/test_disk.py", "NUMBERS", full_disk)],
    ),
    "Your own method": (
        "What `labelgap check FILE` says of a file; each ends with status 1.",
        [
            Part("contract/test_check.py", "ENDED", told),
            Part("contract/test_check.py", "CHEATS", told),
        ],
    ),
}  # fmt: skip
"""Section -> (what it is about, its lists). A section without a list is not on the page yet."""

INTRO = """\
# What you may feed it, and what happens

labelgap reads data as people have them, and where it cannot it says so: what is wrong, where, and
what to do. Nothing is guessed in silence, and nothing is stored where something was refused. Each
row below is a test: what the input is, an example, and what happens. The messages are the real
ones: `python tests/inputs_page.py` writes this page from the tests' own lists. "No label" means
that the item is still to be asked for; ␊ is the end of a line, → a tab.
"""


def named(value: str | None) -> str:
    return "no label" if value is None else code(value)


# What other libraries say changes with their versions.
_LIBRARIES = re.compile(
    r"(?<=no JSON): [^)]*| \((?:Could not open|no element|truncated data).*?\)(?=\.)"
)


def refusal(call: Callable[[], object], folder: Path | None = None) -> str:
    """The message of the error that a call must raise, without the folder it happens in."""
    from labelgap.core.errors import LabelgapError

    try:
        call()
    except LabelgapError as error:
        text = str(error)
    else:
        raise AssertionError("nothing is refused")
    if folder:
        text = text.replace(f"{folder}/", "")
    text = _LIBRARIES.sub("", text)
    return f"refused: {escaped(text if len(text) <= MESSAGE else text[: MESSAGE - 1] + '…')}"


def words(outcome: Any) -> str:
    return escaped(outcome) if isinstance(outcome, str) else shown(outcome)


def array(x: Any) -> str:
    import numpy as np

    return f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray) else shown(x)


def shown(value: Any) -> str:
    """A value as people would write it, in one short line."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return f"{len(value)} bytes, the first `{repr(value[:8])[2:-1]}`".replace("|", "\\|")
    if not isinstance(value, str):
        value = str(list(value) if isinstance(value, tuple) else value)
    if len(value) > LONGEST:
        value = value[: LONGEST - 1] + "…"
    return code(value) if value else "nothing at all"


def code(text: str) -> str:
    """Text as it is, within a cell of a table."""
    for old, new in (("\r\n", "␊"), ("\n", "␊"), ("\r", "␊"), ("\t", "→"), ("\ufeff", "")):
        text = text.replace(old, new)
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    if not text:
        return "nothing"
    fence = "``" if "`" in text else "`"
    inner = f" {text} " if fence == "``" or text != text.strip() else text
    return f"{fence}{inner}{fence}".replace("|", "\\|")


def escaped(text: str) -> str:
    """A message within a cell of a table."""
    for old, new in (
        ("\n", "␊"),
        ("\t", "→"),
        ("|", "\\|"),
        ("<", "&lt;"),
        ("*", "\\*"),
        ("_", "\\_"),
    ):
        text = text.replace(old, new)
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def cases(part: Part) -> Iterator[tuple[Any, ...]]:
    """The cases of a list: of tuples, or of a dictionary by what they are."""
    folder, _, file = part.file.rpartition("/")
    for place in (TESTS, TESTS / folder):
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))
    found = getattr(import_module(file.removesuffix(".py")), part.name)
    if isinstance(found, Mapping):
        found = [
            (key, *(value if isinstance(value, tuple) else (value,)))
            for key, value in found.items()
        ]
    yield from found


def page() -> str:
    """The whole page."""
    lines = [INTRO]
    for title, (about, parts) in PAGE.items():
        rows = [part.told(*case) for part in parts for case in cases(part)]
        if not rows:
            continue
        where = ", ".join(dict.fromkeys(f"`tests/{part.file}`" for part in parts))
        lines += [
            f"## {title}\n",
            f"{about} ({where})\n",
            "| input | example | what happens |",
            "|---|---|---|",
        ]
        lines += [f"| {what} | {example} | {happens} |" for what, example, happens in rows]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        FILE.write_text(page(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != page():
        sys.exit("docs/inputs.md is out of date: python tests/inputs_page.py writes it.")


if __name__ == "__main__":
    main()
