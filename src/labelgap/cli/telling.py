"""What the commands of a labelling project say."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelgap.core.wording import STAGES, counted, plain

if TYPE_CHECKING:
    from labelgap.core.types import Progress
    from labelgap.project.exchange.exchange import Imported
    from labelgap.project.images.ingest import Report
    from labelgap.project.images.sources import Places
    from labelgap.project.keep.restore import Restored
    from labelgap.project.keep.store import Project
    from labelgap.project.quality.status import Status

SHOWN = 8


def console() -> Any:
    """The terminal; in a pipe no line is broken. A file's :name: is no emoji."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, emoji=False)


def answered_meanwhile(number: int) -> str:
    """That a query left out what people answered while it was made."""
    said = f"{counted(number, 'image')} fewer: answered while the network trained and chose"
    return f"[yellow]{said}[/]"


def network_of(project: "Project") -> str:
    """Which network a project trains, in words."""
    from labelgap.project.keep.settings import DEFAULT_BACKBONE

    s = project.settings
    if s.weights:
        name = (s.network or DEFAULT_BACKBONE).removeprefix("timm:")
        return plain(f"an adapter on frozen {name} features ({Path(s.weights).name})")
    return plain(f"{s.network or 'a small ResNet'} from new weights")


def tell_places(console: Any, places: "Places", all_of_them: bool) -> None:
    """How the images were found, and what lies beside them and is not read."""
    from labelgap.data.left_out import summary

    for line in (*places.notes, *summary(places.left_out, all_of_them)):
        console.print(f"[yellow]{plain(line)}[/]" if line[0] != " " else plain(line))


def tell_report(console: Any, report: "Report") -> None:
    if report.duplicates:
        first = report.duplicates[0]
        console.print(
            f"{counted(len(report.duplicates), 'file')} with the contents of others, one image "
            f"with them: e.g. {plain(first[0])} = {plain(first[1])}"
        )
    if report.packed:
        console.print(f"{counted(report.packed, 'image')} packed that had no pixels")
    for old, new in report.moved[:SHOWN]:
        console.print(f"moved: {plain(old)} → {plain(new)}")
    if report.vanished:
        console.print(
            f"[yellow]{counted(len(report.vanished), 'file')} vanished[/] (labels are kept), "
            f"e.g. {plain(report.vanished[0])}"
        )
    if report.changed:
        console.print(
            f"[yellow]{counted(len(report.changed), 'file')} with other contents now[/] (the "
            f"labels of the old ones are kept), e.g. {plain(report.changed[0])}"
        )
    if report.quarantined:
        console.print(f"[yellow]quarantined: {counted(len(report.quarantined), 'file')}[/]")
        for path, reason, detail in report.quarantined[:SHOWN]:
            more = f" ({detail})" if detail else ""
            console.print(f"  {plain(path)}: {reason}{plain(more)}")
        if len(report.quarantined) > SHOWN:
            console.print("  … all of them: labelgap status --quarantine")


def tell_import(console: Any, report: "Imported") -> None:
    for note in report.notes:
        console.print(f"[yellow]{plain(note)}[/]")
    if report.stored or report.same:
        same = f", {report.same} were there already" if report.same else ""
        console.print(f"{counted(report.stored, 'label')} stored{same}")
    if report.taken_back:
        was = "was" if report.taken_back == 1 else "were"
        console.print(
            f"{counted(report.taken_back, 'label')} that {was} taken back (`labelgap undo`) left so"
        )
    if report.unmatched:
        console.print(
            f"[yellow]{counted(len(report.unmatched), 'label')} without an image or class of this "
            f"project[/], e.g. {plain(report.unmatched[0])}"
        )
    if report.unclear:
        console.print(
            f"[yellow]left out for naming several images: {counted(len(report.unclear), 'row')}"
            f"[/], e.g. {plain(report.unclear[0])}"
        )
    if report.ambiguous:
        console.print(
            f"[yellow]left out for having two labels: {counted(len(report.ambiguous), 'image')}"
            f"[/], e.g. {plain(report.ambiguous[0])}"
        )
    for path, before, now in report.differing[:SHOWN]:
        console.print(f"[yellow]differs:[/] {plain(path)} was {plain(before)}, now {plain(now)}")
    if len(report.differing) > SHOWN:
        console.print(f"  … {len(report.differing)} in all: labelgap status --conflicts")


def tell_gone(console: Any, what: str, number: int) -> None:
    """What a table by paths leaves out."""
    if number:
        left_out = "is not in it" if number == 1 else "are not in it"
        console.print(
            f"[yellow]{counted(number, what)} of contents that are gone {left_out}[/]; the ledger "
            "keeps " + ("it" if number == 1 else "them")
        )


