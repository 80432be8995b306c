"""The tables `mixture` and `critic`: set once, read by both axes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from labelgap.bench.grid.grid import current_config, file_grid
from labelgap.check.case import INITIAL, Case, tiny_task
from labelgap.core.config import RunConfig
from labelgap.core.device import machine
from labelgap.core.errors import ConfigError, UnknownName
from labelgap.core.streams import Streams
from labelgap.loop.oracle import Oracle
from labelgap.loop.round0 import deciding
from labelgap.methods import METHODS
from labelgap.methods.daal import CriticSettings, fit_critic
from labelgap.mixtures.critic import Critic, critic_loss
from labelgap.session.claim import CONFIG, prepare, read_config
from labelgap.session.presets import pair_of, resolve

FREE = {"objective_name": "cross-entropy", "acquisition_name": "daal"}
TRAINED = {"objective_name": "daal", "acquisition_name": "random"}


@pytest.mark.parametrize(
    "pair", [{"method": "daal"}, FREE, TRAINED], ids=["daal", "AS", "training"]
)
@pytest.mark.parametrize("preset", ["smoke", "paper"])
def test_a_key_set_once_reaches_whoever_reads_it(pair: dict[str, str], preset: str) -> None:
    given = {"mixture": {"covariance": "spherical"}, "critic": {"penalty": 3.0}}
    config = resolve({**pair, **given}, preset=preset)
    paper = preset == "paper"
    readers = [
        part.options for part in pair_of(config) if "critic" in type(part.options).model_fields
    ]
    assert len(readers) == (2 if "method" in pair else 1)
    for options in readers:
        assert options.mixture.covariance == "spherical"
        assert options.critic.penalty == 3.0
        # What is not given is the preset's.
        assert options.mixture.average == ("parameters" if paper else "statistics")
        assert (options.critic.width, options.critic.sigmoid) == (
            (512, True) if paper else (256, False)
        )
    resolved = config.model_dump(include={"objective", "acquisition", "mixture", "critic"})
    assert resolve({**pair, **resolved}, preset=preset) == config


def test_both_mixtures_are_spherical_in_training_and_in_the_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Case(METHODS["daal"]).fitted(mixture={"covariance": "spherical"})
    for name in ("psi_labelled", "psi_unlabelled"):
        assert session.training.modules[name].mixture.covariance == "spherical"
    seen: list[str] = []
    fit_both = type(session.acquisition.options.mixture).fit_both

    def watched(self: Any, *args: Any) -> Any:
        found = fit_both(self, *args)
        seen.extend(psi.covariance for psi in found)
        return found

    monkeypatch.setattr(type(session.acquisition.options.mixture), "fit_both", watched)
    session.ask(5)
    assert seen == ["spherical", "spherical"]


def test_a_pair_that_reads_neither_table_has_none() -> None:
    assert not {"mixture", "critic"} & resolve({"method": "random"}).model_dump(mode="json").keys()
    with pytest.raises(ConfigError, match=r"mixture = .*cross-entropy.*random.*acquisition daal"):
        resolve({"method": "random", "mixture": {"covariance": "spherical"}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"objective": {"covariance": "spherical"}},
            "'covariance' of objective is now 'mixture.cov",
        ),
        ({"acquisition": {"critic_lr": 1e-3}}, "'critic_lr' of acquisition is now 'critic.lr'"),
        ({"objective": {"mixture": {"floor": 0.1}}}, r"objective.mixture = .*one table of the run"),
        ({"mixture": {"covariance": "round"}}, "mixture.covariance = 'round'"),
        ({"mixture": 3}, "mixture = 3: a table of keys"),
    ],
)
def test_what_is_written_elsewhere_or_wrongly_is_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve({"method": "daal", **values})
    with pytest.raises(UnknownName, match=r"'covarianc' in mixture.*'covariance'"):
        resolve({"method": "daal", "mixture": {"covarianc": "spherical"}})


def before(objective: dict[str, Any], acquisition: dict[str, Any]) -> dict[str, Any]:
    """DAAL's configuration as it was stored when each axis had the keys for itself."""
    tree = resolve({"method": "daal"}).model_dump(mode="json")
    mixture, critic = tree.pop("mixture"), tree.pop("critic")
    flat = {
        **mixture,
        **{k: v for k, v in critic.items() if k not in ("width", "lr", "penalty_over")},
    }
    flat |= {"critic_width": critic["width"], "critic_lr": critic["lr"]}
    tree["objective"] |= {**flat, "penalty_over": critic["penalty_over"], **objective}
    tree["acquisition"] |= {**flat, **acquisition}
    return tree


