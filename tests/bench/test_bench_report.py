"""Comparisons, tables, figures and the page of an audited benchmark."""

import base64
import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from bench_small import made
from scipy import stats

from labelgap.bench.evidence import across, compare
from labelgap.bench.evidence.audit import AuditError
from labelgap.bench.evidence.results import Result, read_results, result_of, write_results
from labelgap.bench.grid.grid import Cell
from labelgap.bench.grid.store import Store
from labelgap.bench.report import figures, part, tables
from labelgap.bench.report.conclusion import conclusion
from labelgap.bench.report.write import PAGE, TEXT, _is_made, write_report
from labelgap.core.errors import FolderError
from labelgap.report import style
from labelgap.report.style import LIGHT
from labelgap.session.presets import resolve

GAINS = {"random": 0.0, "margin": 0.05, "daal": 0.03}


def results(seeds: int = 3, **values: float) -> list[Result]:
    return [made(arm, s, gain=g, **values) for arm, g in GAINS.items() for s in range(seeds)]


def stored(root: Path, found: list[Result]) -> Store:
    store = Store(root)
    store.add(tuple(r.cell for r in found), "labelgap bench --preset smoke")
    write_results(store.results, found)
    return store


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def test_differences_are_paired_by_seed_and_corrected() -> None:
    found = results()
    (c,) = compare.comparisons(found)
    assert c.arms == tuple(GAINS)
    assert c.seeds == (0, 1, 2)
    rows = compare.table(c)
    by_arm = {
        arm: [next(r.aubc for r in found if r.cell.arm == arm and r.cell.config.seed == s)
              for s in c.seeds]
        for arm in GAINS
    }  # fmt: skip
    tests = [stats.ttest_rel(by_arm[arm], by_arm["random"]) for arm in ("margin", "daal")]
    assert rows[0].versus_random is None
    for row, test in zip(rows[1:], tests, strict=True):
        assert row.versus_random is not None
        assert row.versus_random.p == pytest.approx(test.pvalue)
    small, large = sorted(t.pvalue for t in tests)
    assert sorted(r.p_holm for r in rows[1:]) == pytest.approx([2 * small, max(2 * small, large)])
    assert [c.kind(m) for m in range(3)] == ["reference", "query", "both"]
    assert rows[0].win_tie_loss.keys() == {"margin"}
    assert all(sum(duel) == 5 for row in rows for duel in row.win_tie_loss.values())


def test_seeds_that_some_arm_lacks_are_left_out_and_named() -> None:
    found = [*results(), made("random", 7)]
    (c,) = compare.comparisons(found)
    assert c.seeds == (0, 1, 2)
    assert [r.cell.config.seed for r in c.left_out] == [7]


def test_imbalanced_settings_are_judged_by_balanced_accuracy() -> None:
    (c,) = compare.comparisons(results(imbalance=10))
    assert np.array_equal(c.main, c.balanced)
    row = compare.table(c)[0]
    assert row.minority_recall is not None
    assert row.minority_recall.mean == pytest.approx(c.main[0, :, -1].mean() - 0.05)
    assert "minority recall" in tables.readable(c, compare.table(c))[1][1]
    assert c.name == "digits, imbalance 10"


def test_penalties_and_ranks_take_the_arms_that_all_settings_share() -> None:
    found = [*results(), *(r for r in results(data="fashion-mnist") if r.cell.arm != "daal")]
    compared = compare.comparisons(found)
    penalties = across.penalties(compared)
    assert penalties is not None
    assert penalties.arms == ("random", "margin")
    assert len(penalties.settings) == 2
    assert penalties.matrix[1, 0] > penalties.matrix[0, 1]
    ranks = across.ranks(compared)
    assert ranks is not None
    assert ranks.ranks.tolist() == [2, 1]
    assert ranks.difference is None  # two data sets are too few for a diagram
    assert across.ranks(compared[:1]) is None


def test_every_mean_is_within_its_panel() -> None:
    """The panels share their axes: what the first one shows must not cut off the last one."""
    arms = {"random": 0.0, **{f"arm {k}": 0.02 * k for k in range(7)}, "low": -0.45}
    found = [made(arm, s, method="random" if arm == "random" else "margin", gain=g)
             for arm, g in arms.items() for s in (0, 1)]  # fmt: skip
    (c,) = compare.comparisons(found)
    assert len(c.arms) > figures.MOST_TOGETHER
    means = c.main.mean(axis=1)
    for axes in figures.curves(c, c.main, "accuracy", LIGHT).axes:
        low, high = axes.get_ylim()
        assert low <= means.min()
        assert means.max() <= high


