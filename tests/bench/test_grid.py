"""Grids: cells, identities, and errors that name the line."""

from pathlib import Path

import pytest

from labelgap.bench.grid.grid import Grid, file_grid, preset_grid, presets
from labelgap.core.errors import ConfigError, LabelgapError, UnknownName
from labelgap.methods import METHODS
from labelgap.session.presets import pair_of


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return path


def grid(tmp_path: Path, text: str) -> Grid:
    return file_grid(written(tmp_path, text))


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_is_a_grid_of_distinct_cells_whose_pairs_exist(name: str) -> None:
    made = preset_grid(name)
    assert len({cell.identity for cell in made.cells}) == len(made.cells) > 0
    assert len({cell.folder for cell in made.cells}) == len(made.cells)
    for cell in made.cells:
        pair_of(cell.config)


def test_the_ablation_is_the_two_rows_through_plain_cross_entropy_with_random() -> None:
    assert set(METHODS) <= {cell.arm for cell in preset_grid("digits", {"seeds": 1}).cells}
    arms = {cell.arm for cell in preset_grid("ablation").cells}
    # 10 objectives with random, 7 acquisitions on cross-entropy, one pair in both, and the method.
    assert len(arms) == 10 + 7 - 1 + 1
    full = preset_grid("ablation", {"cross": "full", "seeds": 1})
    assert len(full.cells) == 10 * 7  # the method is one of the pairs


def test_the_cells_are_the_product_and_later_settings_win(tmp_path: Path) -> None:
    made = grid(
        tmp_path,
        """
        base = "cpu"
        datasets = ["digits", {name = "fashion-mnist", settings = {loop = {budget = 7}}}]
        methods = ["random", "cross-entropy+margin",
                   {name = "no DA", method = "daal", objective = {align = false}}]
        seeds = [3, 5]
        variants = [{name = "a"}, {name = "b", settings = {loop = {rounds = 2}}}]
        [settings]
        loop = {budget = 11, rounds = 4}
        """,
    )
    assert len(made.cells) == 2 * 2 * 3 * 2
    loops = {
        (c.config.data.name, c.variant, c.config.loop.budget, c.config.loop.rounds)
        for c in made.cells
    }
    assert loops == {
        ("digits", "a", 11, 4), ("digits", "b", 11, 2),
        ("fashion-mnist", "a", 7, 4), ("fashion-mnist", "b", 7, 2),
    }  # fmt: skip
    assert {c.config.seed for c in made.cells} == {3, 5}
    no_da = next(c for c in made.cells if c.arm == "no DA")
    assert no_da.config.objective["align"] is False
    assert no_da.config.method == "daal"


WRONG = [
    ('methods = ["random",\n"marginn"]', "line 2", "Did you mean 'margin'"),
    ('methods = ["random"]\ndatasets = ["digitz"]', "line 2", "Did you mean 'digits'"),
    ('methods = ["random"]\nseedz = 2', "line 2", "Did you mean 'seeds'"),
    ('methods = ["random"]\n\n[settings]\nlop = {budget = 3}', "line 4", "Did you mean 'loop'"),
    (
        'methods = ["random"]\n[settings]\nloop = {rounds = 1}\ntraining = {stepz = 3}',
        "line 4", "Did you mean 'steps'",
    ),
    ('methods = ["random"]\n[settings.loop]\nbudget = 0', "line 3", "budget = 0"),
    ('methods = ["cross-entropy+entropi"]', "line 1", "Did you mean 'entropy'"),
    ('methods = ["random", "random"]', "grid.toml", "Two arms"),
    ('methods = ["random", "cross-entropy+random"]', "grid.toml", "one identity"),
    ('methods = ["random"]\nseeds = [1, 1]', "grid.toml", "one identity"),
    ('methods = ["random"]\nseeds = 0', "line 2", "seeds = 0"),
    ('methods = ["random"]\nbase = "cup"', "line 2", "Did you mean 'cpu'"),
    ('methods = [{name = "x", acquisitionn = {}}]', "line 1", "Did you mean 'acquisition'"),
    ('methods = ["random"\nseeds = 2', "line", "Correct the file"),
    ("seeds = 2", "grid.toml", "no methods"),
    ('methods = "random"', "line 1", "a list with at least one entry"),
    ('methods = ["random"]\nsettings = 3', "line 2", "a table is needed"),
    ('methods = ["random"]\nvariants = [\n{name = "a", settings = 3}]', "line 3", "a table"),
    ('methods = ["random"]\n[settings]\nloop = 3', "line 3", "a table of keys"),
    ('methods = [\n{name = "x", method = "daal", objective = 3}]', "line 2", "a table"),
    ('methods = ["random"]\nbase = ["cpu"]', "grid.toml", "Unknown preset"),
    ('methods = ["random"]\ndatasets = [""]', "grid.toml", "Unknown data set"),
    ('methods = ["random"]\ncross = "ful"', "line 2", "Did you mean 'full'"),
    ('methods = ["random"]\n[settings]\nprecision = "float33"', "line 3", "float33"),
    ('methods = ["random"]\n[settings]\nseed = 3', "line 3", "arms and seeds decide"),
    ('methods = ["random"]\n[settings.data]\nname = "svhn"', "line 3", "Use `datasets`"),
    (
        'methods = ["random"]\n[settings]\nnetwork = {name = "resnt"}', "line 3",
        "Did you mean 'resnet'",
    ),
    (
        'methods = ["margin",\n{name = "x", method = "margin", acquisition = {margin = 1}}]',
        "line 2", "Unknown key 'margin'",
    ),
    (
        'methods = ["random"]\n[settings.loop]\nrounds = 3\n[settings.training]\nrounds = 3',
        "line 5", "Unknown key 'rounds'",
    ),
    ('methods = [{name = "a # b", acquisitionn = {}}]', "line 1", "Did you mean 'acquisition'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "said"), WRONG)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, place: str, said: str
) -> None:
    with pytest.raises(LabelgapError) as caught:
        grid(tmp_path, text)
    assert place in str(caught.value)
    assert said in str(caught.value)


def test_unknown_presets_name_the_nearest_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'smoke'"):
        preset_grid("smok")
    with pytest.raises(ConfigError, match="cannot be read"):
        file_grid(tmp_path / "none.toml")


def test_a_data_set_may_have_variants_and_seeds_of_its_own(tmp_path: Path) -> None:
    text = """
        methods = ["random"]
        seeds = 2
        variants = [{name = "few", settings = {loop = {rounds = 2}}}, {name = "many"}]
        [[datasets]]
        name = "digits"
        [[datasets]]
        name = "fashion-mnist"
        seeds = [1]
        variants = [{name = "thin", settings = {data = {imbalance = 10}}}]
        """
    made = grid(tmp_path, text)
    assert [(c.config.data.name, c.variant, c.config.seed, c.config.data.imbalance)
            for c in made.cells] == [
        ("digits", "few", 0, 1), ("digits", "few", 1, 1),
        ("digits", "many", 0, 1), ("digits", "many", 1, 1),
        ("fashion-mnist", "thin", 1, 10),
    ]  # fmt: skip
    flag = file_grid(tmp_path / "grid.toml", {"seeds": 3})
    assert [c.config.seed for c in flag.cells] == [0, 1, 2] * 3


def test_flags_replace_the_arms_of_a_preset() -> None:
    made = preset_grid("ablation", {"methods": ["random"], "seeds": 1, "datasets": ["digits"]})
    assert [c.arm for c in made.cells] == ["random"]
