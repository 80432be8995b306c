"""What the commands of a labelling project say."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelgap.core.wording import STAGES, counted, plain

if TYPE_CHECKING:
    from labelgap.core.types import Progress
    from labelgap.project.exchange.begin import Begun
    from labelgap.project.exchange.elsewhere import Applied
    from labelgap.project.exchange.exchange import Imported
    from labelgap.project.exchange.splits import Written
    from labelgap.project.images.ingest import Report
    from labelgap.project.images.sources import Places
    from labelgap.project.keep.found_copies import Copy
    from labelgap.project.keep.restore import Restored
    from labelgap.project.keep.store import Project
    from labelgap.project.quality.status import Status

SHOWN = 8


def answered_meanwhile(number: int) -> str:
    """That a query left out what people answered while it was made."""
    said = f"{counted(number, 'image')} fewer: answered while the network trained and chose"
    return f"[yellow]{said}[/]"


def tell_begun(console: Any, begun: "Begun", verbose: bool) -> None:
    """What a project has, what was left out, and the network it works with."""
    p = begun.project
    shown = ", ".join(p.classes[:12]) + (", …" if len(p.classes) > 12 else "")
    console.print(
        f"[bold]{counted(p.items.count(), 'image')}[/], "
        f"{counted(len(p.classes), 'class', 'classes')} ({plain(shown)}), kept at "
        f"{p.settings.image_size} × {p.settings.image_size} pixels"
    )
    if len(p.classes) == 1:
        console.print(
            "[yellow]one class alone can be labelled, not trained:[/] separate names by "
            "commas, --classes cat,dog; a class for the rest can be one"
        )
    tell_places(console, begun.places, verbose)
    tell_report(console, p, begun.report)
    tell_import(console, begun.labels)
    tell_network(console, p)
    tell_held_out(console, begun.held_out)


def tell_network(console: Any, p: "Project") -> None:
    """What the project works with, and what that costs, in one line."""
    from labelgap.project.keep.network import cost_of, network_of

    words = f"{network_of(p.settings)}; {cost_of(p.settings, p.items.count())}"
    console.print(f"network: {plain(words)}")


def tell_places(console: Any, places: "Places", all_of_them: bool) -> None:
    """How the images were found, and what lies beside them and is not read."""
    from labelgap.data.left_out import summary

    for line in (*places.notes, *summary(places.left_out, all_of_them)):
        console.print(f"[yellow]{plain(line)}[/]" if line[0] != " " else plain(line))


def tell_report(console: Any, p: "Project", report: "Report") -> None:
    """What became of the files."""
    for line in p.pixels.scales.told():
        console.print(plain(line))
    if report.dark:
        console.print(
            f"[yellow]{counted(len(report.dark), 'image is', 'images are')} black or nearly, as "
            f"people and the network see them[/], e.g. {plain(report.dark[0])}: look at one; "
            "where its pixels are 16-bit or float, begin anew with `--scaling own`"
        )
    if report.duplicates:
        first = report.duplicates[0]
        console.print(
            f"{counted(len(report.duplicates), 'file')} left out: the same image as another file, "
            f"which is asked once, e.g. {plain(first[0])} = {plain(first[1])}"
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
    tell_unreadable(console, report.quarantined, ": labelgap status --quarantine")


def quarantine_of(reasons: Mapping[str, int]) -> list[str]:
    """All files that could not be used, in one part of a sentence; [] without any."""
    if not reasons:
        return []
    files = sum(reasons.values())
    if len(reasons) == 1:
        return [f"{counted(files, 'file')} quarantined ({next(iter(reasons))})"]
    most = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    kinds = ", ".join(f"{k} {reason}" for reason, k in most)
    return [f"{counted(files, 'file')} quarantined ({kinds}; `labelgap status --quarantine`)"]


def tell_import(console: Any, report: "Imported", all_of_them: bool = False) -> None:
    """What became of labels. all_of_them: list every row that was left out."""
    for note in report.notes:
        console.print(f"[yellow]{plain(note)}[/]")
    if report.stored or report.same:
        same = f", {report.same} were there already" if report.same else ""
        console.print(f"{counted(report.stored, 'label')} stored{same}")
    if report.held_out:
        console.print(f"{counted(report.held_out, 'image')} held out, as the file says")
    if report.taken_back:
        was = "was" if report.taken_back == 1 else "were"
        console.print(
            f"{counted(report.taken_back, 'label')} that {was} taken back (`labelgap undo`) left so"
        )
    if report.unmatched:
        console.print(
            f"[yellow]{counted(len(report.unmatched), 'label')} without an image or class of this "
            f"project[/]{_named(report.unmatched, all_of_them)}"
        )
    if report.unclear:
        console.print(
            f"[yellow]left out for naming several images: {counted(len(report.unclear), 'row')}"
            f"[/]{_named(report.unclear, all_of_them)}"
        )
    if report.ambiguous:
        console.print(
            f"[yellow]left out for having two labels: {counted(len(report.ambiguous), 'image')}"
            f"[/]{_named(report.ambiguous, all_of_them)}"
        )
    shown = len(report.differing) if all_of_them else SHOWN
    for path, before, now in report.differing[:shown]:
        console.print(f"[yellow]differs:[/] {plain(path)} was {plain(before)}, now {plain(now)}")
    if len(report.differing) > shown:
        console.print(f"  … {len(report.differing)} in all: labelgap status --conflicts")


def _named(rows: Sequence[str], all_of_them: bool) -> str:
    if all_of_them:
        return ":" + "".join(f"\n  {plain(row)}" for row in rows)
    return f", e.g. {plain(rows[0])}"


def tell_gone(console: Any, what: str, number: int) -> None:
    """What a table by paths leaves out."""
    if number:
        left_out = "is not in it" if number == 1 else "are not in it"
        console.print(
            f"[yellow]{counted(number, what)} of contents that are gone {left_out}[/]; the ledger "
            "keeps " + ("it" if number == 1 else "them")
        )


def tell_copies(console: Any, root: Path, copies: "Sequence[Copy]") -> None:
    """Every copy of the labels: when its last event was, how many labels, where it is."""
    if not copies:
        console.print(f"no snapshot and no backup in {plain(root)} or beside it")
    for copy in copies:
        where = copy.path.relative_to(root) if copy.path.is_relative_to(root) else copy.path
        what = f"{counted(len(copy.labels), 'label')}, {counted(copy.events, 'event')}"
        if not copy.sound:
            what = f"[red]not whole:[/] {plain(copy.problem)}"
        when = copy.time[:19].replace("T", " ")
        console.print(f"  {when} UTC  {copy.kind:10}  {plain(where)}  {what}")


def tell_split(console: Any, written: "Written", out: Path) -> None:
    """An export for training elsewhere: how many on each side, and what a person must know."""
    sides = f"{counted(written.train, 'image')} to train on, {written.val} to measure with"
    console.print(f"{sides} → {plain(out)}")
    if written.none_of_these:
        console.print(
            f"without {counted(written.none_of_these, 'image')} that "
            f"{'is' if written.none_of_these == 1 else 'are'} none of the classes"
        )
    if written.converted:
        console.print(
            f"{counted(written.converted, 'image')} of kinds that training programs do not open "
            "(HEIC, AVIF, GIF, PPM) written as JPEG or PNG"
        )
    for name, folder in written.renamed.items():
        console.print(f"the folder of {plain(name)} is named {plain(folder)}")
    for part, names in written.without.items():
        if names:
            console.print(f"[yellow]no image in {part} of:[/] {plain(', '.join(names))}")


def tell_elsewhere(console: Any, done: "Applied", out: Path) -> None:
    """Predictions of a folder that is no project."""
    from labelgap.data.left_out import summary

    console.print(f"{counted(done.number, 'prediction')} → {plain(out)}")
    tell_unreadable(console, done.unreadable, "")
    for line in summary(done.beside):
        console.print(f"[yellow]{plain(line)}[/]")


def tell_unreadable(console: Any, files: Sequence[tuple[str, str, str]], more: str) -> None:
    """Files that are no images, with the reason. more: where all of them are listed."""
    if not files:
        return
    console.print(f"[yellow]quarantined: {counted(len(files), 'file')} that cannot be used[/]")
    for path, reason, detail in files[:SHOWN]:
        details = f" ({detail})" if detail else ""
        console.print(f"  {plain(path)}: {reason}{plain(details)}")
    if len(files) > SHOWN:
        console.print(f"  … {len(files)} in all{more}")


def tell_restored(console: Any, restored: "Restored") -> None:
    what, labels = plain(restored.snapshot), counted(restored.labels, "label")
    if not restored.parts:
        console.print(f"{what} was restored already, with {labels}: nothing to do")
        return
    console.print(f"{what} is the ledger now, with {labels}")
    if restored.aside:
        console.print(f"what was there is in {plain(restored.aside)}, with all that came later")
    if restored.left_out:
        console.print(
            f"[yellow]left out: {counted(restored.left_out, 'label')} of a newer copy[/]; "
            "`labelgap restore --list` shows where they are"
        )
    if restored.dropped:
        names = plain(", ".join(restored.dropped))
        console.print(f"[yellow]without the classes that the copy does not have:[/] {names}")


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
        more = f"; {late}, left out" if s.learned else ""
        said = f"accuracy [bold]{s.accuracy.sentence}[/] (held-out labels, never trained on{more})"
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
    trained, columns = last_training(ledger), list(ledger.meaning().own)
    if p.waiting():
        return "labelgap label"
    fresh = (trained.get("labels"), trained.get("columns")) == (labels, columns)
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