def test_the_minority_figure_says_what_the_table_says() -> None:
    arms = ["random", *(f"arm {k}" for k in range(7))]
    found = [made(arm, s, method="random" if arm == "random" else "margin", imbalance=10)
             for arm in arms for s in (0, 1)]  # fmt: skip
    (c,) = compare.comparisons(found)
    rows = compare.table(c)
    written = [t.get_text() for axes in figures.minority(c, rows, LIGHT).axes for t in axes.texts]
    for row in rows[1:]:
        assert row.minority_share is not None
        assert f"of all queries {100 * row.minority_share.mean:.1f} %" in written


def test_a_report_beside_a_running_benchmark_leaves_its_results_alone(tmp_path: Path) -> None:
    store = stored(tmp_path / "bench", results(seeds=1))
    changed = store.results.stat().st_mtime_ns
    lock = store.lock()
    write_report(store)
    assert store.results.stat().st_mtime_ns == changed
    lock.release()
    write_report(store)
    assert store.results.stat().st_mtime_ns > changed


def test_the_report_is_whole_and_its_numbers_lead_to_commands(tmp_path: Path) -> None:
    store = stored(tmp_path / "bench", results(imbalance=10))
    page = write_report(store)
    folder = page.parent
    html = page.read_text()
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "labelgap bench --preset smoke" in html
    for name in ("curves", "minority", "differences", "time"):
        for form in ("png", "svg"):
            assert (folder / f"digits-imbalance-10-{name}.{form}").stat().st_size > 1000
    assert (folder / "penalties.svg").exists()
    summary = {row["arm"]: row for row in rows_of(folder / "summary.csv")}
    cells = rows_of(folder / "cells.csv")
    margin = [float(r["aubc"]) for r in cells if r["cells"] == summary["margin"]["cells"]]
    assert len(margin) == int(summary["margin"]["seeds"]) == 3
    assert all("labelgap run --dataset digits" in r["command"] for r in cells)
    assert all(r["command"].endswith(" --threads 1") for r in cells)
    rounds = rows_of(folder / "rounds.csv")
    assert len(rounds) == 3 * 5
    text = (folder / "report.md").read_text()
    assert (
        tables.spread(compare.table(compare.comparisons(results(imbalance=10))[0])[1].aubc) in text
    )
    assert "penalties.png" in text


