"""A compiled network trains as the plain one does; what cannot compile says what is missing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tolerance import assert_rounded, through

from labelgap.check.case import Case, tiny_task
from labelgap.core import compiler, device
from labelgap.core.compiler import LONG, compile_on
from labelgap.core.device import Machine, machine
from labelgap.core.errors import DeviceError, UnknownName
from labelgap.learn.compiled import Compiled
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS
from labelgap.networks.resnet import ResNet
from labelgap.session.claim import machine_facts
from labelgap.session.session import Session

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def network() -> ResNet:
    torch.manual_seed(0)
    return ResNet(1, 3, width=4, blocks=(1, 1))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What reached a compiler that compiles nothing."""
    seen: list[torch.Tensor] = []

    def fake(plain: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        assert options == {"dynamic": False}
        return lambda x: seen.append(x) or plain(x)

    monkeypatch.setattr(torch, "compile", fake)
    return seen


def test_only_training_runs_compiled_and_the_network_is_itself_again(
    compiled: list[torch.Tensor],
) -> None:
    made, x = network(), torch.rand(4, 1, 8, 8)
    keys = list(made.state_dict())
    with Compiled(made):
        made.train()(x)
        assert len(compiled) == 1
        made.eval()(x)
        assert len(compiled) == 1
        assert list(made.state_dict()) == keys
    made.train()(x)
    assert len(compiled) == 1
    assert "forward" not in vars(made)


def test_a_failure_leaves_the_network_itself_too(compiled: list[torch.Tensor]) -> None:
    made = network()
    with pytest.raises(ZeroDivisionError), Compiled(made):
        _ = 1 / 0
    assert "forward" not in vars(made)


def test_a_network_that_cannot_be_compiled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo as dynamo

    def fake(plain: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def fails(x: torch.Tensor) -> Any:
            raise dynamo.exc.TorchDynamoException("no such kernel\nand more")

        return fails

    monkeypatch.setattr(torch, "compile", fake)
    made = network().train()
    with Compiled(made), pytest.raises(DeviceError, match=r"ResNet cannot .*: no such kernel") as e:
        made(torch.rand(4, 1, 8, 8))
    assert "--compile off" in str(e.value)


def case(where: Machine) -> Session:
    config = Case(METHODS["daal"]).config(training={"steps": 12, "batch_size": 8})
    made = Session(tiny_task(), config, machine=where)
    made.tell(Oracle(made.task).answer(made.ask(made.config.loop.initial)))
    return made


def test_a_session_compiles_what_its_machine_says(compiled: list[torch.Tensor]) -> None:
    for wish, reached in (("off", False), ("auto", False), ("on", True)):
        compiled.clear()
        with case(Machine(CPU, "float32", wish)) as made:
            made.fit()
        assert bool(compiled) is reached, wish


def test_auto_compiles_long_trainings() -> None:
    auto = Machine(CUDA, "float32", "auto")
    assert not auto.compiles(LONG - 1)
    assert auto.compiles(LONG)
    assert not Machine(CUDA, "float32").compiles(LONG)
    assert Machine(CPU, "float32", "on").compiles(1)


def test_what_compiles_is_decided_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "what_is_missing", lambda device: None)
    found = {(d.type, w): compile_on(d, w) for d in (CPU, CUDA) for w in compiler.CHOICES}
    assert found == {
        ("cpu", "auto"): "off", ("cpu", "on"): "on", ("cpu", "off"): "off",
        ("cuda", "auto"): "auto", ("cuda", "on"): "on", ("cuda", "off"): "off",
    }  # fmt: skip
    monkeypatch.setattr(compiler, "what_is_missing", lambda device: ("None.", "Get one."))
    assert compile_on(CUDA, "auto") == compile_on(CPU, "off") == "off"
    with pytest.raises(DeviceError, match=r"--compile on: None\. Get one\. Or use `--compile off`"):
        compile_on(CUDA, "on")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(DeviceError, match=r"No C\+\+ compiler .*`--compile off`"):
        machine("cpu", "float32", "on")
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    assert "Triton" in str(compiler.what_is_missing(CUDA))
    monkeypatch.setattr(compiler, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert "this card has 6.1" in str(compiler.what_is_missing(CUDA))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert compiler.what_is_missing(CUDA) is None
    assert compiler.what_is_missing(torch.device("mps")) is not None


def test_another_word_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(UnknownName, match="auto"):
        machine("cpu", "float32", "aut")


def test_a_folder_notes_it_only_where_it_is_on() -> None:
    assert "compile" not in machine_facts(Machine(CPU, "float32"))
    assert machine_facts(Machine(CPU, "float32", "on"))["compile"] == "on"
    assert device.machine("cpu", "float32").compile == "off"


@pytest.mark.slow  # the compiler takes half a minute
def test_compiled_and_plain_agree() -> None:
    plain, fast = network().train(), network().train()
    x = torch.rand(16, 1, 8, 8)
    for step in range(3):
        part = x if step % 2 == 0 else x[:6]
        for made in (plain, fast):
            made.zero_grad()
        one = plain(part)
        one.logits.square().sum().backward()
        with Compiled(fast):
            two = fast(part)
            two.logits.square().sum().backward()
        terms = through(plain)
        assert_rounded(two.logits, one.logits, terms, one.logits.abs().max())
        for (name, a), b in zip(plain.named_parameters(), fast.parameters(), strict=True):
            assert a.grad is not None, name
            assert b.grad is not None, name
            assert_rounded(b.grad, a.grad, 10 * terms, a.grad.abs().max())
    for a, b in zip(plain.buffers(), fast.buffers(), strict=True):
        assert_rounded(b.float(), a.float(), terms, a.float().abs().max(), dtype="float32")
    # A whole session, whose alignment stage has batches of its own.
    with case(Machine(CPU, "float32", "on")) as made:
        made.fit()
        assert len(set(made.ask(7).ids.tolist())) == 7
