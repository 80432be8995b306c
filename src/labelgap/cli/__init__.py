"""The command line: one function per command, torch imported only by those that compute."""

import gc
import sys
from importlib import import_module

import typer

from labelgap.core import interrupts
from labelgap.core.errors import LabelgapError
from labelgap.core.terminal import console, use_plain_streams
from labelgap.core.wording import plain

app = typer.Typer(
    name="labelgap",
    help="Which images should I label next? Distribution-aware active learning.",
    no_args_is_help=True,
    epilog="Exit status: 0 done; 1 a check found something or cells failed; 2 a mistake that can "
    "be put right, told with its cure; 130 Ctrl-C. NO_COLOR=1 leaves colours out.",
    pretty_exceptions_enable=False,
    # Rich would take "[default: …]" in a help text for markup and half a second to load.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


GARBAGE_AFTER = 50_000
"""New objects between two looks for garbage, 700 by default: to import torch makes so many that a
fifth of its time went into looking, for none."""


def _version(wanted: bool | None) -> None:
    if wanted:
        from labelgap._version import __version__

        typer.echo(f"labelgap {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool | None = typer.Option(
        None, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Which images should I label next?"""


def with_commands() -> typer.Typer:
    """The app with every command registered, whatever was imported before.

    A module registers its commands when it is imported: here all of them are, in the order in
    which the help lists them.
    """
    for name in (
        "run",
        "bench",
        "catalogue",
        "project",
        "evaluate",
        "score",
        "label",
        "classes",
        "labels",
        "errors",
        "care",
        "label_studio",
    ):
        import_module(f"labelgap.cli.{name}")
    return app


def main() -> None:
    """Run the command line: what the user can put right is told in two lines, exit status 2;
    Ctrl-C in one, exit status 130."""
    gc.set_threshold(GARBAGE_AFTER, *gc.get_threshold()[1:])
    use_plain_streams()
    watch = interrupts.start()
    try:
        _run()
    finally:
        if watch is not None:
            if watch.stopped.is_set():
                # Whatever it was that came of Ctrl-C: libraries turn it into errors of theirs.
                watch.leave()
            watch.close()


def _run() -> None:
    with_commands()
    try:
        app()
    except LabelgapError as error:
        screen = console(stderr=True)
        screen.print(f"[bold red]error:[/] {plain(error.cause)}")
        if error.cure:
            screen.print(f"       {plain(error.cure)}")
        sys.exit(2)
    except OSError as error:  # of a file that nobody thought of: told all the same
        from labelgap.core.disk import trouble

        if (found := trouble(error)) is None:
            raise
        print(f"error: {error.filename or 'A file'}: {found.what}.", file=sys.stderr)
        print(f"       {found.cure}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(interrupts.STATUS)
