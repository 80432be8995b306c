"""How a configuration comes to be: defaults, preset, data set, method, file and flags, in order."""

import copy
from typing import Any

import pytest

from labelgap.core.config import RunConfig
from labelgap.core.errors import ConfigError, LabelgapError, UnknownName
from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES
from labelgap.session import presets
from labelgap.session.presets import (
    PRESETS,
    departing,
    departures,
    merge,
    pair_of,
    pair_options,
    resolve,
    title_of,
)

FREE = {"objective_name": "cross-entropy", "acquisition_name": "margin"}


# ---------------------------------------------------------------------- laying one over another


def test_what_is_laid_over_wins_level_by_level_and_nothing_is_changed() -> None:
    base = {"a": {"x": 1, "y": {"z": [1]}}, "b": 2, "c": {"k": 1}}
    other = {"a": {"x": 5, "y": {"w": [2]}}, "c": 3, "b": {"new": {"deep": [3]}}}
    before = copy.deepcopy((base, other))
    found = merge(base, other)
    assert found == {
        "a": {"x": 5, "y": {"z": [1], "w": [2]}}, "b": {"new": {"deep": [3]}}, "c": 3,
    }  # fmt: skip
    found["a"]["y"]["z"].append(9)
    found["a"]["y"]["w"].append(9)
    found["b"]["new"]["deep"].append(9)
    assert (base, other) == before


# ---------------------------------------------------------------------- presets

SMOKE = {
    "network": {"width": 16, "blocks": (1, 1, 1)},
    "training": {"steps": 200, "epochs": None, "batch_size": 32, "schedule": "cosine"},
    "loop": {"initial": 40, "budget": 40, "rounds": 5, "pool_subset": None},
}
CPU = {
    "network": {"width": 16, "blocks": (1, 1, 1, 1)},
    "training": {"steps": 400, "epochs": None, "batch_size": 64, "schedule": "cosine"},
    "loop": {"initial": 100, "budget": 100, "rounds": 9, "pool_subset": 10_000},
}
PAPER = {
    "network": {"width": 64, "blocks": (2, 2, 2, 2)},
    "training": {"steps": None, "epochs": 200.0, "batch_size": 100, "schedule": "step"},
    "loop": {"initial": 1000, "budget": 1000, "rounds": 9, "pool_subset": 10_000},
}
PROBE = {
    "network": {"freeze": True, "adapter": 0},
    "training": {
        "steps": None, "epochs": 200.0, "batch_size": 64, "lr": 0.01, "nesterov": True,
        "schedule": "cosine",
    },
    "loop": {"initial": 10, "budget": 10, "rounds": 20, "pool_subset": None},
}  # fmt: skip
SAID = {"smoke": SMOKE, "cpu": CPU, "paper": PAPER, "linear-probe": PROBE}


@pytest.mark.parametrize(("preset", "said"), SAID.items())
def test_a_preset_is_what_results_that_name_it_were_made_with(
    preset: str, said: dict[str, dict[str, Any]]
) -> None:
    config = resolve({"method": "random"}, preset=preset)
    assert config.preset == preset
    for part, values in said.items():
        found = getattr(config, part).model_dump()
        assert {key: found[key] for key in values} == values
    assert resolve({"method": "random"}).preset == "smoke"
    assert set(PRESETS) == set(SAID)


@pytest.mark.parametrize(
    ("preset", "name", "labels"),
    [
        ("paper", "cifar100", 2000),
        ("paper", "cifar10", 1000),
        ("cpu", "cifar100", 100),
        ("linear-probe", "cifar100", 100),
        ("linear-probe", "cifar10", 10),
    ],
)
def test_more_classes_begin_with_more_labels(preset: str, name: str, labels: int) -> None:
    loop = resolve({"method": "random", "data": {"name": name}}, preset=preset).loop
    assert (loop.initial, loop.budget) == (labels, labels)
    given = {"method": "random", "data": {"name": name}, "loop": {"budget": 7}}
    loop = resolve(given, preset=preset).loop
    assert (loop.initial, loop.budget) == (labels, 7)


def test_steps_and_epochs_exclude_each_other_and_what_is_given_wins() -> None:
    def training(preset: str, **given: Any) -> tuple[Any, Any]:
        found = resolve({"method": "random", "training": given}, preset=preset).training
        return found.steps, found.epochs

    assert training("smoke", epochs=3.0) == (None, 3.0)
    assert training("paper", steps=7) == (7, None)
    assert training("smoke", steps=7) == (7, None)
    assert training("paper", lr=0.5) == (None, 200.0)
    with pytest.raises(ConfigError, match=r"mine: training\.steps and training\.epochs are both"):
        resolve({"training": {"steps": 1, "epochs": 1}}, where="mine")


# ---------------------------------------------------------------------- method and pair