@pytest.mark.parametrize("imbalance", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_the_summary_is_the_mean_of_the_cells_that_it_names(tmp_path: Path, imbalance: int) -> None:
    alone = made("random", 7, imbalance=imbalance)  # a seed that pairs with nothing
    store = stored(tmp_path / "bench", [*results(imbalance=imbalance), alone])
    html = write_report(store).read_text()
    cells = rows_of(store.root / "report" / "cells.csv")
    judged = "accuracy" if imbalance == 1 else "balanced accuracy"
    assert {row["judged by"] for row in cells} == {judged}
    for row in rows_of(store.root / "report" / "summary.csv"):
        areas = [float(r["aubc"]) for r in cells if r["cells"] == row["cells"]]
        assert row["judged by"] == judged
        assert len(areas) == 3
        assert np.mean(areas) == pytest.approx(float(row["aubc mean"]), abs=1e-12)
        assert all(f"{area:.4f}" in html for area in areas)
    (last,) = (float(r["aubc"]) for r in cells if r["seed"] == "7")
    assert last == pytest.approx(alone.aubc - (0 if imbalance == 1 else 0.05), abs=1e-12)


@pytest.mark.slow
def test_a_report_takes_away_its_own_former_files_and_nobody_elses(tmp_path: Path) -> None:
    store = stored(tmp_path / "bench", results())
    folder = write_report(store).parent
    written = {file.name for file in folder.iterdir()}
    assert all(_is_made(file) for file in folder.iterdir() if file.name not in (PAGE, TEXT))
    former = {"rounds-imbalanced.csv", "ranks.svg", "svhn-curves.png", "svhn-one-change.svg"}
    own = {"notes.csv", "for-the-talk.png", "digits-curves-edited.svg", "my-contrasts.csv"}
    for name in former | own:
        (folder / name).write_text("")
    write_report(store)
    assert {file.name for file in folder.iterdir()} == written | own


def test_one_seed_gives_figures_and_says_that_there_are_no_tests(tmp_path: Path) -> None:
    store = stored(tmp_path / "bench", results(seeds=1))
    html = write_report(store).read_text()
    assert "one seed, so no interval and no test" in html
    (row, *_) = rows_of(store.root / "report" / "summary.csv")
    assert row["aubc low"] == ""
    assert row["aubc mean"] != ""
    assert not (store.root / "report" / "penalties.png").exists()


@pytest.mark.slow
def test_an_embedding_drawn_elsewhere_stays_on_the_page(tmp_path: Path) -> None:
    """Its features are not committed; the picture is."""
    store = stored(tmp_path, results(1))
    picture = tmp_path / "report" / "digits-embedding.png"
    looks = b"\x89PNG of another machine"
    picture.parent.mkdir()
    picture.write_bytes(looks)
    page = write_report(store).read_text()
    assert base64.b64encode(looks).decode() in page
    assert picture.read_bytes() == looks
    text = tmp_path / "report" / "report.md"
    written = text.read_text()
    assert "](digits-embedding.png)\n\nDrawn where these cells ran." in written
    there = written.replace("Drawn where these cells ran.", "Last round of a cell.")
    text.write_text(there.replace("![t-SNE", "![Mine, t-SNE"))
    assert "Last round of a cell." in write_report(store).read_text()
    assert text.read_text() == there.replace("![t-SNE", "![Mine, t-SNE")


def test_the_text_shows_no_picture_that_is_not_committed(tmp_path: Path) -> None:
    """A clone has the text alone until `labelgap report` draws."""
    text = (write_report(stored(tmp_path, results())).parent / "report.md").read_text()
    assert "![" not in text
    assert "`digits-curves.png`: " in text
    assert "`labelgap report` on the folder above this one" in text


def test_a_failed_audit_leaves_no_report(tmp_path: Path) -> None:
    found = results()
    found[4] = replace(found[4], recorded={**found[4].recorded, "queried_distinct": 3})
    store = stored(tmp_path / "bench", found)
    with pytest.raises(AuditError, match=found[4].cell.folder):
        write_report(store)
    assert not (store.root / "report").exists()


def test_unfinished_cells_are_named_and_an_empty_benchmark_is_refused(tmp_path: Path) -> None:
    found = results()
    store = stored(tmp_path / "bench", found)
    write_results(store.results, found[:-1])
    write_report(store)
    text = (store.root / "report" / "report.md").read_text()
    assert "Not finished and in no number, 1 of 9 cells" in text
    assert found[-1].cell.folder in text
    store.results.unlink()
    with pytest.raises(FolderError, match="no finished cell"):
        write_report(store)


def test_many_arms_get_a_panel_each_and_six_data_sets_a_diagram() -> None:
    arms = ["random", "margin", "badge", "entropy", "coreset", "bald", "cdal", "daal"]
    found = [made(arm, s, gain=0.01 * k) for k, arm in enumerate(arms) for s in range(2)]
    (c,) = compare.comparisons(found)
    with style.context(LIGHT):
        figure = figures.curves(c, c.main, "accuracy", LIGHT)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == len(arms) - 1
    assert shown[0].get_title(loc="left") == "daal"
    ranks = across.Ranks(("a", "b", "c"), np.array([1.2, 1.9, 2.9]), 6, 0.01, 1.0)
    with style.context(LIGHT):
        assert figures.critical_difference(ranks, LIGHT).axes


def test_numbers_for_readers() -> None:
    row = compare.table(compare.comparisons(results())[0])[1]
    assert tables.whole(float("nan")) == tables.DASH == tables.spread(None)
    assert tables.probability(0.00001) == "< 0.001"
    assert tables.difference(row).startswith("+")
    assert math.isfinite(row.labels_saved.value)
    assert tables.markdown(["a", "b"], [["x|y", "1"]]).splitlines()[-1] == "| x/y | 1 |"


def test_the_report_names_every_state_of_the_code_that_computed(tmp_path: Path) -> None:
    first, *rest = results()
    changed = [replace(r, machine={**r.machine, "source": "0a1b2c"}) for r in rest]
    store = stored(tmp_path, [first, *changed])
    write_report(store)  # a comment changes a state: no reason to refuse the cells
    said = (store.root / "report" / TEXT).read_text()
    assert f"state of labelgap's code: 0a1b2c ({len(rest)}), not recorded (1)." in said


def test_the_line_under_the_title_takes_no_width_from_the_axes() -> None:
    (c,) = compare.comparisons(results(imbalance=10))
    with style.context(LIGHT):
        figure = figures.curves(c, c.balanced, "balanced test accuracy", LIGHT)
        figure.savefig(io.BytesIO(), format="png")
    assert figure.axes[0].get_position().width > 0.75


def test_what_is_not_the_papers_under_its_preset_is_said_once(tmp_path: Path) -> None:
    def under(preset: str) -> str:
        found = []
        for r in [made(arm, seed) for arm in ("random", "daal") for seed in range(2)]:
            loop = r.cell.config.loop.model_dump(include={"initial", "budget", "rounds"})
            values = {"method": r.cell.arm, "seed": r.cell.config.seed, "loop": loop}
            found.append(replace(r, cell=Cell(resolve(values, preset=preset), r.cell.arm)))
        write_report(stored(tmp_path / preset, found))
        return (tmp_path / preset / "report" / TEXT).read_text()

    text = under("paper")
    assert text.count("Not the paper's numbers: mixture.temperature is 0, the paper's is 1") == 1
    assert "Not the paper's numbers" not in under("smoke")


def natural(found: Result, counts: list[int]) -> Result:
    return replace(found, pool_counts=np.array(counts))


def test_a_naturally_imbalanced_pool_is_judged_by_balanced_accuracy_too() -> None:
    counts = [300, 90, *[200] * 8]
    arms = [made(arm, s) for arm in ("random", "margin") for s in (0, 1)]
    (c,) = compare.comparisons([natural(r, counts) for r in arms])
    assert c.imbalanced
    assert c.name == "digits"  # nothing was simulated
    assert c.minority.tolist() == [1]
    assert c.minority_of_pool == pytest.approx(90 / sum(counts))
    np.testing.assert_array_equal(c.main, c.balanced)
    headers = [h for _, headers, _ in tables.readable(c, compare.table(c)) for h in headers]
    assert "plain accuracy" in headers
    (even,) = compare.comparisons([natural(r, [200] * 10) for r in arms])
    assert not even.imbalanced
    (unknown,) = compare.comparisons([natural(arms[0], counts), *arms[1:]])
    assert not unknown.imbalanced  # an older result: nothing is guessed


def test_results_keep_the_pools_counts_and_older_files_are_read(tmp_path: Path) -> None:
    one, file = natural(made("random", 0), list(range(10))), tmp_path / "results.parquet"
    write_results(file, [one])
    rows = read_results(file)[one.cell.identity]
    np.testing.assert_array_equal(result_of(one.cell, rows).pool_counts, np.arange(10))
    write_results(file, [made("random", 0)])
    older = pq.read_table(file).drop_columns(["pool_class_counts"])
    pq.write_table(older, file)
    rows = read_results(file)[one.cell.identity]
    assert result_of(one.cell, rows).pool_counts is None


def test_six_settings_of_one_data_set_get_a_diagram_that_says_what_it_is() -> None:
    found = [
        made(arm, s, variant=f"v{k}", gain=g, method="random" if arm == "random" else "margin")
        for k in range(6)
        for arm, g in (("random", 0.0), ("b", 0.02), ("c", 0.05))
        for s in (0, 1)
    ]
    compared = compare.comparisons(found)
    ranks = across.ranks_of_settings(compared)
    assert ranks is not None
    assert (ranks.settings, ranks.data_sets) == (6, 1)
    assert ranks.arms[int(np.argmin(ranks.ranks))] == "c"
    assert across.ranks_of_settings(compared[:5]) is None
    (shown,) = [s for s in part.shown_across(compared) if s.name == "ranks-of-settings"]
    assert "are not independent" in shown.caption
    written = [t.get_text() for axes in shown.draw(LIGHT).axes for t in axes.texts]
    assert any("6 settings of 1 data set" in text for text in written)


def test_the_conclusion_names_what_differs_from_random() -> None:
    found = [made(arm, s, gain=g, method="random" if arm == "random" else "margin")
             for arm, g in (("random", 0.0), ("good", 0.1), ("bad", -0.1), ("same", 0.0))
             for s in range(5)]  # fmt: skip
    (c,) = compare.comparisons(found)
    said = conclusion(c, compare.table(c))
    assert said.startswith("good is highest, AUBC ")
    assert "better than random (Holm p < 0.05): good; worse: bad" in said
    assert said.endswith("no difference found for 1 other arm, of 5 seeds.")


def test_the_upper_line_is_shown_and_counts_in_no_test_and_no_rank() -> None:
    arms = (("random", 0.0), ("good", 0.1), ("same", 0.0))
    method = {"random": "random", "good": "margin", "same": "margin"}
    found = [
        made(arm, s, gain=g, method=method[arm], data=data)
        for data in ("digits", "svhn")
        for arm, g in arms
        for s in range(5)
    ]
    bound = [made("oracle", s, gain=0.3, data=d) for d in ("digits", "svhn") for s in range(5)]
    without, with_ = (compare.comparisons(some) for some in (found, found + bound))
    plain = {row.arm: row for row in compare.table(without[0])}
    rows = {row.arm: row for row in compare.table(with_[0])}
    assert rows["oracle"].upper
    assert rows["oracle"].versus_random is not None
    assert np.isnan(rows["oracle"].p_holm)
    assert {arm: row.p_holm for arm, row in rows.items() if arm in ("good", "same")} == {
        arm: row.p_holm for arm, row in plain.items() if arm in ("good", "same")
    }
    said = conclusion(with_[0], list(rows.values()))
    assert said.startswith("good is highest")
    assert "(oracle: " in said
    ranked, matrix = across.ranks(with_), across.penalties(with_)
    assert ranked is not None
    assert matrix is not None
    assert "oracle" not in (*ranked.arms, *matrix.arms)
