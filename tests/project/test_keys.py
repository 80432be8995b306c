"""What a key means on the label page, by its own script in Node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import labelgap.project.server
from labelgap.project.keep.keys import page_keys

KEYS = Path(labelgap.project.server.__file__).parent / "static" / "keys.js"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


def node(tmp_path, expression):
    (tmp_path / "keys.mjs").write_text(KEYS.read_text())
    script = f'import * as k from "./keys.mjs"; console.log(JSON.stringify({expression}))'
    (tmp_path / "run.mjs").write_text(script)
    done = subprocess.run(
        ["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


FEW = page_keys(["cat", "dog"], {1: "x"})
MANY = page_keys([f"n{k}" for k in range(12)], {11: "x"})
PRESSED = [
    (FEW, "1", "", False, {"choose": 0}),
    (FEW, "X", "", False, {"choose": 1}),
    (FEW, "2", "", False, {"choose": 1}),
    (FEW, "3", "", False, None),
    (FEW, "u", "", False, {"act": "unsure"}),
    (FEW, "?", "", False, {"act": "keys"}),
    (FEW, " ", "", False, {"act": "skip"}),
    (FEW, "Enter", "", False, None),
    (FEW, "Backspace", "", False, {"act": "undo"}),
    (FEW, "toString", "", False, None),
    (MANY, "0", "", False, {"choose": 9}),
    (MANY, "x", "", False, {"choose": 11}),
    (MANY, "x", "", True, None),
    (MANY, "x", "n", False, None),
    (MANY, "u", "", False, None),
    (MANY, ".", "", False, {"act": "unsure"}),
    (MANY, "1", "n", False, None),
    (MANY, "Enter", "n", False, {"first": True}),
    (MANY, "Backspace", "n", False, None),
]


@pytest.mark.parametrize(("keys", "key", "typed", "searching", "outcome"), PRESSED)
def test_what_a_key_means(tmp_path, keys, key, typed, searching, outcome):
    given = ", ".join(json.dumps(one) for one in ({"key": key}, keys, typed, searching))
    assert node(tmp_path, f"k.meaning({given})") == outcome
    held = ", ".join(json.dumps(one) for one in ({"key": key, "ctrlKey": True}, keys, typed))
    assert node(tmp_path, f"k.meaning({held})") is None


def test_the_class_of_just_that_name_comes_first(tmp_path):
    names = json.dumps(["10", "21", "1", "12"])
    assert node(tmp_path, f'k.matching({names}, "1")') == [2, 0, 3, 1]
    assert node(tmp_path, f'k.matching({names}, " ")') == [0, 1, 2, 3]
