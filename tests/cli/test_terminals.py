"""Consoles without Unicode get plain characters, from every command; no character is an error."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labelgap.core.terminal import console, is_plain, plain_characters, use_plain_streams

ENCODINGS = ("cp1252", pytest.param("ascii", marks=pytest.mark.slow))
TINY = ["--set", "training.steps=4", "--set", "loop.rounds=1", "--set", "loop.initial=20",
        "--set", "loop.budget=10", "--threads", "1"]  # fmt: skip


def said(folder: Path, encoding: str, *arguments: str, status: int = 0) -> bytes:
    """Everything that a command prints on a console of this encoding."""
    done = subprocess.run(
        [sys.executable, "-m", "labelgap", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == status, done.stdout.decode(encoding, "replace")
    assert b"Traceback" not in done.stdout
    return done.stdout


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images of two classes, one of whose names no code page of the West has."""
    rng = np.random.default_rng(0)
    for name in ("café", "猫"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


@pytest.mark.slow  # a process for each command
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_labelling_project(images: Path, encoding: str) -> None:
    quick = ("--set", "training.steps=4", "--set", "training.batch_size=8")
    begun = said(images, encoding, "init", ".", "--method", "margin", "--no-folder-labels",
                 "--classes", "café,猫", *quick)  # fmt: skip
    cafe = {"cp1252": b"caf\xe9", "ascii": b"caf\\xe9"}[encoding]
    assert cafe in begun
    assert b"\\u732b" in begun
    told = [said(images, encoding, "ask", "4"), said(images, encoding, "status")]
    (images / "labels.csv").write_text(
        "path,label\n" + "".join(f"{c}/{i}.png,{c}\n" for c in ("café", "猫") for i in range(10)),
        encoding="utf-8",
    )
    told += [
        said(images, encoding, "import", "labels.csv", "--holdout"),
        said(images, encoding, "train"),
        said(images, encoding, "status"),
        said(images, encoding, "predict"),
        said(images, encoding, "export", "--out", "out.csv"),
        said(images, encoding, "classes", "--add", "ἄλλο"),
        said(images, encoding, "backup"),
        said(images, encoding, "doctor"),
        said(images, encoding, "undo"),
        said(images, encoding, "add", "--verbose"),
    ]
    for text in told:
        assert plain_characters(text.replace(cafe, b"").decode("latin-1")).isascii()
        assert text.replace(cafe, b"").isascii()
    assert b"+/-" in told[4] or b"%" in told[4]


@pytest.mark.slow  # a process for each command
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_runs_and_benchmarks(tmp_path: Path, encoding: str) -> None:
    told = [
        said(tmp_path, encoding, "run", "--method", "margin", "--out", "r", *TINY),
        said(tmp_path, encoding, "run", "--method", "margin", "--out", "r", *TINY),
        said(tmp_path, encoding, "bench", "--dataset", "digits", "--method", "random", "--method",
             "margin", "--seeds", "1", "--out", "b", "--workers", "1", *TINY),
        said(tmp_path, encoding, "report", "b"),
    ]  # fmt: skip
    for text in told:
        assert text.isascii()
    assert b"->" in told[2]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lists_help_and_errors(tmp_path: Path, encoding: str) -> None:
    accents = [] if encoding == "ascii" else ["é", "ü", "ö", "ä", "ø"]
    for arguments in (["methods"], ["config"], ["config", "--preset", "paper"], ["--help"],
                      ["run", "--help"], ["init", "--help"], ["bench", "--help"]):  # fmt: skip
        text = said(tmp_path, encoding, *arguments).decode(encoding)
        assert all(c.isascii() or c in accents for c in text)
    assert said(tmp_path, encoding, "status", status=2).isascii()
    wrong = said(tmp_path, encoding, "run", "--method", "мargin", status=2)
    assert b"\\u043c" in wrong
    assert said(tmp_path, encoding, "init", "没有", status=2).isascii()
    assert said(tmp_path, encoding, "nonsense", status=2).isascii()


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_text_is_left_alone(text: str) -> None:
    assert plain_characters(text) == text


@pytest.mark.parametrize(
    ("encoding", "plain"),
    [("utf-8", False), ("UTF8", False), ("utf_16", False), ("cp65001", False), ("cp1252", True),
     ("ascii", True), ("ANSI_X3.4-1968", True), ("latin-1", True), (None, True)],
)  # fmt: skip
def test_which_consoles_are_plain(encoding: str | None, plain: bool) -> None:
    assert is_plain(encoding) == plain


@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["cp1252", "cp437", "ascii"])
)
def test_every_character_can_be_said(text: str, encoding: str) -> None:
    """And what the console has of it is what is written."""
    sink = io.BytesIO()
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(sink, encoding, newline="")
    try:
        use_plain_streams()
        print(text, end="")
        sys.stdout.flush()
        written = sink.getvalue()
    finally:
        sys.stdout = before
    wanted = plain_characters(text).encode(encoding, "backslashreplace")
    assert written.replace(os.linesep.encode(), b"\n") == wanted


def test_tables_are_laid_out_after_their_texts_are_plain() -> None:
    from rich.table import Table

    class Ascii(io.StringIO):
        encoding = "ascii"

    sink = Ascii()
    table = Table("accuracy", "n")
    table.add_row("0.8 ± 0.1 …", "1")
    table.add_row("0.8", "22")
    console(file=sink, width=60).print(table)
    rows = sink.getvalue().rstrip("\n").split("\n")
    assert len({len(row) for row in rows}) == 1
    assert sink.getvalue().isascii()
    assert "0.8 +/- 0.1 ..." in sink.getvalue()
