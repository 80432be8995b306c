"""Every setting: its default, where the default comes from, and what speaks for it.

A run's configuration is a tree of frozen pydantic models. `objective` and `acquisition` hold the
options of the chosen pair, whose models live beside their code in `methods/`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from labelgap.core.errors import ConfigError, UnknownName
from labelgap.core.names import check_method_pair, pairs

S = TypeVar("S", bound="Settings")
_NEAR = 0.7  # likeness of two words, of 1, from which one may be meant for the other


JsonExtra = dict[str, Any]


TUNING = "digits, training images outside the pool, 10 trials × 3 seeds (benchmarks/tuning)"
"""What the evidence of most tuned values begins with."""


def setting(
    default: Any,
    description: str,
    *,
    source: str = "",
    evidence: str = "",
    search: tuple[Any, ...] | None = None,
    paper: tuple[float, str] | None = None,
    **constraints: Any,
) -> Any:
    """A documented configuration key.

    Parameters
    ----------
    source: where the default comes from (paper section, equation, code base, or "ours").
    evidence: what was measured for it, with the command; empty where nothing was.
    search: the range `labelgap tune` draws from: (low, high, "log"|"linear") or a list of choices.
    paper: (the paper's own value, why the preset `paper` keeps another one).
    """
    extra: JsonExtra = {"source": source, "evidence": evidence, "search": search, "paper": paper}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


TABLES = ("mixture", "critic")
"""Tables of a run that both axes of a method read: options that have one are set in it, once."""


class Settings(BaseModel):
    """Base of all option models.

    `presets` names defaults that a preset replaces; `moved` what keys of before are called now.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, validate_default=True
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    moved: ClassVar[Mapping[str, str]] = {}


class NetworkSettings(Settings):
    """The network: `resnet`, `mlp`, `timm:NAME`, or `embedding` (frozen)."""

    name: str = setting(
        "auto",
        "resnet | mlp | timm:NAME | embedding (frozen: the features that TypiClust and ProbCover "
        "choose by); auto = resnet for images, else mlp",
    )
    width: int = setting(
        64, "channels of the first stage (they double at each)", source="paper §3: ResNet-18", ge=1
    )
    blocks: tuple[int, ...] = setting(
        (2, 2, 2, 2), "residual blocks in each stage", source="paper §3: ResNet-18"
    )
    stem_stride: int = setting(
        1, "stride of the 3×3 stem", source="CIFAR ResNet-18 of the paper's authors", ge=1, le=4
    )
    hidden: tuple[int, ...] = setting((256, 128), "hidden layers of the MLP", source="ours")
    dropout: float = setting(0.0, "dropout probability after each block", ge=0.0, lt=1.0)
    freeze: bool = setting(False, "features of a frozen backbone, computed once, and an adapter")
    weights: str | None = setting(
        None,
        "file with timm weights (kept as the sha256 of its content), or hub; None: if frozen those "
        "that came with the installation (Lite0), else the hub's; not frozen: new weights",
    )
    input_size: int | None = setting(
        None,
        "side that a timm network's images are resized to from what data.image_size packed (a "
        "smaller data.image_size loses detail for good); None: the network's own where that is "
        "fixed, else 128 if frozen, else the images'",
        source="ours",
        evidence="frozen EfficientNet-Lite0, linear probe on CIFAR-10 (2,000 training images, "
        "2,000 others to test) at 64, 96, 128, 160, 224: 0.684, 0.787, 0.840, 0.860, 0.875 for "
        "times of 0.3, 0.5, 1, 1.5, 3.3",
        ge=16,
    )
    adapter: int = setting(
        256,
        "width of the adapter on frozen features; 0: one linear layer on them and nothing else",
        source="ours",
        ge=0,
    )
    engine: Literal["torch", "openvino", "auto"] = setting(
        "torch",
        "what computes a frozen backbone's features; auto = openvino on a CPU, else torch",
        source="ours",
        evidence="benchmarks/engines/engines.md",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, whole: Callable[[Any], Any]) -> dict[str, Any]:
        """Without the engine where it is torch: configurations of before it was a choice stay
        equal to those of today, and so do their hashes."""
        tree: dict[str, Any] = whole(self)
        return {k: v for k, v in tree.items() if (k, v) != ("engine", "torch")}


class TrainingSettings(Settings):
    """The supervised stage, the same for every method."""

    steps: int | None = setting(None, "steps a round; excludes epochs", ge=1)
    epochs: float | None = setting(None, "epochs a round over the labelled set", gt=0)
    batch_size: int = setting(100, "labelled images a step", source="paper §3", ge=2)
    optimiser: Literal["sgd", "adam"] = setting("sgd", "optimiser of the network")
    lr: float = setting(
        0.1,
        "learning rate",
        source="paper §3",
        evidence="cpu preset, Fashion-MNIST, 5,000 training images held out, random, 100 to 300 "
        "labels: AUBC of seed 0 is 0.702, 0.722, 0.745, 0.735 with 0.02, 0.05, 0.1, 0.2; of seed 1 "
        "0.717, 0.721 with 0.1, 0.2",
        gt=0,
        search=(0.01, 0.3, "log"),
    )
    momentum: float = setting(0.9, "momentum of SGD", source="paper §3", ge=0, lt=1)
    nesterov: bool = setting(False, "Nesterov's momentum", source="paper's code base: no")
    weight_decay: float = setting(
        5e-4, "weight decay", source="the paper's authors' code", ge=0, search=(1e-5, 1e-2, "log")
    )
    schedule: Literal["step", "cosine", "constant"] = setting(
        "step", "learning-rate schedule", source="the paper's authors' code: step"
    )
    milestones: tuple[float, ...] = setting(
        (0.8,), "fractions of the stage at which lr drops tenfold", source="epoch 160 of 200"
    )
    warmup: float = setting(0.0, "fraction of the stage over which lr rises", ge=0, lt=1)
    enough: float = setting(
        0.0,
        "in its second half the stage ends once the mean loss of 20 steps is below this; 0: never",
        source="ours, for projects on frozen features (benchmarks/photos/early_stop.md)",
        ge=0,
    )
    augment: bool = setting(True, "crop and flip as the data set allows")
    start: Literal["scratch", "continue"] = setting(
        "scratch", "new weights each round, or the last round's", source="paper's code: scratch"
    )


class LoopSettings(Settings):
    """How many labels, when."""

    initial: int = setting(1000, "labels of the initial set", source="paper §3", ge=1)
    initial_per_class: int | None = setting(
        None, "a balanced initial set instead: images of each class", ge=1
    )
    budget: int = setting(1000, "labels a round", source="paper §3", ge=1)
    rounds: int = setting(9, "queries after the initial set", source="paper §3", ge=0)
    pool_subset: int | None = setting(
        None, "candidates a round: the first M unlabelled of a permutation; None: all", ge=1
    )


class DataSettings(Settings):
    """The data set and what is simulated on it."""

    name: str = setting("digits", "a built-in data set or a folder")
    image_size: int | None = setting(
        None,
        "side that images are packed at, for every network; a frozen one resizes what is packed "
        "to network.input_size",
        ge=4,
    )
    imbalance: float = setting(
        1.0, "alternate classes keep 1/R of their training images", source="paper §3: 10", ge=1
    )
    open_set: float = setting(0.0, "share of classes that are outside the task", ge=0, lt=1)
    label_noise: float = setting(0.0, "share of oracle answers that are wrong", ge=0, lt=1)
    redundancy: int = setting(0, "near-duplicates added of each training image", ge=0)


class RunConfig(Settings):
    """Everything that decides a run's result."""

    preset: str = setting("smoke", "the preset the other values started from")
    method: str | None = setting("daal", "a registered pair; None for a free one")
    method_sha256: str | None = setting(None, "content of the file of a user's own method")
    objective_name: str = setting("daal", "what is optimised")
    acquisition_name: str = setting("daal", "how items are chosen")
    objective: dict[str, Any] = Field(default_factory=dict)
    acquisition: dict[str, Any] = Field(default_factory=dict)
    mixture: dict[str, Any] = Field(default_factory=dict)
    critic: dict[str, Any] = Field(default_factory=dict)
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    loop: LoopSettings = LoopSettings()
    seed: int = setting(0, "seed of every stream")
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "precision of training; auto: bfloat16 where the hardware computes in it"
    )

    @model_validator(mode="after")
    def _method_is_the_pair(self) -> "RunConfig":
        # Only built-in methods are known here; `pair_of` checks a user's own.
        pair = (self.objective_name, self.acquisition_name)
        if self.method is not None:
            check_method_pair(self.method, pairs().get(self.method, pair), pair)
        return self

    @model_serializer(mode="wrap")
    def _without_unread_tables(self, whole: Callable[[Any], Any]) -> dict[str, Any]:
        """A pair that reads no such table has none in its configuration."""
        tree: dict[str, Any] = whole(self)
        return {key: value for key, value in tree.items() if value or key not in TABLES}

    def identity(self) -> str:
        """Hash of everything that decides the result (device, threads and workers do not)."""
        return config_hash(self.model_dump(mode="json"))