def named(**values: Any) -> tuple[str | None, str, str]:
    config = resolve(values)
    assert title_of(config) == (
        config.method or f"{config.objective_name}+{config.acquisition_name}"
    )
    return config.method, config.objective_name, config.acquisition_name


def test_the_method_is_the_pairs_name_or_there_is_none() -> None:
    assert named() == ("daal", "daal", "daal")
    assert named(method="margin") == ("margin", "cross-entropy", "margin")
    assert named(**FREE) == (None, "cross-entropy", "margin")
    assert named(method="margin", **FREE) == ("margin", "cross-entropy", "margin")
    assert named(method="margin", acquisition_name="entropy") == (
        None, "cross-entropy", "entropy",
    )  # fmt: skip
    assert named(method="daal", objective_name="cross-entropy") == (
        None, "cross-entropy", "daal",
    )  # fmt: skip
    # One half alone: the other is daal's.
    assert named(acquisition_name="margin") == (None, "daal", "margin")
    assert named(objective_name="cross-entropy") == (None, "cross-entropy", "daal")
    assert named(objective_name="daal") == ("daal", "daal", "daal")


def test_a_method_brings_what_it_cannot_do_without_and_one_may_say_otherwise() -> None:
    assert METHODS["mc-dropout"].settings["network"]["dropout"] == 0.1
    assert resolve({"method": "mc-dropout"}).network.dropout == 0.1
    assert resolve({"method": "random"}).network.dropout == 0.0
    chosen = resolve({"method": "mc-dropout", "network": {"dropout": 0.3, "width": 5}}).network
    assert (chosen.dropout, chosen.width, chosen.blocks) == (0.3, 5, (1, 1, 1))


def test_a_pair_is_made_with_the_options_that_were_given() -> None:
    config = resolve({
        "method": "daal", "objective": {"alpha": 0.5}, "acquisition": {"beta": 3.0},
        "critic": {"width": 9},
    })  # fmt: skip
    objective, acquisition = pair_of(config)
    assert type(objective) is OBJECTIVES["daal"]
    assert type(acquisition) is ACQUISITIONS["daal"]
    assert (objective.options.alpha, acquisition.options.beta) == (0.5, 3.0)
    assert objective.options.critic.width == acquisition.options.critic.width == 9
    free = resolve({**FREE})
    assert [part.name for part in pair_of(free)] == ["cross-entropy", "margin"]
    with pytest.raises(ConfigError, match="margin"):
        pair_of(free.model_copy(update={"method": "margin", "acquisition_name": "entropy"}))
    with pytest.raises(UnknownName, match="acquisition 'margi'"):
        pair_of(free.model_copy(update={"acquisition_name": "margi"}))
    with pytest.raises(UnknownName, match="objective 'daa'"):
        pair_of(free.model_copy(update={"objective_name": "daa"}))


def test_a_method_that_is_not_known_here_is_titled_by_its_pair() -> None:
    known = resolve({**FREE})
    assert title_of(known.model_copy(update={"method": "mine"})) == "cross-entropy+margin"


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("weights", [None, "hub"])
def test_only_a_frozen_backbone_without_weights_takes_those_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, freeze: bool, weights: str | None
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        presets, "packaged_content", lambda name: asked.append(name) or "sha256:" + "0" * 64
    )
    network = {"name": "timm:mine", "freeze": freeze, "weights": weights}
    found = resolve({"method": "random", "network": network}).network.weights
    packaged = freeze and weights is None
    assert found == ("sha256:" + "0" * 64 if packaged else weights)
    assert asked == (["timm:mine"] if packaged else [])


# ---------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"metod": "daal"}, r"Unknown key 'metod' in mine.*'method'"),
        ({"preset": "cpu"}, r"Unknown key 'preset' in mine"),
        ({"method": "dal"}, r"Unknown method 'dal'.*'daal'"),
        ({"objective_name": "dal", "acquisition_name": "daal"}, r"Unknown objective 'dal'"),
        ({"objective_name": "daal", "acquisition_name": "dal"}, r"Unknown acquisition 'dal'"),
        ({"training": {"step": 3}}, r"Unknown key 'step' in training.*'steps'"),
        ({"network": {"name": "resnett"}}, r"resnett"),
        ({"data": {"nam": "x"}}, r"Unknown key 'nam' in data.*'name'"),
        ({"loop": {"round": 3}}, r"Unknown key 'round' in loop.*'rounds'"),
        ({"objective": {"alph": 1}}, r"Unknown key 'alph' in objective.*'alpha'"),
        ({"acquisition": {"bet": 1}}, r"Unknown key 'bet' in acquisition.*'beta'"),
        ({"critic": {"lrr": 1}}, r"Unknown key 'lrr' in critic.*'lr'"),
        ({"seed": "x"}, r"mine\.seed = 'x'"),
        ({"training": {"lr": -1}}, r"training\.lr = -1"),
        *(
            ({part: 3}, rf"mine\.{part} = 3: a table of keys is needed")
            for part in (
                "data", "network", "training", "loop", "objective", "acquisition", "mixture",
                "critic",
            )
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named_with_the_nearest(values: dict[str, Any], said: str) -> None:
    with pytest.raises(LabelgapError, match=said):
        resolve(values, where="mine")


def test_what_has_no_file_is_called_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"^configuration\.network = 3: a table"):
        resolve({"network": 3})