def test_a_stored_result_of_before_is_that_of_todays_configuration() -> None:
    both = {"covariance": "spherical", "critic_lr": 1e-3}
    today = {"mixture": {"covariance": "spherical"}, "critic": {"lr": 1e-3}}
    assert current_config(before(both, both), "results") == resolve({"method": "daal", **today})
    # Two values for what is one key now: taken as it was stored.
    odd = before({"average": "parameters"}, {})
    assert current_config(odd, "results") == RunConfig(**odd)


def test_a_folder_of_before_is_told_what_its_keys_are_now(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(json.dumps({"config": before({}, {})}))
    (tmp_path / "ledger.db").touch()
    message = rf"'average' of objective in {tmp_path} is now 'mixture.average'"
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match=message):
        prepare(tmp_path, resolve({"method": "daal"}), machine("cpu", "float32"))


def test_tables_that_only_the_query_reads_do_not_divide_the_first_round() -> None:
    plain = resolve({**FREE, "acquisition_name": "random"})
    assert deciding(resolve({**FREE, "critic": {"lr": 1e-3}})) == deciding(plain)
    trained = [deciding(resolve({**TRAINED, "critic": {"lr": lr}})) for lr in (1e-3, 2e-3)]
    assert trained[0] != trained[1]


def test_the_querys_critic_takes_the_steps_of_the_alignment_stages() -> None:
    """By hand: Adam at `lr`, a tenth of it from 80 % of the steps on, on `critic_loss`."""
    rng = Streams(3).torch("inputs")
    labelled, unlabelled = torch.randn(40, 5, generator=rng), torch.randn(60, 5, generator=rng) + 1
    settings = CriticSettings(lr=0.02, penalty=2.0, penalty_over="features")

    def critic() -> Critic:
        with Streams(3).scope("critic"):
            return Critic(5, 8, sigmoid=False)

    found = fit_critic(
        critic(), labelled, unlabelled, settings, steps=10, batch=16, features=3,
        rng=Streams(3).numpy("batches"),
    )  # fmt: skip
    mine, draws = critic(), Streams(3).numpy("batches")
    adam = torch.optim.Adam(mine.parameters(), lr=0.02)
    for step in range(10):
        adam.param_groups[0]["lr"] = 0.02 if step < 8 else 0.002
        h_l = labelled[torch.from_numpy(draws.integers(0, 40, 16))]
        h_u = unlabelled[torch.from_numpy(draws.integers(0, 60, 16))]
        adam.zero_grad()
        critic_loss(mine, h_l, h_u, 2.0, draws, columns=3).backward()
        adam.step()
    with torch.no_grad():
        torch.testing.assert_close(found, mine(unlabelled))


def test_the_querys_own_critic_obeys_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve(
        {
            **FREE, "critic": {"width": 7, "penalty_over": "features"},
            "acquisition": {"critic_steps": 2}, "network": {"width": 4, "blocks": [1, 1]},
            "training": {"steps": 4, "batch_size": 8}, "loop": {"initial": INITIAL},
            "precision": "float32",
        }
    )  # fmt: skip
    from labelgap.methods.daal import settings
    from labelgap.session.session import Session

    seen: list[tuple[int, object]] = []
    loss = settings.critic_loss

    def watched(
        critic: nn.Module, h_l: Any, h_u: Any, penalty: float, rng: Any, columns: Any
    ) -> Any:
        seen.append((critic.layers[0].out_features, columns))
        return loss(critic, h_l, h_u, penalty, rng, columns)

    monkeypatch.setattr(settings, "critic_loss", watched)
    task = tiny_task()
    with Session(task, config, machine=machine("cpu", "float32")) as session:
        session.tell(Oracle(task).answer(session.ask(INITIAL)))
        session.fit()
        session.ask(5)
        assert seen == [(7, session.training.network.feature_dim)] * 2


def test_an_arm_of_a_grid_sets_a_table(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(
        'methods = ["random", {name = "spherical", method = "daal", '
        'mixture = {covariance = "spherical"}}]\n'
        'objectives = [{name = "z alone", objective = "daal", critic = {statistics = false}}]\n'
    )
    arms = {cell.arm: cell.config for cell in file_grid(file).cells}
    assert arms["spherical"].mixture["covariance"] == "spherical"
    assert arms["z alone + random"].critic["statistics"] is False
    file.write_text(file.read_text().replace("mixture = {covariance", "objective = {covariance"))
    with pytest.raises(ConfigError, match=r"grid.toml, line 1: .*now 'mixture.covariance'"):
        file_grid(file)
