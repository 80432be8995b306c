"""`labelgap label`: the page on which people label; from a bare folder of photographs on."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.cli import app
from labelgap.cli.telling import bar, next_step, tell_begun
from labelgap.cli.values import (
    DEVICE,
    PROJECT,
    PROJECT_NETWORK,
    PROJECT_WEIGHTS,
    THREADS,
    names_of,
    weights_of,
    work_of,
)
from labelgap.core.errors import BudgetError, ConfigError
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted, plain

if TYPE_CHECKING:
    from labelgap.project.keep.store import Project


@app.command()
def label(
    photos: Path | None = typer.Argument(
        None, help="A folder of images: makes it a project, or goes on with the one that it is."
    ),
    classes: str | None = typer.Option(
        None, help="With PHOTOS: names, separated by commas. [default: those of sub-folders]"
    ),
    n: int = typer.Option(
        50, "--ask", min=1, help="With PHOTOS: how many images to ask where none wait."
    ),
    weights: str | None = PROJECT_WEIGHTS,
    network: str | None = PROJECT_NETWORK,
    port: int = typer.Option(
        0, min=0, max=65535, show_default=False, help="Port. [default: a free one]"
    ),
    host: str = typer.Option("127.0.0.1", help="Other addresses let other machines in."),
    annotator: str = typer.Option("", help="Your name, kept with each answer."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the page."),
    ahead: bool = typer.Option(
        True, "--ahead/--no-ahead", help="Choose the next images while some are left to label."
    ),
    device: str = DEVICE,
    threads: int | None = THREADS,
    project: Path | None = PROJECT,
) -> None:
    """Label the asked images in the browser; Ctrl-C ends it. With PHOTOS all that comes before is
    done too: `init`, `ask`, and then the page."""
    from labelgap.project.keep.store import Project

    console = _console()
    page = {"host": host, "port": port, "person": annotator, "browser": browser, "ahead": ahead}
    said = {"--classes": classes, "--weights": weights, "--network": network}
    given = [flag for flag, value in said.items() if value is not None]
    if photos is None:
        if given:
            raise ConfigError(
                f"{given[0]} is for a folder of images, and none is named.",
                f"Say which: `labelgap label PHOTOS {given[0]} …`.",
            )
        with Project.open(project) as p:
            _serve(console, p, project, page)
        return
    if project is not None:
        raise ConfigError(
            f"Both {photos} and --project {project} are given.", "Leave one of them out."
        )
    from labelgap.project.asking.meanwhile import load_meanwhile
    from labelgap.project.exchange.begin import begin_or_go_on

    started = time.monotonic()
    settings = {"network": network, "weights": weights_of(weights)}
    console.print("1 of 3: reading the images …")
    begun = begin_or_go_on(
        photos.expanduser(),
        classes=names_of(classes),
        meanwhile=load_meanwhile,
        **{key: value for key, value in settings.items() if value is not None},
    )
    with begun.project as p:
        tell_begun(console, begun, False)
        _ask(console, p, n, device, threads)
        console.print(f"3 of 3: the page, after {time.monotonic() - started:.0f} s")
        _serve(console, p, photos, page)


def _serve(console: Any, p: "Project", option: Path | None, page: Mapping[str, Any]) -> None:
    """The page until Ctrl-C, and then what to do with the answers."""
    from labelgap.project.server.serve import serve

    try:
        serve(p, console=console, **page)
    finally:
        if p.ledger.labels:
            console.print(next_step(p, option))


def _ask(console: Any, p: "Project", n: int, device: str, threads: int | None) -> None:
    """Something to label; what waits already is enough."""
    if waiting := len(p.waiting()):
        console.print(f"2 of 3: {counted(waiting, 'image')} wait to be labelled")
        return
    n = min(n, sum(item.present for item in p.items.all()))
    console.print(f"2 of 3: choosing {counted(n, 'image')} to label …")
    try:
        with bar(console) as progress:
            asked = work_of(p, None, device, threads, progress).ask(n)
    except BudgetError as error:  # the page shows what there is, and how good it is
        console.print(f"[yellow]{plain(error)}[/]")
        return
    drawn = f"{asked.held_out} of them drawn at random to measure accuracy"
    console.print(f"[bold]{counted(len(asked.items), 'image')}[/] to label, {drawn}")
