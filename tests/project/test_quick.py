"""Mistakes are refused at once: before torch is imported, and before hours of labelling."""

import json
import subprocess
import sys

import pytest
from small_project import CLASSES, make_images

from labelgap.core import names
from labelgap.core.errors import BudgetError, ConfigError, DeviceError, UnknownName
from labelgap.methods import METHODS
from labelgap.project.asking.ready import need_labels
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.settings import HOME

# what is typed in a project without a label -> what is said
REFUSED = {
    "ask 0": "greater than or equal to 1",
    "ask 5 --method nope": "Unknown method 'nope'",
    "ask 5 --device nope": "--device 'nope' is not a device",
    "predict --device nope": "no trained network yet",
    "predict --out x.txt": "Unknown format 'txt'",
    "predict": "no trained network yet",
    "train": "nothing to train on: no image has a label",
    "train --device nope": "nothing to train on",
    "export --format model": "no trained network yet",
    "export --format onnx": "no trained network yet",
    "export --out x.txt": "Unknown format 'txt'",
    "init NOTHERE": "NOTHERE is not a folder",
    "init . --method nope": "Unknown method 'nope'",
    "init . --network foo": "Unknown network 'foo'",
    "init . --network small --weights hub": "takes no weights",
    "label . --project .": "Leave one of them out",
    "label --classes a,b": "Say which: `labelgap label PHOTOS",
    "label NOTHERE --classes a,b": "NOTHERE is not a folder",
    "label . --classes a,b": "has a project already, with the classes red, green, blue",
    "init . --classes red,green,blue --holdout 0.5": "has holdout 0.2",
}

SCRIPT = """
import contextlib, io, json, sys
from labelgap.cli import main

said = {}
for words in json.loads(sys.argv[1]):
    sys.argv, out, status = ["labelgap", *words.split()], io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main()
        except SystemExit as stop:
            status = stop.code
    said[words] = [status, " ".join(out.getvalue().split()), "torch" in sys.modules]
print(json.dumps(said))
"""


def test_refusals_do_not_wait_for_torch(folder):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(list(REFUSED))],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert {words: torch for words, (_, _, torch) in said.items() if torch} == {}
    for words, (status, text, _) in said.items():
        assert status == 2, (words, text)
        assert REFUSED[words] in text, (words, text)


def test_beginning_a_project_does_not_wait_for_torch(tmp_path):
    make_images(tmp_path, 3)
    commands = ["init . --classes a,b --network small", "add", "export"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for words, (status, text, torch) in json.loads(done.stdout).items():
        assert (status, torch) == (0, False), (words, text)


def test_the_names_of_the_methods_are_those_that_are_registered():
    assert set(names.method_names()) == METHODS.keys()
    with pytest.raises(UnknownName, match="Did you mean 'margin'"):
        names.check_method("margn")


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices_have_names(name):
    names.check_device(name)
    for wrong in (f"{name}x", f" {name}", "cuda:", "meta"):
        with pytest.raises(DeviceError, match="Valid: auto, cpu, cuda, cuda:N, mps"):
            names.check_device(wrong)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (
            {"network": "foo"},
            UnknownName,
            "Unknown network 'foo'.*Valid: embedding, mlp, resnet, small",
        ),
        ({"network": "timm:nonexist"}, UnknownName, "Unknown timm network 'nonexist'"),
        ({"network": "embedding"}, ConfigError, "Give --network small"),
        ({"network": "small", "weights": "hub"}, ConfigError, "takes no weights"),
        ({"config": {"network": {"name": "foo"}}}, UnknownName, "Unknown network 'foo'"),
        ({"config": {"trainin": {"steps": 3}}}, UnknownName, "trainin"),
    ],
)
def test_a_network_that_is_none_is_told_before_anything_is_made(tmp_path, options, error, said):
    make_images(tmp_path, 3)
    with pytest.raises(error, match=said):
        begin(tmp_path, classes=CLASSES, **options)
    assert not (tmp_path / HOME).exists()


@pytest.mark.parametrize("network", ["small", "resnet", "mlp", "timm:tf_efficientnet_lite0"])
def test_networks_that_are_there_are_taken(tmp_path, network):
    make_images(tmp_path, 3)
    with begin(tmp_path, classes=CLASSES, network=network).project as made:
        assert made.settings.network == network


def test_training_on_held_out_labels_alone_says_so(project):
    project.ledger.hold_out([0])
    project.ledger.answer(0, 0, person="anna")
    with pytest.raises(BudgetError, match="all 1 labels are held out"):
        need_labels(project)
    project.ledger.answer(1, 0, person="anna")
    need_labels(project)