def canonical(tree: Mapping[str, Any]) -> str:
    """The one JSON text of a configuration tree: equal trees are equal texts."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"))


def config_hash(tree: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a configuration tree."""
    return hashlib.sha256(canonical(tree).encode()).hexdigest()


def build(model: type[S], values: Mapping[str, Any], where: str) -> S:
    """Make a settings model; unknown keys get the nearest valid one, bad values the reason.

    Parameters
    ----------
    where: dotted prefix or file, for the message ("objective", "grid.toml").

    Raises
    ------
    UnknownName, ConfigError: also for a key of before, with what it is called now.
    """
    unknown = sorted(set(values) - set(model.model_fields))
    if unknown:
        refuse_moved_keys(model, values, where)
        raise UnknownName(
            "key", unknown[0], model.model_fields, where, nearest_key(unknown[0], model)
        )
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *(str(part) for part in first["loc"])])
        raise ConfigError(
            f"{key} = {first['input']!r}: {first['msg']}.", "See `labelgap config`."
        ) from error


def refuse_moved_keys(model: type[Settings], values: Mapping[str, Any], where: str) -> None:
    """ConfigError for the first key of before, with what it is called now."""
    for key in sorted(values.keys() & model.moved.keys()):
        new = model.moved[key]
        raise ConfigError(
            f"The key '{key}' of {where} is now '{new}', which both axes read.",
            f"Write `{new}`; what was begun with the old key needs a new folder.",
        )


