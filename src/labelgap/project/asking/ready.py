"""What must be there before anything is computed; no torch, so a refusal is quick."""

from labelgap.core.errors import BudgetError, LabelgapError
from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import TRAINED, last_training


def need_images(project: Project) -> None:
    """Raises `BudgetError` for a project without a usable image."""
    if not project.items.count():
        raise BudgetError(
            f"{project.root} has no usable image.",
            "Put images into it and run `labelgap add`; `labelgap status` tells what was "
            "quarantined.",
        )


def need_labels(project: Project) -> None:
    """What training needs.

    Raises `BudgetError` without a label to train on, `LabelgapError` for one class only.
    """
    if len(project.classes) < 2:
        raise LabelgapError(
            "With one class there is nothing to tell apart, so nothing to train.",
            "Export the labels; or add a class: `labelgap classes --add NAME`.",
        )
    if not len(project.ledger.labelled_ids("train")):
        held_out = len(project.ledger.labelled_ids("held-out"))
        why = f"all {held_out} labels are held out" if held_out else "no image has a label"
        raise BudgetError(
            f"There is nothing to train on: {why}.",
            "Label images: `labelgap ask 50`, then `labelgap label`.",
        )


def need_training(project: Project) -> None:
    """Raises `LabelgapError` where nothing was ever trained, or its weights are gone."""
    if project.last_note(TRAINED) is None:
        raise untrained()
    if not any(project.home.glob("weights-*.safetensors")):
        raise LabelgapError(
            "The weights of the last training are gone.", "Run `labelgap train` first."
        )


def unusable(project: Project) -> LabelgapError:
    """Why the last trained network is not used: there is none, or it has other classes than the
    project has now, or was of other settings."""
    last, names = last_training(project.ledger), project.classes
    if not last:
        return untrained()
    knew = last["names"] or ()
    if last["columns"] == list(project.ledger.meaning().own):
        cause = "The last training was of other settings, or its weights are gone."
    elif last["classes"] != len(names):
        cause = f"The last training knew {last['classes']} classes; now there are {len(names)}."
    else:
        cause = f"The last training knew other classes: {', '.join(knew)}; now: {', '.join(names)}."
    return LabelgapError(cause, "Run `labelgap train` first.")


def untrained() -> LabelgapError:
    return LabelgapError("There is no trained network yet.", "Run `labelgap train` first.")
