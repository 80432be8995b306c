"""Commands that look after a project: backup, restore, doctor."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from labelgap.cli import app
from labelgap.cli.scripts import tell_system
from labelgap.cli.telling import tell_copies, tell_restored
from labelgap.cli.values import PROJECT
from labelgap.core.errors import ConfigError, FolderError
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted
from labelgap.core.wording import plain as _plain

if TYPE_CHECKING:
    pass


@app.command()
def backup(
    out: Path | None = typer.Option(None, help="A .zip. [default: .labelgap/backups/<time>.zip]"),
    project: Path | None = PROJECT,
) -> None:
    """Write labels, items and settings to one file (also while `labelgap label` runs)."""
    from labelgap.project.keep.backup import backup as make
    from labelgap.project.keep.store import Project

    with Project.open(project, "read") as p:
        _console().print(f"backup → {_plain(make(p, out))}")


@app.command(name="restore")
def restore_(
    file: Path | None = typer.Argument(
        None, help="A .zip of `labelgap backup`, or a snapshot. [default: the newest sound one]"
    ),
    list_: bool = typer.Option(False, "--list", help="Only list the copies that can be found."),
    yes: bool = typer.Option(False, "--yes", help="Also where it leaves labels out."),
    project: Path | None = PROJECT,
) -> None:
    """List snapshots and backups, and go back to one; what is there now is kept aside.

    Works in a folder without a project too, with a backup that is given or lies there or beside
    it.
    """
    from labelgap.project.keep.found_copies import copies
    from labelgap.project.keep.restore import restore as put_back
    from labelgap.project.keep.store import find_root, need_pixels

    root = (find_root(Path.cwd()) or Path.cwd()) if project is None else project.expanduser()
    if not root.is_dir():
        raise FolderError(f"{root} is not a folder.", "Name the folder of the images.")
    console = _console()
    tell_copies(console, root, copies(root))
    if list_:
        return
    tell_restored(console, put_back(root, file and file.expanduser(), yes=yes))
    if need_pixels(root):
        console.print("next: labelgap doctor --repack (the packed images are not in a backup)")


@app.command()
def doctor(
    repack: bool = typer.Option(False, "--repack", help="Pack all images anew first."),
    restore: str | None = typer.Option(
        None,
        metavar="FILE|newest",
        help="First what `labelgap restore` does, with FILE or without.",
    ),
    set_aside: bool = typer.Option(
        False,
        "--set-aside",
        help="Take answers about items that do not exist out first; the log keeps them.",
    ),
    system: bool = typer.Option(
        False, "--system", help="Only versions, devices, threads, BLAS and disk; needs no project."
    ),
    json_: bool = typer.Option(False, "--json", help="With --system: as JSON, for scripts."),
    project: Path | None = PROJECT,
) -> None:
    """Check that everything is whole; exit status 1 where it is not."""
    if system:
        tell_system(project or Path.cwd(), json_)
        return
    if json_:
        raise ConfigError("--json goes with --system.", "Say `labelgap doctor --system --json`.")
    from labelgap.project.keep.doctor import examine
    from labelgap.project.keep.doctor import repack as pack_anew
    from labelgap.project.keep.store import Project, find_root, is_project

    root = find_root(Path.cwd()) if project is None else project
    if root is None or not is_project(root):
        raise FolderError("There is no labelling project here.", "Name its folder by --project.")
    console = _console()
    if restore is not None:
        from labelgap.project.keep.restore import restore as put_back

        file = None if restore == "newest" else Path(restore).expanduser()
        tell_restored(console, put_back(root, file))
    if set_aside:
        from labelgap.project.keep.doctor import set_aside as take_out

        with Project.open(root) as p:
            ids = take_out(p)
        shown = f": {', '.join(map(str, ids))}" if ids else ""
        console.print(f"{counted(len(ids), 'item')} that do not exist set aside{shown}")
    if repack:
        with Project.open(root) as p:
            rows, failed = pack_anew(p)
        packed = counted(rows - len(failed), "image")
        console.print(f"{packed} packed, {len(failed)} more without their file")
    colours = {"ok": "green", "warning": "yellow", "error": "bold red"}
    findings = examine(root)
    for f in findings:
        cure = f" → {f.cure}" if f.cure else ""
        console.print(
            f"[{colours[f.state]}]{f.state:>7}[/]  {f.check}: {_plain(f.text)}{_plain(cure)}"
        )
    if any(f.state == "error" for f in findings):
        raise typer.Exit(1)
