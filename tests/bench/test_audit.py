"""The audit passes what is paired and names every planted defect."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_small import made

from labelgap.bench.evidence.audit import AuditError, audit, require
from labelgap.bench.evidence.comparable import unequal
from labelgap.bench.evidence.compare import comparisons
from labelgap.bench.evidence.results import Result, read_results, result_of, write_results
from labelgap.bench.grid.grid import Cell
from labelgap.core.errors import DataError, FolderError
from labelgap.session.presets import resolve


def paired_results() -> list[Result]:
    return [
        made(arm, seed, data=data)
        for data in ("digits", "fashion-mnist")
        for arm in ("random", "margin", "mc-dropout", "daal")
        for seed in (0, 1)
    ]


def with_recorded(result: Result, **changes: Any) -> Result:
    return replace(result, recorded={**result.recorded, **changes})


def test_paired_runs_pass_dropout_included() -> None:
    assert audit(paired_results()) == []
    require(paired_results())


def other_options(result: Result) -> Result:
    acquisition = {**result.cell.config.acquisition, "beta": 0.5}
    config = result.cell.config.model_copy(update={"acquisition": acquisition})
    return replace(result, cell=replace(result.cell, config=config))


def other_steps(result: Result) -> Result:
    training = result.cell.config.training.model_copy(update={"steps": 7})
    config = result.cell.config.model_copy(update={"training": training})
    return replace(result, cell=replace(result.cell, config=config))


def cut_short(result: Result) -> Result:
    """Without its last round, and honest about its labels."""
    honest = dict.fromkeys(("claimed_labels", "distinct_labels", "queried_distinct"), 100)
    arrays = ("labels", "accuracy", "balanced", "per_class", "counts")
    return replace(
        result,
        **{name: getattr(result, name)[:-1] for name in arrays},
        seconds={stage: values[:-1] for stage, values in result.seconds.items()},
        recorded={**result.recorded, **honest},
    )


def moved_round(result: Result) -> Result:
    labels = result.labels.copy()
    labels[2] += 5
    return replace(result, labels=labels)


def other_counts(result: Result) -> Result:
    return replace(result, counts=result.counts + (np.arange(10) == 3))


def fewer_than_configured(result: Result) -> Result:
    """Honest about its labels, which are not those of the configuration."""
    honest = dict.fromkeys(("claimed_labels", "distinct_labels", "queried_distinct"), 100)
    labels = (40 + 15 * np.arange(5)).astype(np.int64)
    return replace(result, labels=labels, recorded={**result.recorded, **honest})


def other_network(result: Result) -> Result:
    network = result.cell.config.network.model_copy(update={"dropout": 0.1})
    config = result.cell.config.model_copy(update={"network": network})
    recorded = {**result.recorded, "initial_weights_sha256": "with dropout"}
    return replace(result, cell=replace(result.cell, config=config), recorded=recorded)


PLANTED = [
    ("distinct labels", moved_round),
    ("distinct labels", other_counts),
    ("distinct labels", fewer_than_configured),
    ("all is recorded", lambda r: with_recorded(r, pool_permutation_sha256=None)),
    ("same configuration", other_network),
    ("distinct labels", lambda r: with_recorded(r, queried_distinct=119)),
    ("distinct labels", lambda r: with_recorded(r, distinct_labels=119, queried_distinct=119)),
    ("same data", lambda r: with_recorded(r, task_fingerprint="other")),
    (
        "same initial set",
        lambda r: with_recorded(r, initial_set_sha256="x", queried_initial_sha256="x"),
    ),
    ("same initial set", lambda r: with_recorded(r, queried_initial_sha256="x")),
    ("same initial weights", lambda r: with_recorded(r, initial_weights_sha256="x")),
    ("same pool permutation", lambda r: with_recorded(r, pool_permutation_sha256="x")),
    ("no choice by test data", cut_short),
    ("no choice by test data", other_options),
    ("versions and machine", lambda r: replace(r, machine={**r.machine, "threads": 2})),
    ("versions and machine", lambda r: replace(r, begun_elsewhere=True)),
    ("same configuration", other_steps),
]


@pytest.mark.parametrize(("check", "plant"), PLANTED)
def test_a_planted_defect_is_found_and_its_cell_named(check: str, plant: Any) -> None:
    results = paired_results()
    k = next(k for k, r in enumerate(results) if r.cell.arm == "daal")
    results[k] = plant(results[k])
    found = [f for f in audit(results) if f.check == check]
    assert len(found) == 1
    assert results[k].cell.folder in found[0].cells
    with pytest.raises(AuditError, match=check):
        require(results)


def test_seeds_that_share_their_start_are_no_repetitions() -> None:
    results = [made(arm, seed) for arm in ("random", "margin") for seed in (0, 1)]
    same = {"initial_set_sha256": "x", "queried_initial_sha256": "x"}
    (found,) = audit([with_recorded(r, **same) for r in results])
    assert found.check == "independent seeds"
    assert len(found.cells) == 2
    (found,) = audit([with_recorded(r, initial_weights_sha256="x") for r in results])
    assert found.check == "independent seeds"


def test_one_run_under_two_names_is_refused_before_it_runs() -> None:
    pair = resolve({"objective_name": "cross-entropy", "acquisition_name": "margin"})
    cells = [made("margin", 0).cell]
    settings = cells[0].config.model_dump(include={"loop", "data"})
    cells.append(Cell(pair.model_copy(update={k: getattr(cells[0].config, k) for k in settings}),
                      "cross-entropy+margin"))  # fmt: skip
    assert unequal(cells) == "'margin' and 'cross-entropy+margin' are the same run"


def test_the_first_round_is_compared_within_an_objective_only() -> None:
    results = [made(arm, 0) for arm in ("random", "margin", "badge", "daal")]
    assert audit(results) == []
    results[1] = with_recorded(results[1], round0_weights_sha256="x")
    (found,) = audit(results)
    assert found.check == "same first round"
    assert found.cells == (results[1].cell.folder,)


def edited() -> list[Result]:
    """An arm that was margin for five seeds, then entropy for three: neither has options."""
    methods = {"margin": 5, "entropy": 3}
    return [made("mine", s, method=m) for m, seeds in methods.items() for s in range(seeds)]


def test_an_arm_that_is_two_methods_is_found_and_refused_before_it_runs() -> None:
    apart = [r for r in edited() if (r.cell.config.seed < 3) == (r.cell.config.method == "entropy")]
    (found,) = audit(apart)
    assert found.check == "no choice by test data"
    assert set(found.cells) == {r.cell.folder for r in apart if r.cell.config.method == "margin"}
    said = unequal(r.cell for r in apart)
    assert said == "acquisition_name of the arm 'mine' is margin in some and entropy in others"
    assert unequal(r.cell for r in paired_results()) is None


def test_two_results_of_one_arm_and_seed_are_found_and_both_named() -> None:
    results = edited()
    found = [f for f in audit(results) if f.check == "one result a seed"]
    assert [set(f.cells) for f in found] == [
        {r.cell.folder for r in results if r.cell.config.seed == seed} for seed in range(3)
    ]
    with pytest.raises(FolderError, match=f"{results[0].cell.folder} and .*with seed 0"):
        comparisons(results)


def test_one_computation_under_two_configurations_is_one_result_too_many() -> None:
    one = made("mine", 0, method="margin")
    config = one.cell.config.model_copy(update={"method": None})
    other = replace(one, cell=replace(one.cell, config=config))
    (found,) = audit([one, other])
    assert found.check == "one result a seed"
    assert unequal([one.cell, other.cell]) == (
        f"{one.cell.folder} and {other.cell.folder} are of one arm and seed"
    )


def test_of_two_that_differ_both_are_named() -> None:
    results = [made("random", 0), with_recorded(made("margin", 0), pool_permutation_sha256="x")]
    (found,) = audit(results)
    assert set(found.cells) == {r.cell.folder for r in results}


def test_the_compact_file_gives_back_what_was_written_and_equal_bytes(tmp_path: Path) -> None:
    results = paired_results()
    path, again = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_results(path, results)
    write_results(again, results[::-1])
    assert path.read_bytes() == again.read_bytes()
    rows = read_results(path)
    assert len(rows) == len(results)
    for result in results:
        back = result_of(result.cell, rows[result.cell.identity])
        for name in ("labels", "accuracy", "balanced", "per_class", "counts"):
            assert np.array_equal(getattr(back, name), getattr(result, name)), name
        assert back.recorded == result.recorded
        assert back.machine == result.machine
        assert back.peak_memory == result.peak_memory
        assert back.aubc == result.aubc


def test_a_damaged_compact_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_results(path, paired_results())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"results\.parquet cannot be read"):
        read_results(path)
    write_results(path, [cut_short(made("random", 0))])
    with pytest.raises(DataError, match="are not whole"):
        read_results(path)
