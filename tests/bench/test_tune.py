"""Tuning: equal trials, declared ranges, and no test images."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from bench_small import made

from labelgap.bench import tune
from labelgap.bench.evidence.results import Result
from labelgap.bench.grid.grid import Cell
from labelgap.bench.grid.store import Store
from labelgap.bench.running.cell import task_of
from labelgap.core.errors import ConfigError, FolderError, UnknownName
from labelgap.data import load
from labelgap.session.presets import merge

SETTINGS = {"training": {"steps": 5}, "loop": {"initial": 20, "budget": 5, "rounds": 1}}


def test_draws_stay_in_their_ranges_and_the_first_trial_is_the_defaults() -> None:
    ranges = tune.space("daal")
    assert {"objective.alpha", "acquisition.beta"} <= set(ranges)
    made_ = list(tune.trials("daal", 8))
    assert made_[0].values == {}
    assert len(made_) == 8
    for trial in made_[1:]:
        for key, search in ranges.items():
            axis, name = key.split(".")
            value = trial.values[axis][name]
            if search[-1] in ("log", "linear"):
                assert search[0] * 0.99 <= value <= search[1] * 1.01
            else:
                assert value in search
    assert [t.values for t in tune.trials("daal", 4)] == [t.values for t in made_[:4]]
    assert set(tune.space("random")) == {"training.lr", "training.weight_decay"}
    assert len(list(tune.trials("margin", 8))) == 1  # nothing of its own to tune


def test_logarithmic_draws_have_a_uniform_logarithm() -> None:
    rng = np.random.default_rng(0)
    logs = np.log10([tune.draw((1e-3, 1e1, "log"), rng) for _ in range(2000)])
    assert np.histogram(logs, 4, (-3, 1))[0].min() > 400
    assert {tune.draw(("a", "b"), rng) for _ in range(20)} == {"a", "b"}


def test_trials_are_judged_on_training_images_outside_the_pool() -> None:
    cells = list(tune.cells(["random", "daal"], "digits", 3, 2, SETTINGS, "smoke"))
    assert len(cells) == 2 * 3 * 2
    assert len({c.identity for c in cells}) == len(cells)
    assert {c.config.seed for c in cells} == {1000, 1001}
    whole = load("digits")
    for cell in cells[:2]:
        task = task_of(cell.config, None, "cpu", cell.development)
        assert len(task.test) == tune.DATA_SETS["digits"]
        assert len(task.pool) == len(whole.pool) - len(task.test)
        held = np.setdiff1d(whole.pool, task.pool)
        assert np.array_equal(task.test.inputs, whole.train.inputs[held])
    plain = Cell(cells[0].config, cells[0].arm)
    assert plain.identity != cells[0].identity


def test_other_data_and_unequal_trials_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Nothing is tuned on 'cifar10'"):
        list(tune.cells(["random"], "cifar10", 3, 2, SETTINGS, "smoke"))
    with pytest.raises(ConfigError, match="are none"):
        list(tune.cells(["random"], "digits", 0, 2, SETTINGS, "smoke"))
    store = Store(tmp_path)
    tune.check_equal(store, [], 4)
    (tmp_path / tune.TUNED).write_text(json.dumps({"trials": 4}))
    tune.check_equal(store, [], 4)
    with pytest.raises(ConfigError, match="4 trials a method, 9 are asked for"):
        tune.check_equal(store, [], 9)


STEPS = merge(SETTINGS, {"training": {"steps": 17}})


def test_one_folder_is_tuned_on_one_data_set_with_one_configuration(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cells = tuple(tune.cells(["random"], "digits", 2, 1, SETTINGS, "smoke"))
    store.add(cells, "labelgap tune")
    tune.check_equal(store, cells, 2)
    other = list(tune.cells(["random"], "digits", 2, 1, STEPS, "smoke"))
    with pytest.raises(ConfigError, match=r"random #0 .* has training.steps = .*, and now 17"):
        tune.check_equal(store, other, 2)
    other = list(tune.cells(["margin"], "fashion-mnist", 2, 1, SETTINGS, "smoke"))
    with pytest.raises(ConfigError, match=r"has data.name = digits, and now fashion-mnist"):
        tune.check_equal(store, other, 2)


def test_the_best_mean_wins_and_every_trial_is_recorded(tmp_path: Path) -> None:
    store = Store(tmp_path / "tune")
    results = [
        made(f"daal #{k}", 1000 + s, method="daal", gain=g)
        for k, g in enumerate((0.0, 0.2, 0.1))
        for s in range(2)
    ]
    table = tune.write_tuned(store, results, 3)
    assert len(table.rows) == 3
    record = json.loads((store.root / tune.TUNED).read_text())
    best = record["best"]["daal"]
    assert best["trial"] == 1
    assert best["values"] == list(tune.trials("daal", 3))[1].values
    areas = [r.aubc for r in results if r.cell.arm == "daal #1"]
    assert best["score"] == pytest.approx(np.mean(areas))
    assert record["trials"] == 3
    assert (store.root / "trials.csv").read_text().count("\n") == 4


def test_the_best_trials_alone_are_judged_on_a_second_data_set(tmp_path: Path) -> None:
    store = Store(tmp_path / "first")
    results = [
        made(f"daal #{k}", 1000 + s, method="daal", gain=g)
        for k, g in enumerate((0.0, 0.2, 0.1, 0.3))
        for s in range(2)
    ]
    tune.write_tuned(store, results, 4)
    earlier = tune.Earlier.read(store.root, 2)
    assert earlier.kept("daal") == [0, 3, 1]
    cells = list(tune.cells(["daal"], "digits", earlier.trials, 1, SETTINGS, "smoke", earlier))
    assert [c.arm for c in cells] == ["daal #0", "daal #1", "daal #3"]
    with pytest.raises(UnknownName, match="random"):
        earlier.kept("random")

    # Best there, worse here: the gains on both data sets decide.
    again = [
        made(f"daal #{k}", 1000 + s, method="daal", gain=g)
        for k, g in ((0, 0.0), (1, 0.15), (3, -0.1))
        for s in range(2)
    ]
    second = Store(tmp_path / "second")
    table = tune.write_tuned(second, again, 4, earlier)
    best = json.loads((second.root / tune.TUNED).read_text())["best"]["daal"]
    gains = {row[1]: row[5] for row in table.rows}
    assert best["trial"] == max(gains, key=gains.__getitem__) == 1
    assert best["gain"] == pytest.approx(gains[1])


def tried(gains: dict[int, float], first: int = 1000) -> list[Result]:
    return [
        made(f"daal #{k}", first + s, method="daal", gain=gain)
        for k, gain in gains.items()
        for s in range(2)
    ]


def test_trials_are_not_judged_without_the_defaults(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(FolderError, match=r"daal #1 cannot .* \(daal #0\) .* no seed\."):
        tune.write_tuned(store, tried({1: 0.2, 2: 0.1}), 3)
    apart = [*tried({0: 0.0}), *tried({1: 0.2}, first=1002)]
    with pytest.raises(FolderError, match=r"daal #1 cannot .* none of its seeds"):
        tune.write_tuned(store, apart, 3)
    assert not list(tmp_path.iterdir())


def test_a_trial_that_the_earlier_tuning_lacks_is_named(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "first"), Store(tmp_path / "second")
    tune.write_tuned(first, tried({0: 0.0, 1: 0.2}), 3)
    earlier = tune.Earlier.read(first.root, 2)
    with pytest.raises(FolderError, match="Trial 2 of daal has no gain in the earlier tuning"):
        tune.write_tuned(second, tried({0: 0.0, 2: 0.1}), 3, earlier)
    assert not second.root.exists()
    # Written when the defaults had failed and nobody noticed.
    record = first.root / tune.TUNED
    record.write_text(json.dumps({"trials": 3, "gains": {"daal": {"1": math.nan}}}))
    with pytest.raises(FolderError, match="Trial 0 of daal has no gain"):
        tune.Earlier.read(first.root, 2).kept("daal")


def test_effects_average_the_gains_of_each_choice_and_of_both_halves_of_a_range() -> None:
    drawn = {t.number: t.values for t in tune.trials("daal", 9)}
    gains = {k: 1.0 if k and v["objective"]["reg_in_alignment"] else 0.0 for k, v in drawn.items()}
    table = tune.effects({"daal": gains}, 9)
    by_key = {(r[1], r[2]): r[3:] for r in table.rows}
    held = sum(v["objective"]["reg_in_alignment"] for k, v in drawn.items() if k)
    assert by_key["objective.reg_in_alignment", "True"] == [held, 1.0, 0.0]
    assert by_key["objective.reg_in_alignment", "False"][1] == 0.0
    halves = [r for r in table.rows if r[1] == "objective.alpha"]
    assert [r[3] for r in halves] == [4, 4]
    assert sum(r[3] * r[4] for r in halves) == pytest.approx(held)
