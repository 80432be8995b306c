"""`labelgap init`: classes, settings, items, and the labels that came along."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelgap.core.errors import ConfigError, DataError, FolderError, UnknownName
from labelgap.core.names import check_method
from labelgap.data.labels import SHOWN, listed
from labelgap.data.left_out import summary
from labelgap.data.scales import RULES
from labelgap.networks.packaged import DEFAULT_BACKBONE
from labelgap.networks.weights_file import packaged_content
from labelgap.project.exchange.exchange import Imported, hold_out, store_labels
from labelgap.project.images import sources
from labelgap.project.images.found import SUFFIXES, Found, Kind, Unreadable, kind_of
from labelgap.project.images.ingest import Report
from labelgap.project.images.look import size_of
from labelgap.project.images.readers import Reader
from labelgap.project.keep.network import check_choice, chosen
from labelgap.project.keep.settings import (
    DEFAULT_METHOD,
    HOME,
    ITEMS,
    SETTINGS,
    ProjectSettings,
    check_classes,
    manifest_in,
    read_settings,
)
from labelgap.project.keep.store import Project, is_project, need_ledger

SMALL = 64
"""Images that all have one square size up to this keep it; others are packed at 128 pixels, what
frozen backbones work on."""
_PEEKED = 32
_TRAINING = ("train", "training")
_SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev"})


@dataclass(frozen=True)
class Begun:
    """What `init` found."""

    project: Project
    places: sources.Places
    report: Report
    labels: Imported
    held_out: int


def begin(
    root: Path,
    *,
    classes: Sequence[str] | None = None,
    manifest: Path | None = None,
    folder_labels: bool | None = None,
    image_size: int | None = None,
    meanwhile: Callable[[], object] | None = None,
    **settings: Any,
) -> Begun:
    """Make the project of a folder, or continue one whose `init` was interrupted.

    Parameters
    ----------
    classes: names; None takes those of the labels that come along: sub-folders', a manifest's,
        a table's.
    folder_labels: whether an image in a sub-folder is labelled by its name; None: only where the
        classes come from there.
    image_size: side of the packed square; None: see `SMALL`.
    meanwhile: begins what can go on while images are read (`load_meanwhile`); called where the
        project is made and has a frozen network.
    settings: other fields of `ProjectSettings`; `network` and `weights` as `chosen` takes them
        where they are left out.

    Raises
    ------
    FolderError, DataError, ConfigError, UnknownName: nothing is made then. FolderError too where
        the folder has a project and an argument contradicts it; None contradicts nothing.
    """
    if not root.is_dir():
        raise FolderError(f"{root} is not a folder.", "Give the folder that has the images.")
    _check_settings(settings)
    asked_for = settings.keys()
    settings = {"scaling": "auto", **settings}
    listed = manifest_in(root, manifest) if manifest else None
    kind: Kind = "manifest" if listed else kind_of(root)
    places = sources.look(root, kind, root / listed if listed else None)
    found = places.found
    if not found:
        beside = "".join(f" {line[0].upper()}{line[1:]}." for line in summary(places.left_out))
        if listed:
            raise DataError(f"{root / listed} has no rows.", "List the images in it.")
        raise DataError(
            f"{root} has no images ({', '.join(sorted(s[1:] for s in SUFFIXES))}).{beside}",
            "Put images into it, or give another folder.",
        )
    by_folder = kind == "folder"
    use_labels = True if not by_folder else folder_labels
    if use_labels is None:
        use_labels = classes is None
    if classes is None and by_folder:
        _refuse_splits(root, sources.classes_of(found))
    names = check_classes(classes if classes is not None else sources.classes_of(found))
    if use_labels:
        _refuse_unknown(found, names)
    size = image_size or peek_size(root, found)
    made = ProjectSettings(
        classes=names,
        image_size=size,
        source=kind,
        manifest=listed,
        folder_labels=by_folder and use_labels,
        # A project that is there keeps its own network.
        **(settings if (root / HOME / SETTINGS).is_file() else {**settings, **chosen(settings)}),
    )
    if made.weights and made.weights != packaged_content(made.network or DEFAULT_BACKBONE):
        # Found out now, and not by the first question.
        from labelgap.networks.timm import load_backbone
        from labelgap.project.asking.work import configuration

        load_backbone(configuration(made, root.name).network)
    asked = {"manifest": manifest, "folder_labels": folder_labels, "image_size": image_size}
    given = asked_for | {key for key, value in asked.items() if value is not None}
    project = Project.create(root, made, given)
    try:
        if (project.settings.source, project.settings.manifest) != (kind, listed):
            places = project.look()  # a project that is there goes on with its own images
            found = places.found
        if meanwhile is not None and project.settings.weights:
            meanwhile()
        report = project.add(found)
        labels = keep_labels(project, found)
        held_out = hold_out_share(project, labels)
    except BaseException:
        project.close()
        raise
    return Begun(project, places, report, labels, held_out)


def begin_or_go_on(
    root: Path,
    *,
    classes: Sequence[str] | None = None,
    meanwhile: Callable[[], object] | None = None,
    **settings: Any,
) -> Begun:
    """The project of a folder: begun as by `begin`, or the one that is there, with what is new in
    the folder taken in.

    Raises as `begin`; FolderError too where the folder has a project that lost its labels.
    """
    if classes is None and is_project(root):
        classes = read_settings(root / HOME / SETTINGS).classes
    if (root / HOME / ITEMS).exists():
        need_ledger(root)
    return begin(root, classes=classes, meanwhile=meanwhile, **settings)


def _refuse_unknown(found: Sequence[Found], names: Sequence[str]) -> None:
    """Raises `UnknownName` with the places of all labels that are no class."""
    bad = [p for p in found if p.label is not None and p.label not in names]
    if bad:
        some = [f"{place.path} ({place.label!r})" for place in bad[:SHOWN]]
        raise UnknownName("class", str(bad[0].label), names, listed(some, len(bad)))


def _refuse_splits(root: Path, names: Sequence[str]) -> None:
    """Raises `ConfigError` where all sub-folders are the parts of a data set, and no classes."""
    if names and all(name.lower() in _SPLITS for name in names):
        one = next((name for name in names if name.lower() in _TRAINING), None)
        command = "`labelgap init FOLDER`"
        if one is not None:
            command = f"`labelgap init {shlex.quote(str(root / one))}`"
        raise ConfigError(
            f"The sub-folders {', '.join(names)} of {root} are named as the splits of a data set, "
            "not as classes.",
            f"Give the folder whose images are to be labelled ({command}), or name the classes: "
            "--classes a,b,c.",
        )


def _check_settings(settings: Mapping[str, Any]) -> None:
    """A misspelt name or setting must not be found after an hour of decoding, or of labelling.

    Raises `UnknownName`, `ConfigError`. Names come first, since the rest imports torch.
    """
    config, method = settings.get("config") or {}, settings.get("method", DEFAULT_METHOD)
    check_method(method)
    if (rule := settings.get("scaling", "auto")) not in RULES:
        raise UnknownName("rule", str(rule), RULES, "--scaling")
    check_choice(settings)
    if config:
        from labelgap.session.presets import resolve

        resolve({"method": method, **config}, preset="cpu", where="init")


def hold_out_share(project: Project, labels: Imported) -> int:
    """Where every image came with a label, the reserve measures accuracy: it is a uniform sample
    of them all, and nothing is left that could be asked. Returns how many are held out by it;
    none where a manifest says which are.

    labels: what `keep_labels` found; labels of elsewhere are no part of the sample.
    """
    every = len(project.ledger.labels) == project.items.count()
    if not (labels.items and every) or labels.measures:
        return 0
    from labelgap.project.asking.reserve import hold_out_imported

    return hold_out_imported(project, labels.items)


def keep_labels(project: Project, found: list[Found]) -> Imported:
    """Store the labels that came with the images, by the person "folder", "manifest", "tables".

    Copies of one image in two classes' folders contradict each other: such labels are left out
    and told, and so are names that are no class. Folders that name no classes give no labels.
    What a manifest holds out is held out first, and for ever, as `import_file` does it.
    """
    report = Imported()
    kind = project.settings.source
    if kind == "folder" and not project.settings.folder_labels:
        return report
    paths = project.items.paths()
    answers: dict[int, tuple[int, str]] = {}
    torn: set[int] = set()
    for place in found:
        if place.label is None or place.path not in paths:
            continue
        if place.label not in project.classes:
            report.unmatched.append(f"{place.path} ({place.label})")
            continue
        item, label = paths[place.path], project.classes.index(place.label)
        if item in answers and answers[item][0] != label:
            torn.add(item)
            report.ambiguous.append(place.path)
        answers.setdefault(item, (label, place.path))
        if place.held_out:
            report.measures.add(item)
    kept = {i: a for i, a in answers.items() if i not in torn}
    report.held_out = hold_out(project.ledger, report.measures & kept.keys())
    store_labels(project.ledger, kept, kind, project.classes, report)
    return report


def peek_size(root: Path, found: list[Found]) -> int:
    """The common side of small square images, else 128."""
    reader = Reader(root)
    sizes = set()
    step = max(1, len(found) // _PEEKED)
    for place in found[::step][:_PEEKED]:
        if place.refused:
            continue
        with suppress(Unreadable):
            if (size := size_of(reader.read(place.path))) is not None:
                sizes.add(size)
    if len(sizes) == 1:
        width, height = sizes.pop()
        if width == height and 4 <= width <= SMALL:
            return width
    return 128
