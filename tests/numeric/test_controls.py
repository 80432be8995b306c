"""The controls are DAAL's training with the method taken out, and nothing else."""

import pytest
import torch
from sessions import fitted, labelled_session, runner, same, state

from labelgap.core.errors import ConfigError
from labelgap.session.presets import resolve

PLAIN = {"reg": False, "adversarial": 0.0}
"""DAAL whose features feel neither mixture nor critic."""


@pytest.mark.parametrize("batch_norm", ["joint", "separate"])
def test_batch_norm_only_is_daal_without_critic_bit_for_bit(batch_norm: str) -> None:
    control = fitted("batch-norm-only", steps=16, objective={"batch_norm": batch_norm})
    daal = fitted("daal", steps=16, objective={**PLAIN, "batch_norm": batch_norm})
    assert same(state(control), state(daal))


def test_extra_steps_see_the_labelled_batches_of_daal_and_no_others() -> None:
    control = runner(labelled_session("extra-steps"), stage=1)
    daal = runner(labelled_session("daal"), stage=1)
    assert control.stage.steps == daal.stage.steps == 15
    for step in (0, 7, 14):
        ours, theirs = control.batch(step), daal.batch(step)
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.y, theirs.y)
        assert ours.u is None
        assert theirs.u is not None
    assert control.stage.phases[0].optimiser == daal.stage.phases[1].optimiser


def test_controls_differ_from_cross_entropy_and_from_each_other() -> None:
    weights = {
        name: state(fitted(name, steps=16)) for name in ("random", "extra-steps", "batch-norm-only")
    }
    assert not same(weights["random"], weights["extra-steps"])
    assert not same(weights["random"], weights["batch-norm-only"])
    # They differ from each other only through batch-norm: the statistics see the pool.
    name = "stem.1.running_mean"
    assert not torch.equal(weights["extra-steps"][name], weights["batch-norm-only"][name])


@pytest.mark.parametrize("preset", ["smoke", "cpu", "paper"])
@pytest.mark.parametrize("name", ["extra-steps", "batch-norm-only"])
def test_schedule_defaults_are_daals_under_every_preset(name: str, preset: str) -> None:
    daal = resolve({"method": "daal"}, preset=preset).objective
    control = resolve({"method": name}, preset=preset).objective
    assert control
    assert control == {key: daal[key] for key in control}


def test_limits_of_daals_keys_hold() -> None:
    with pytest.raises(ConfigError, match="align_steps"):
        resolve({"method": "extra-steps", "objective": {"align_steps": 0}})
