"""Tuning: equal trials, declared ranges, and no test images."""

import json
from pathlib import Path

import numpy as np
import pytest
from bench_small import made

from labelgap.bench import tune
from labelgap.bench.grid import Cell
from labelgap.bench.store import Store
from labelgap.bench.work import task_of
from labelgap.data import load
from labelgap.errors import ConfigError

SETTINGS = {"training": {"steps": 5}, "loop": {"initial": 20, "budget": 5, "rounds": 1}}


def test_draws_stay_in_their_ranges_and_the_first_trial_is_the_defaults() -> None:
    ranges = tune.space("daal")
    assert {"objective.alpha", "acquisition.beta"} <= set(ranges)
    made_ = list(tune.trials("daal", 8))
    assert made_[0].values == {}
    assert len(made_) == 8
    for trial in made_[1:]:
        for key, (low, high, _) in ranges.items():
            axis, name = key.split(".")
            assert low * 0.99 <= trial.values[axis][name] <= high * 1.01
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
    tune.check_equal(store, 4)
    (tmp_path / tune.TUNED).write_text(json.dumps({"trials": 4}))
    tune.check_equal(store, 4)
    with pytest.raises(ConfigError, match="4 trials a method, 9 are asked for"):
        tune.check_equal(store, 9)


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