def nearest_key(name: str, model: type[Settings]) -> str:
    """The key of a model or of its tables that a misspelt one is nearest to, with its table:
    by its last part, by the whole, or by the first words of its description ("lerning_rate" is
    training.lr, the learning rate). "" where none is near."""
    words = name.replace("_", " ").lower()
    best, found = _NEAR, ""
    for row in describe(model):
        key, said = row["key"], row["description"].lower()
        for other in (key.rpartition(".")[2], key, said[: len(words)]):
            likeness = SequenceMatcher(None, words, other.replace("_", " ")).ratio()
            if likeness > best:
                best, found = likeness, key
    return found


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set `tree["a"]["b"] = value` for the path "a.b", making the levels between."""
    *parents, last = path.split(".")
    for part in parents:
        tree = tree.setdefault(part, {})
    tree[last] = value


def describe(model: type[Settings], prefix: str = "") -> Iterator[dict[str, Any]]:
    """One row per key of a model and its nested models: what `setting` was given, and its key.

    The run's tables, which are its own, are left out.
    """
    for name, info in model.model_fields.items():
        if name in TABLES:
            continue
        key = f"{prefix}{name}"
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, Settings):
            yield from describe(nested, f"{key}.")
        elif info.description:
            yield {"key": key, **_row(info)}


def _row(info: FieldInfo) -> dict[str, Any]:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return {
        "default": info.default,
        "description": info.description,
        "source": extra.get("source", ""),
        "evidence": extra.get("evidence", ""),
        "search": extra.get("search"),
        "paper": extra.get("paper"),
    }
