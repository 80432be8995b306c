"""Names of files with brackets, backslashes and colons are told as they are."""

import io

import numpy as np
import pytest
from console import call
from rich.console import Console
from small_project import CLASSES, image_of

from labelgap.core.errors import LabelgapError
from labelgap.core.terminal import console
from labelgap.core.wording import plain
from labelgap.project.exchange.begin import begin

NAMES = [r"a\[/c].png", "[red]x[/].png", "[/].png", "[@click=f]x.png", ":cat:.png", "a[b.png", "d]"]


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("second", NAMES)
def test_two_names_in_one_line_are_what_they_are(first, second, capsys):
    console().print(f"[bold]moved:[/] {plain(first)} → {plain(second)}[yellow]![/]")
    assert capsys.readouterr().out == f"moved: {first} → {second}!\n"


def test_an_escaped_name_never_opens_or_closes_a_tag():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        text = "".join(rng.choice(list("\\[]/ab:#"), 8))
        Console(file=io.StringIO()).print(f"[bold]{plain(text)} [/]{plain(text)}")  # raises nothing


def test_commands_tell_a_path_that_looks_like_a_tag(tmp_path, capsys):
    folder = tmp_path / "images"
    for k, name in enumerate((r"a\[/c].png", "[red]x[/red].png", ":cat:.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image_of(k, np.random.default_rng(k)).save(path)
        path.with_suffix(".bmp").write_bytes(b"")
    begin(folder, classes=CLASSES).project.close()
    at = ("--project", str(folder))
    status, said = call(capsys, "status", "--quarantine", *at)
    assert status == 0
    for name in (r"a\[/c].bmp", "[red]x[/red].bmp", ":cat:.bmp"):
        assert f"{name}: zero bytes" in said
    status, said = call(capsys, "undo", r"b\[/c].png", *at)
    assert status == 2
    assert r"No image of this project is named 'b\\[/c].png'" in said


def test_an_image_is_named_by_path_stem_or_contents_and_never_by_a_number_of_ours(project):
    for name in ("im0057.pgn", "7", "²"):
        with pytest.raises(LabelgapError) as raised:
            project.item_of(name)
        assert ("Did you mean im0057.png" in str(raised.value)) is (name[0] == "i")
    assert project.item_of("im0007.png") == project.item_of("im0007") == 7
    digest = project.items.get(7).sha256
    assert project.item_of(digest) == project.item_of(digest[:8]) == 7
