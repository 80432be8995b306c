"""The preset `paper` says in which numbers it is not the paper's, and why."""

from pathlib import Path

import pytest
from console import call

from labelgap.session.presets import departing, departures, resolve

SWITCH = ["--set", "mixture.temperature=1", "--set", "objective.reg_start=0"]
SMALL = ["--preset", "paper", "--steps", "2", "--rounds", "0", "--initial", "20", "--threads", "1",
         "--device", "cpu", "--set", "network.width=4", "--set", "network.blocks=[1]",
         "--set", "objective.align=false"]  # fmt: skip


def test_departures_are_two_keys_of_daal_under_this_preset_alone() -> None:
    def found(preset: str = "paper", **values: object) -> list[str]:
        config = resolve(values, preset=preset).model_dump(mode="json")
        return [d.key for d in departures(config)]

    assert found() == ["mixture.temperature", "objective.reg_start"]
    assert found(mixture={"temperature": 1}) == ["objective.reg_start"]
    assert found(mixture={"temperature": 1}, objective={"reg_start": 0}) == []
    assert found(method="random") == []
    assert found("smoke") == []
    assert departing(resolve({}).model_dump(mode="json")) is None


@pytest.mark.slow
def test_help_the_first_lines_and_the_page_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, text = call(capsys, "run", "--help")
    assert "but for mixture.temperature and objective.reg_start of daal" in text
    _, text = call(capsys, "config", "--preset", "paper")
    assert "the paper's own value is 1: 0 stands for d" in text
    status, text = call(capsys, "run", "--out", str(tmp_path / "ours"), *SMALL)
    assert status == 0, text
    before, _, _ = text.partition("round 0")
    assert "Not the paper's numbers: mixture.temperature is 0, the paper's is 1" in before
    assert "objective.reg_start is 0.25, the paper's is 0" in before
    assert f"`{' '.join(SWITCH)}` takes the paper's" in before
    page = (tmp_path / "ours" / "report.html").read_text()
    assert "objective.reg_start is 0.25, the paper" in page


def test_the_papers_values_are_a_switch_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = call(capsys, "run", "--out", str(tmp_path), *SMALL, *SWITCH)
    assert status == 0, text
    assert "Not the paper's numbers" not in text
    assert "Not the paper" not in (tmp_path / "report.html").read_text()
