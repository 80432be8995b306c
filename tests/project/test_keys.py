"""Which key chooses which class on the label page, by its own script in Node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import labelgap.project.server

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


CLASSES = [
    ("names", ["cat", "dog"], ["1", "2"]),
    ("the ten digits", list("0123456789"), list("0123456789")),
    ("two digits", ["0", "1"], ["0", "1"]),
    ("digits that begin with 1", ["1", "2", "3"], ["1", "2", "3"]),
    ("digits and another", ["0", "1", "other"], ["0", "1", "2"]),
    ("ten names", [f"n{k}" for k in range(10)], list("1234567890")),
    ("more than keys", [f"n{k}" for k in range(11)], [*"1234567890", ""]),
    ("a number of two digits is a name", ["10", "2"], ["1", "2"]),
]


@pytest.mark.parametrize(("what", "names", "outcome"), CLASSES, ids=[case[0] for case in CLASSES])
def test_the_key_of_a_class(tmp_path, what, names, outcome):
    assert node(tmp_path, f"k.digits({json.dumps(names)})") == outcome


def test_digits_type_where_names_begin_with_them(tmp_path):
    assert node(tmp_path, 'k.meaning({key: "3"}, false, "", true)') == {"digit": "3"}
    assert node(tmp_path, 'k.meaning({key: "3"}, true, "", false)') == {"digit": "3"}
    assert node(tmp_path, 'k.meaning({key: "3"}, true, "", true)') is None


def test_the_class_of_just_that_name_comes_first(tmp_path):
    names = json.dumps(["10", "21", "1", "12"])
    assert node(tmp_path, f'k.matching({names}, [0, 1, 2, 3], "1")') == [2, 0, 3, 1]