def tell_restored(console: Any, restored: "Restored") -> None:
    console.print(
        f"{plain(restored.snapshot)} is the ledger now, with {counted(restored.labels, 'label')}"
    )
    if restored.aside:
        console.print(f"what was there is in {plain(restored.aside)}, with all that came later")
    if restored.dropped:
        names = plain(", ".join(restored.dropped))
        console.print(f"[yellow]without the classes that were added later:[/] {names}")


def tell_unpacked(console: Any, p: "Project") -> None:
    lost = len(p.items.unpacked())
    if lost:
        console.print(
            f"[yellow]left out: {counted(lost, 'image')} without pixels[/] (the file was gone when "
            "they were packed anew); put the files back and run `labelgap add`"
        )


def tell_held_out(console: Any, number: int) -> None:
    if number:
        console.print(
            f"every image has a label: {number} drawn at random are held out to measure accuracy"
        )


def tell_accuracy(console: Any, s: "Status") -> None:
    late = f"{counted(s.learned, 'label')} held out after the last training, which learned them"
    if s.accuracy.total:
        more = f" ({late}, left out)" if s.learned else ""
        said = f"accuracy [bold]{s.accuracy}[/], estimated on labels never trained on{more}"
    elif s.learned:
        said = f"accuracy not known: {late}; `labelgap train` measures it"
    else:
        said = "accuracy not known: no label is held out yet (`labelgap ask` sees to it)"
    console.print(said)
    if unanswered := s.nonresponse.sentence(s.accuracy):
        console.print(f"[yellow]{unanswered}[/]")


def tell_conflicts(console: Any, p: "Project") -> None:
    from labelgap.project.exchange.exchange import name_of

    for id, events in p.ledger.conflicts().items():
        said = [
            f"{e.person or '?'}: "
            f"{name_of(e.label, p.classes) if e.label is not None else e.data['reason']}"
            for e in events
        ]
        console.print(f"{plain(p.items.get(id).path)}  {plain('; '.join(said))}")


def tell_regions(console: Any, p: "Project", regions: list[dict[str, Any]]) -> None:
    if not regions:
        return
    size, share = (sum(r[key] for r in regions) for key in ("size", "share"))
    console.print(
        f"{counted(size, 'unlabelled image')} ({100 * share:.0f} %) of kinds that the labels of "
        "the last training do not cover:"
    )
    for region in regions[:SHOWN]:
        names = ", ".join(f"{p.classes[k]} ({count})" for k, count in region["predicted"])
        paths = ", ".join(p.items.get(i).path for i in region["examples"][:3])
        console.print(
            f"  {counted(region['size'], 'image')}, {region['labelled'] or 'none'} labelled among "
            f"them, predicted {plain(names)}: {plain(paths)}"
        )
    if len(regions) > SHOWN:
        console.print(f"  … {len(regions)} such groups in all")


def next_step(p: "Project", option: Path | None) -> str:
    """The command that is next. option: --project as it was given."""
    where = f" --project {shlex.quote(str(option))}" if option is not None else ""
    return f"next: [bold]{_next(p)}{plain(where)}[/]"


def _next(p: "Project") -> str:
    """A command that will not be refused."""
    from labelgap.project.quality.quality import last_training

    ledger = p.ledger
    answered = ledger.labels.keys() | ledger.skipped.keys()
    labels = len(ledger.labelled_ids("train"))
    trained = last_training(ledger)
    if p.waiting():
        return "labelgap label"
    fresh = (trained.get("labels"), trained.get("classes")) == (labels, len(p.classes))
    if labels and len(p.classes) > 1 and not fresh:
        return "labelgap train"
    unpacked = p.items.unpacked()
    free = (i for i in p.items.all() if i.present and i.id not in unpacked)
    if any(item.id not in answered for item in free):
        return "labelgap ask 50"
    if trained:
        return "labelgap predict"
    return "labelgap export" if answered else "labelgap add"


@contextmanager
def bar(screen: Any) -> "Iterator[Progress | None]":
    """A bar for what goes on, with its rate and the time left; none in a pipe."""
    from labelgap.data.progress import bars

    if not screen.is_terminal:
        yield None
        return
    with bars(screen) as shown:
        stages: dict[str, Any] = {}

        def progress(stage: str, step: int, steps: int) -> None:
            # A task a stage: the rate of one says nothing of the next.
            for other, task in stages.items():
                shown.update(task, visible=other == stage)
            if stage not in stages:
                stages[stage] = shown.add_task(STAGES.get(stage, stage), total=steps)
            shown.update(stages[stage], completed=step, total=steps)

        yield progress
