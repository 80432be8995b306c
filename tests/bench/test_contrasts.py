"""Pairs of arms that differ in one thing, and arms whose seeds do not pair."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_small import made, small_grid

from labelgap.bench.evidence import audit, compare, contrasts
from labelgap.bench.evidence.collect import Record, collect
from labelgap.bench.evidence.compare import Comparison
from labelgap.bench.evidence.results import Result, read_results
from labelgap.bench.grid.grid import Cell, preset_grid
from labelgap.bench.grid.store import Store
from labelgap.bench.report.write import write_report
from labelgap.bench.running.cell import Job, attempt
from labelgap.core.device import machine
from labelgap.core.errors import FolderError
from labelgap.session.claim import CONFIG, prepare
from labelgap.session.presets import resolve


def ablation() -> Comparison:
    """The ablation's arms with curves made up, so that its contrasts can be listed."""
    results = []
    for cell in preset_grid("ablation", {"seeds": 3}).cells:
        seed = cell.config.seed
        result = made(cell.arm, seed, method="random", data="fashion-mnist", rounds=5)
        results.append(replace(result, cell=cell))
    (found,) = compare.comparisons(results)
    return found


def test_contrasts_of_the_ablation_are_what_each_part_adds() -> None:
    c = ablation()
    pairs = contrasts.every(c)
    shown = contrasts.of_one_change(c, pairs)
    assert len(pairs) == len(c.arms) * (len(c.arms) - 1) // 2
    assert {(p.arm, p.against, p.change) for p in shown} == {
        ("Reg + DA + AS", "Reg + DA + random", "query"),
        ("Reg + DA + AS", "cross-entropy + AS", "training"),
        ("Reg + DA + random", "Reg + random", "objective.align"),
        ("Reg + DA + random", "DA + random", "objective.reg"),
        ("Reg + DA + random", "Reg, then DA without it + random", "objective.reg_in_alignment"),
        ("DA + random", "DA without statistics + random", "critic.statistics"),
        ("cross-entropy + AS", "cross-entropy + I_Like alone", "acquisition.model"),
        ("cross-entropy + AS", "cross-entropy + I_model alone", "acquisition.likelihood"),
        ("cross-entropy + I_Like alone", "cross-entropy + balance + k-means",
         "acquisition.likelihood"),
        ("cross-entropy + I_model alone", "cross-entropy + balance + k-means",
         "acquisition.model"),
    }  # fmt: skip


def test_contrasts_are_paired_differences() -> None:
    c = ablation()
    areas = c.areas(c.main)
    for pair in contrasts.every(c)[:20]:
        a, b = c.arms.index(pair.arm), c.arms.index(pair.against)
        area, early, late, final = (d.interval for d in pair.differences)
        wanted = areas[a, :, 0] - areas[b, :, 0]
        np.testing.assert_allclose([area.mean, area.sd], [wanted.mean(), wanted.std(ddof=1)])
        np.testing.assert_allclose((early.mean + late.mean) / 2, area.mean, atol=1e-12)
        last = c.main[a, :, -1] - c.main[b, :, -1]
        np.testing.assert_allclose(final.mean, last.mean())


def seeds_of(arm: str, seeds: list[int]) -> list[Result]:
    return [made(arm, seed) for seed in seeds]


def test_a_late_arm_does_not_take_the_pairs_of_the_others() -> None:
    whole = seeds_of("random", [*range(6)]) + seeds_of("margin", [*range(6)])
    (found,) = compare.comparisons(whole + seeds_of("entropy", [0, 1]))
    assert found.arms == ("random", "margin")
    assert found.seeds == (0, 1, 2, 3, 4, 5)
    assert found.aside == ("entropy",)
    assert {r.cell.arm for r in found.left_out} == {"entropy"}


def test_arms_without_a_common_seed_are_refused() -> None:
    with pytest.raises(FolderError, match=r"digits: random, margin"):
        compare.comparisons(seeds_of("random", [0, 1]) + seeds_of("margin", [2, 3]))


def test_equal_arms_have_equal_intervals() -> None:
    results = seeds_of("random", [*range(10)]) + seeds_of("margin", [*range(10)])
    twins = [
        replace(r, cell=Cell(r.cell.config, "twin")) for r in results if r.cell.arm == "margin"
    ]
    (c,) = compare.comparisons([*results, *twins])
    rows = {row.arm: row for row in compare.table(c)}
    assert rows["margin"].versus_random == rows["twin"].versus_random


def test_dropout_of_a_method_is_no_licence_for_the_others() -> None:
    def with_dropout(arm: str, dropout: float) -> Result:
        result = made(arm, 0)
        config = resolve({"method": arm, "seed": 0, "network": {"dropout": dropout},
                          "loop": {"initial": 40, "budget": 20, "rounds": 4}})  # fmt: skip
        return replace(result, cell=Cell(config, f"{arm} {dropout}"))

    base = [made("random", 0), made("mc-dropout", 0)]
    assert not audit.one_configuration([*base, with_dropout("random", 0.1)])
    (finding,) = audit.one_configuration([*base, with_dropout("margin", 0.3)])
    assert finding.check == "same configuration"
    assert any("margin-0.3" in cell for cell in finding.cells)


def test_a_damaged_folder_keeps_its_recorded_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid(methods=["random"], seeds=2).cells, "command")
    record = Record(store, ())
    for cell in store.cells:
        attempt(Job(cell, store.folder(cell), None, "cpu", 1), lambda kind, facts: None)
        record.EVERY = 0.0
        record(cell)
    first = store.cells[0]
    (store.folder(first) / "result.json").write_text("{")
    state = collect(store)
    assert len(state.finished) == 2
    assert [d.cell for d in state.damaged] == [first]
    write_report(store)
    assert first.identity in read_results(store.results)


def test_a_configuration_that_was_not_finished_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".{CONFIG}.x7d2").write_text("{")
    assert prepare(tmp_path, resolve({}), machine("cpu", "float32")) == []
    assert (tmp_path / CONFIG).exists()