def test_an_unknown_preset_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown preset 'smok'.*'smoke'"):
        resolve({}, preset="smok")


def test_the_place_of_a_wrong_table_is_said() -> None:
    random = OBJECTIVES["cross-entropy"], ACQUISITIONS["random"]
    daal = OBJECTIVES["daal"], ACQUISITIONS["daal"]
    said = (
        r"arm 3\.critic = .*neither objective 'cross-entropy' nor acquisition 'random' reads this "
        r"table\. Remove it, or choose one that does: acquisition daal, objective daal"
    )
    with pytest.raises(ConfigError, match=said):
        pair_options(*random, {"critic": {"lr": 1.0}}, "smoke", "arm 3.")
    with pytest.raises(ConfigError, match=r"arm 3\.objective\.critic = .*Write `critic\.KEY`"):
        pair_options(*daal, {"objective": {"critic": {"lr": 1.0}}}, "smoke", "arm 3.")
    for tree, key in (
        ({"critic": {"lr": -1.0}}, "critic.lr"),
        ({"objective": {"alpha": -1.0}}, "objective.alpha"),
        ({"acquisition": {"share": -1.0}}, "acquisition.share"),
    ):
        with pytest.raises(ConfigError, match=rf"arm 3\.{key} = -1"):
            pair_options(*daal, tree, "smoke", "arm 3.")
    assert pair_options(*random, {"critic": {}}, "smoke") == {"objective": {}, "acquisition": {}}


def test_tables_are_those_of_the_preset_and_apart_from_the_axes() -> None:
    daal = OBJECTIVES["daal"], ACQUISITIONS["daal"]
    for preset, width, steps in (("smoke", 256, None), ("paper", 512, 10_000)):
        found = pair_options(*daal, {}, preset)
        assert set(found) == {"objective", "acquisition", "mixture", "critic"}
        assert found["critic"]["width"] == width
        assert found["objective"]["align_steps"] == steps
        for axis in ("objective", "acquisition"):
            assert not {"mixture", "critic"} & found[axis].keys()


# ---------------------------------------------------------------------- not the paper's


def test_a_departure_says_key_values_reason_and_switch() -> None:
    config = resolve({"objective": {"reg_start": 0.0}}, preset="paper").model_dump(mode="json")
    (found,) = departures(config)
    assert (found.key, found.value, found.paper) == ("mixture.temperature", 0.0, 1.0)
    assert str(found).startswith("mixture.temperature is 0, the paper's is 1: 0 stands for d")
    assert found.switch == "--set mixture.temperature=1"
    assert departing(config) == (
        f"Not the paper's numbers: {found}. `--set mixture.temperature=1` takes the paper's."
    )
    both = departing(resolve({}, preset="paper").model_dump(mode="json"))
    assert both is not None
    assert "; objective.reg_start is 0.25, the paper's is 0: " in both
    assert "`--set mixture.temperature=1 --set objective.reg_start=0` takes" in both


def test_departures_are_of_the_axes_that_are_there_and_known() -> None:
    def keys(**values: Any) -> list[str]:
        tree = resolve(values, preset="paper").model_dump(mode="json")
        return [d.key for d in departures(tree)]

    trained = sorted(keys(objective_name="daal", acquisition_name="random"))
    assert trained == ["mixture.temperature", "objective.reg_start"]
    assert keys(objective_name="cross-entropy", acquisition_name="daal") == ["mixture.temperature"]
    tree = resolve({}, preset="paper").model_dump(mode="json")
    # A user's own half is not looked at: nothing of it is the paper's.
    assert [d.key for d in departures(tree | {"objective_name": "mine"})] == ["mixture.temperature"]
    assert departures(tree | {"preset": "cpu"}) == []
    before = {part: values for part, values in tree.items() if part != "mixture"}
    assert [d.key for d in departures(before)] == ["objective.reg_start"]


def test_a_configuration_is_its_own_resolution() -> None:
    for preset in PRESETS:
        config = resolve({"method": "daal", "seed": 3}, preset=preset)
        tree = config.model_dump(mode="json")
        assert RunConfig(**tree) == config
        del tree["preset"]
        if tree["training"]["steps"] is None:
            del tree["training"]["steps"]
        else:
            del tree["training"]["epochs"]
        assert resolve(tree, preset=preset) == config
