"""`labelgap errors`: labels that are probably wrong, the worst first."""

from pathlib import Path

import typer

from labelgap.cli import app
from labelgap.cli.scripts import print_json
from labelgap.cli.telling import bar
from labelgap.cli.values import DEVICE, PROJECT
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted
from labelgap.core.wording import plain as _plain


@app.command()
def errors(
    most: int = typer.Option(20, "--most", min=1, help="How many to list."),
    json_: bool = typer.Option(False, "--json", help="All of them as JSON."),
    device: str = DEVICE,
    project: Path | None = PROJECT,
) -> None:
    """List labels that the other labels speak against: probably wrong ones, the worst first.

    The page shows them with their images: `labelgap label`, then Review, Label errors.
    """

    from labelgap.core.names import check_device
    from labelgap.project.keep.store import Project
    from labelgap.project.quality.label_errors import can_be_judged

    check_device(device)
    with Project.open(project, "read") as p:
        import numpy as np

        can_be_judged(np.array(list(p.ledger.labels.values()), dtype=np.int64))
        from labelgap.project.asking.judged import judge, suspects
        from labelgap.project.asking.seen import see

        console = _console(stderr=json_)
        with bar(console) as progress:
            judged = judge(p, see(p, device, progress), progress)
        found = suspects(p, judged)
        rows = [
            {
                "path": p.items.get(s.id).path,
                "label": p.classes[s.label],
                "suggested": p.classes[s.suggested],
                "fits": round(s.fits, 4),
                "probably_wrong": s.likely,
            }
            for s in found
        ]
        if json_:
            print_json(rows)
            return
        likely = sum(s.likely for s in found)
        console.print(
            f"{counted(len(judged.doubted), 'label')} judged by the others, "
            f"[bold]{likely}[/] probably wrong"
        )
        if note := judged.sentence(p.classes):
            console.print(f"[yellow]{_plain(note)}[/]")
        from rich.table import Table

        table = Table("image", "label", "the others say", "fits", "")
        for row in rows[:most]:
            mark = "probably wrong" if row["probably_wrong"] else ""
            table.add_row(
                _plain(row["path"]), _plain(row["label"]), _plain(row["suggested"]),
                f"{100 * float(str(row['fits'])):.0f} %", mark,
            )  # fmt: skip
        console.print(table)
        if len(rows) > most:
            console.print(f"and {len(rows) - most} more: `labelgap errors --most {len(rows)}`")
        console.print("look at them: `labelgap label`, then Review, Label errors")
