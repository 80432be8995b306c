"""What a person sees and answers in Label Studio, and what it means here."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from labelgap.core.errors import LabelgapError
from labelgap.core.types import NONE_OF_THESE
from labelgap.project.keep.settings import NONE_LABEL
from labelgap.project.label_studio.client import LabelStudioError

UNSURE, BAD_IMAGE = "(unsure)", "(bad image)"
_KEYS = "1234567890"
_FILTER_FROM = 13
"""From so many choices on there is a box to type into; fewer are seen at a glance."""


FORMER = 'hint="of before: choose another"'
"""Marks the choices that stay only since annotations have them."""


class Unclear(LabelgapError):
    """An annotation that names no single class of the project."""


class NoClass(Unclear):
    """It names one thing, which is no class. `choice`: what it names."""

    def __init__(self, choice: str) -> None:
        self.choice = choice
        super().__init__(f"{choice!r} is no class of the project")


@dataclass(frozen=True)
class Control:
    """The question of a labelling interface: its Choices, its image, the key of the image."""

    name: str
    to_name: str
    key: str


def answers(classes: Sequence[str]) -> dict[str, int | str]:
    """Choice -> label, or the reason of a skip; a class of the same name comes first."""
    special: dict[str, int | str] = {
        NONE_LABEL: NONE_OF_THESE,
        UNSURE: "unsure",
        BAD_IMAGE: "bad image",
    }
    return {name: k for k, name in enumerate(classes)} | {
        name: value for name, value in special.items() if name not in classes
    }


def interface(classes: Sequence[str], former: Sequence[str] = ()) -> str:
    """The XML of the labelling interface: one image, one choice, why it was asked for.

    former: names of classes of before, which annotations have: the last choices.
    """
    choices = list(answers(classes))
    lines = ["<View>", '  <Text name="why" value="$labelgap_why"/>']
    if len(choices) >= _FILTER_FROM:
        lines.append('  <Filter name="filter" toName="label" placeholder="type a class"/>')
    lines.append(
        '  <Choices name="label" toName="image" choice="single-radio" required="true" '
        'showInline="true">'
    )
    for place, name in enumerate(choices):
        key = f' hotkey="{_KEYS[place]}"' if place < min(len(classes), len(_KEYS)) else ""
        lines.append(f"    <Choice value={quoteattr(name)}{key}/>")
    lines += [f"    <Choice value={quoteattr(name)} {FORMER}/>" for name in former]
    lines += ["  </Choices>", '  <Image name="image" value="$image" zoom="true"/>', "</View>"]
    return "\n".join(lines)


def control_of(parsed: Mapping[str, Any], classes: Sequence[str], where: str) -> Control:
    """The question of an interface that is there already, by the server's own parsing of it.

    Raises `LabelStudioError` where it has no Choices on an Image with all classes.
    """
    missing: list[str] = []
    for name, tag in parsed.items():
        inputs = [i for i in tag.get("inputs", ()) if i.get("type") == "Image"]
        if tag.get("type") != "Choices" or not inputs or not tag.get("to_name"):
            continue
        offered = {_plain(text) for text in tag.get("labels", ())}
        missing = [c for c in classes if _plain(c) not in offered]
        if not missing:
            return Control(name, tag["to_name"][0], inputs[0]["value"].lstrip("$"))
    if missing:
        raise LabelStudioError(
            f"The labelling interface of {where} does not offer {', '.join(missing[:8])}.",
            "Add these choices in its settings.",
        )
    raise LabelStudioError(
        f"The labelling interface of {where} has no <Choices> on an <Image>.",
        "Use a project that classifies images, or let this command make one.",
    )


def prediction(control: Control, label: str, version: str, score: float | None) -> dict[str, Any]:
    """A prediction of one class, as Label Studio stores it."""
    result = {
        "from_name": control.name,
        "to_name": control.to_name,
        "type": "choices",
        "value": {"choices": [label]},
    }
    made: dict[str, Any] = {"model_version": version, "result": [result]}
    if score is not None:
        made["score"] = score
    return made


def answer_of(result: Any, control: Control, classes: Sequence[str]) -> int | str:
    """The label, or the reason of a skip, that an annotation's result says.

    Label Studio stores any text as a choice and any number of them, so everything is checked.
    Raises `Unclear`, and its kind `NoClass` for one choice that is none of these.
    """
    if not isinstance(result, list):
        raise Unclear("it has no result")
    chosen: list[str] = []
    for part in result:
        if not isinstance(part, dict) or part.get("type") != "choices":
            continue
        if part.get("from_name") != control.name:
            continue
        value = part.get("value")
        said = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(said, list) or not all(isinstance(text, str) for text in said):
            raise Unclear("its choice is not a text")
        chosen += said
    if not chosen:
        raise Unclear("nothing is chosen")
    if len(set(chosen)) > 1:
        raise Unclear(f"{len(set(chosen))} choices: {', '.join(map(repr, chosen[:4]))}")
    for name, value in answers(classes).items():
        if _plain(name) == _plain(chosen[0]):
            return value
    raise NoClass(chosen[0])


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
