"""Pictures and page of a run: what they say is what the folder says, and nothing is loaded."""

import base64
import hashlib
import io
import itertools
import json
import math
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from scipy.stats import wasserstein_distance
from tolerance import assert_rounded

from labelgap.core.errors import DataError, FolderError, NumericalError
from labelgap.core.values import parse_value
from labelgap.data.types import Augment, Split, Task
from labelgap.mixtures.wasserstein import sliced_wasserstein
from labelgap.report import style
from labelgap.report.command import command
from labelgap.report.curve import curve, curve_figure
from labelgap.report.explain import explain, number
from labelgap.report.folder import write_report
from labelgap.report.page import Bars, render
from labelgap.report.scatter import (
    common_plane,
    embedding,
    embedding_figure,
    gap_and_chance,
    load,
    panels,
    spread_labels,
)
from labelgap.report.sections import gap_in_words
from labelgap.report.thumbnail import thumbnail
from labelgap.session.presets import resolve

CLASSES = ("zero", "<script>alert(1)</script>", '$x$ & "y"', "three", "four")
SEED = 3


# ------------------------------------------------------------------ a folder as a run leaves it


def make_task(n: int = 400, side: int = 8, channels: int = 1) -> Task:
    rng = np.random.default_rng(0)
    k = len(CLASSES)

    def split(rows: int) -> Split:
        labels = np.arange(rows, dtype=np.int64) % k
        images = rng.integers(0, 256, (rows, side, side, channels), dtype=np.uint8)
        return Split(images, labels)

    return Task.of("toy", CLASSES, split(n), split(100), Augment())


def make_result(rounds: int = 3, balanced_offset: float = 0.0, **values: Any) -> dict[str, Any]:
    config = resolve({"seed": SEED, **values}).model_dump(mode="json")
    rng, labels, entries = np.random.default_rng(1), 0, []
    for r in range(rounds + 1):
        counts = rng.multinomial(40, np.ones(len(CLASSES)) / len(CLASSES)).tolist()
        labels += 40
        accuracy = 0.95 - 0.3 * 0.6**r
        entries.append(
            {
                "round": r,
                "labels": labels,
                "accuracy": accuracy,
                "balanced_accuracy": accuracy - balanced_offset,
                "per_class": [accuracy] * len(CLASSES),
                "absent_classes": [],
                "query_class_counts": counts,
                "notes": {"candidate_set": 100, "candidate_share": 0.25} if r else {},
                "seconds": {
                    "train": 4.2, "align": 2.1, "score": 0.31, "select": 0.12, "evaluate": 0.05,
                },
            }
        )  # fmt: skip
    x, y = [e["labels"] for e in entries], [e["accuracy"] for e in entries]
    sha = hashlib.sha256(b"x").hexdigest()
    return {
        "schema": 1,
        "dataset": config["data"]["name"],
        "classes": list(CLASSES),
        "method": config["method"],
        "objective": config["objective_name"],
        "acquisition": config["acquisition_name"],
        "seed": SEED,
        "preset": config["preset"],
        "config": config,
        "rounds": entries,
        "aubc": float(np.trapezoid(y, x) / (x[-1] - x[0])) if rounds else y[0],
        "audit": {
            "claimed_labels": labels,
            "distinct_labels": labels,
            "initial_set_sha256": sha,
            "pool_permutation_sha256": sha,
            "initial_weights_sha256": sha,
            "round0_weights_sha256": sha,
        },
        "machine": {"device": "cpu", "precision": "float32", "threads": 1, "versions": {"a": "1"}},
        "versions": {"labelgap": "0.1.0", "torch": "2.13.0", "numpy": "2.4", "python": "3.11"},
    }


def save_features(path: Path, shift: float, n: int = 60, d: int = 16, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    kind = np.arange(2 * n) % len(CLASSES)
    centres = rng.normal(size=(len(CLASSES), d)) * 3
    features = centres[kind] + rng.normal(size=(2 * n, d))
    is_labelled = np.arange(2 * n) < n
    features[is_labelled, 0] += shift
    path.parent.mkdir(exist_ok=True)
    np.savez(
        path,
        features=features.astype(np.float32),
        is_labelled=is_labelled,
        label=np.where(is_labelled, kind, -1),
        pseudo_label=kind,
    )


def save_queries(path: Path, rounds: int) -> None:
    rng = np.random.default_rng(2)
    lines = []
    for i in range(40 * (rounds + 1)):
        r = i // 40
        gap, critic = rng.normal(), rng.normal()
        lines.append(
            {
                "id": i,
                "round": r,
                "score": gap + critic if r else None,
                "parts": {"likelihood_gap": gap, "critic": critic} if r else {},
                "pseudo_label": int(rng.integers(len(CLASSES))) if r else None,
            }
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def fill(folder: Path) -> Path:
    (folder / "result.json").write_text(json.dumps(make_result()))
    save_queries(folder / "queries.jsonl", 3)
    save_features(folder / "cache" / "embedding-before.npz", 4.0)
    save_features(folder / "cache" / "embedding-after.npz", 0.5)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path)


@pytest.fixture
def plain(folder: Path) -> Path:
    """A folder without features, whose pictures take no time."""
    shutil.rmtree(folder / "cache")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with its report, to be read only."""
    folder = fill(tmp_path_factory.mktemp("written"))
    write_report(folder, make_task())
    return folder


def edit(folder: Path, **values: Any) -> dict[str, Any]:
    result = json.loads((folder / "result.json").read_text()) | values
    (folder / "result.json").write_text(json.dumps(result))
    return result


class Page(HTMLParser):
    """Checks nesting while reading; keeps elements, text and addresses."""

    VOID = frozenset({"meta", "img", "source"})  # of HTML: in SVG nothing is void

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attrs)))
        if name not in self.VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]


def read(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


# ------------------------------------------------------------------ sliced Wasserstein distance


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2]), st.integers(0, 1000))
def test_one_dimension_is_the_exact_wasserstein_distance(n, m, order, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, 1)), rng.normal(size=(m, 1))
    ours = sliced_wasserstein(a, b, np.random.default_rng(0), projections=2, order=order)
    # An independent way to equal sizes: repeat each point until both have n·m.
    long_a, long_b = np.sort(np.repeat(a, m)), np.sort(np.repeat(b, n))
    exact = (np.abs(long_a - long_b) ** order).mean() ** (1 / order)
    size = max(np.abs(a).max(), np.abs(b).max())  # points that nearly meet have a distance near 0
    assert_rounded(ours, exact, n * m + 8, size)
    if order == 1:
        assert_rounded(ours, wasserstein_distance(a[:, 0], b[:, 0]), n * m + 8, size)


def test_a_shift_has_its_closed_form():
    rng = np.random.default_rng(0)
    d, shift = 40, np.zeros(40)
    shift[3] = 5.0
    a = rng.normal(size=(50, d))
    for order, factor in (
        (2, 1 / math.sqrt(d)),
        # E|u₁| on the unit sphere.
        (1, math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))),
    ):
        found = sliced_wasserstein(a, a + shift, rng, projections=20_000, order=order)
        assert found == pytest.approx(5.0 * factor, rel=0.02)


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 10_000))
def test_distance_is_a_metric_and_scales(n, m, d, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (rng.normal(size=(size, d)) for size in (n, m, n))

    def distance(x, y):
        return sliced_wasserstein(x, y, np.random.default_rng(1))

    assert distance(a, a) == 0
    assert distance(a, rng.permutation(a)) == pytest.approx(0, abs=1e-12)
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert distance(3 * a, 3 * b) == pytest.approx(3 * distance(a, b))
    assert distance(a, b) <= distance(a, c) + distance(c, b) + 1e-12
    assert distance(np.repeat(a, 3, axis=0), b) == pytest.approx(distance(a, b))


def test_distance_refuses_what_has_none():
    a, rng = np.ones((3, 2)), np.random.default_rng(0)
    with pytest.raises(ValueError, match="empty"):
        sliced_wasserstein(a, a[:0], rng)
    with pytest.raises(ValueError, match="order"):
        sliced_wasserstein(a, a, rng, order=0)
    with pytest.raises(NumericalError, match="second"):
        sliced_wasserstein(a, a * np.nan, rng)


# ------------------------------------------------------------------ style


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [style.LIGHT, style.DARK], ids=lambda t: t.name)
def test_text_has_wcag_aa_contrast(theme):
    for text in (theme.ink, theme.muted, theme.accent, theme.alarm):
        for ground in (theme.card, theme.page):
            assert contrast(text, ground) >= 4.5
    # Graphics need 3:1; the paler hues of the palette always come with a shape or a dash.
    assert contrast(theme.series[0], theme.card) >= 3
    assert contrast(theme.series[1], theme.card) >= 3


def test_lines_differ_without_colour_and_classes_in_colour_and_shape():
    looks = {(str(style.line(k)["linestyle"]), style.line(k)["marker"]) for k in range(5)}
    assert len(looks) == 5
    assert len({(style.colour(k), style.marker(k)) for k in range(35)}) == 35


def test_figures_leave_matplotlibs_settings_alone_and_do_not_follow_them(tmp_path):
    result = make_result()
    curve(result, tmp_path / "a.png")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        before = dict(matplotlib.rcParams)
        curve(result, tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    for form in ("png", "svg"):
        same = [(tmp_path / f"{name}.{form}").read_bytes() for name in "ab"]
        assert same[0] == same[1]


# ------------------------------------------------------------------ curve


def svg_text(path: Path) -> str:
    """Texts of a figure: matplotlib keeps each as a comment above its glyphs."""
    return " | ".join(re.findall(r"<!-- (.*?) -->", path.read_text(), flags=re.S))


def test_curve_says_method_data_last_value_and_area(tmp_path, monkeypatch, coarse_pictures):
    monkeypatch.setattr(style, "PIXELS_PER_INCH", coarse_pictures)
    result = make_result()
    curve(result, tmp_path / "curve.png")
    text = svg_text(tmp_path / "curve.svg")
    assert "daal on digits" in text
    assert f"{result['aubc']:.3f}" in text
    assert style.percent(result["rounds"][-1]["accuracy"]) in text
    assert "balanced" not in text
    with Image.open(tmp_path / "curve.png") as image:
        assert image.width >= 1200  # twice the 600 pixels it is read at


def test_curve_shows_balanced_accuracy_where_it_differs(tmp_path):
    curve(make_result(balanced_offset=0.1), tmp_path / "curve.png")
    assert "balanced accuracy" in svg_text(tmp_path / "curve.svg")


def test_a_run_of_one_round_has_a_curve(tmp_path):
    curve(make_result(rounds=0), tmp_path / "curve.png")
    assert "AUBC" not in svg_text(tmp_path / "curve.svg")


# ------------------------------------------------------------------ embedding


def test_gap_is_measured_in_feature_units_and_shift_widens_it(tmp_path):
    found = {}
    for shift in (0.0, 1.0, 6.0):
        save_features(tmp_path / "f.npz", shift)
        cloud = load(tmp_path / "f.npz")
        found[shift] = gap_and_chance(cloud, np.random.default_rng(0))
        larger = type(cloud)(cloud.features * 7, cloud.is_labelled, cloud.kind)
        assert gap_and_chance(larger, np.random.default_rng(0)) == pytest.approx(found[shift])
    assert found[0.0][0] < found[1.0][0] < found[6.0][0]
    # Without a shift the sets come from one distribution: no further apart than random splits.
    assert found[0.0][0] < 1.3 * found[0.0][1]
    assert found[6.0][0] > 2 * found[6.0][1]


def test_panels_keep_rows_and_repeat(folder):
    first, again = (
        panels(folder / "cache/embedding-before.npz", folder / "cache/embedding-after.npz", SEED)
        for _ in range(2)
    )
    assert [p.title for p in first] == ["Before alignment", "After alignment"]
    for a, b in zip(first, again, strict=True):
        assert a.layout.shape == (120, 2)
        assert np.isfinite(a.layout).all()
        np.testing.assert_array_equal(a.layout, b.layout)
        assert a.gap == b.gap
    assert first[0].gap > first[1].gap


@pytest.mark.usefixtures("whole_layout")
def test_layout_keeps_neighbours_of_separate_classes(folder):
    panel = panels(None, folder / "cache/embedding-after.npz", SEED)[0]
    distances = np.linalg.norm(panel.layout[:, None] - panel.layout[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    kind = panel.cloud.kind
    assert (kind[distances.argmin(axis=1)] == kind).mean() > 0.95


def test_common_plane_is_pca_and_one_for_both():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 4)) * [5, 3, 1, 0.1], rng.normal(size=(20, 4)) * [5, 3, 1, 0.1]
    planes = common_plane([a, b])
    both = np.concatenate([a, b]) - np.concatenate([a, b]).mean(axis=0)
    scores = np.linalg.svd(both, full_matrices=False)
    expected = np.abs(scores[0][:, :2] * scores[1][:2])
    np.testing.assert_allclose(np.abs(np.concatenate(planes)), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "d"), [(1, 1, 3), (0, 5, 3), (9, 0, 3), (3, 4, 1), (20, 9, 1)]
)
def test_few_points_one_set_and_one_feature_are_drawn(tmp_path, labelled, unlabelled, d):
    n = labelled + unlabelled
    is_labelled = np.arange(n) < labelled
    features = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    zeros = np.zeros(n, dtype=np.int64)
    np.savez(tmp_path / "f.npz", features=features, is_labelled=is_labelled,
             label=np.where(is_labelled, 0, -1), pseudo_label=zeros)  # fmt: skip
    embedding(None, tmp_path / "f.npz", tmp_path / "e.png", make_result(), SEED)
    assert (tmp_path / "e.png").stat().st_size > 1000
    assert ("no distance" in svg_text(tmp_path / "e.svg")) == (0 in (labelled, unlabelled))


def test_equal_features_are_drawn(tmp_path):
    np.savez(tmp_path / "f.npz", features=np.ones((20, 3), np.float32),
             is_labelled=np.arange(20) < 5, label=np.zeros(20, np.int64),
             pseudo_label=np.zeros(20, np.int64))  # fmt: skip
    embedding(None, tmp_path / "f.npz", tmp_path / "e.png", make_result(), SEED)
    assert "0.000" in svg_text(tmp_path / "e.svg")


def test_embedding_never_shows_an_unlabelled_items_label(folder):
    cloud = load(folder / "cache/embedding-after.npz")
    with np.load(folder / "cache/embedding-after.npz") as arrays:
        poisoned = dict(arrays) | {"label": np.where(cloud.is_labelled, arrays["label"], 99)}
    np.savez(folder / "cache/poisoned.npz", **poisoned)
    np.testing.assert_array_equal(load(folder / "cache/poisoned.npz").kind, cloud.kind)


def test_bad_features_are_named(tmp_path):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"bad\.npz"):
        load(bad)
    np.savez(bad, features=np.ones((2, 2)))
    with pytest.raises(DataError, match="is_labelled"):
        load(bad)
    save_features(bad, np.nan)
    with pytest.raises(NumericalError, match=r"bad\.npz"):
        load(bad)


# ------------------------------------------------------------------ words


def test_explanations_are_sentences():
    said = explain({"likelihood_gap": 2.13, "critic": 0.8}, 10)
    assert said == (
        "unlike what is labelled, typical of what is not: likelihood gap +2.13; critic 0.800"
    )
    assert "more like what is labelled: likelihood gap −0.400" in explain(
        {"likelihood_gap": -0.4}, 10
    )
    assert explain({"entropy": 1.0}, 10).endswith("1.00 of at most 2.30")
    assert explain({"margin": -0.04}, 10) == "the two likeliest classes are 4.00 points apart"
    assert "34.0\u00a0%" in explain({"least-confidence": 0.66}, 10)
    assert explain({"gradient_norm": 3.0, "gone": None}, 10) == "gradient norm 3.00"
    assert explain({"coverage": 0.0123, "uncertainty": 0.5, "rarity": 0.25}, 10) == (
        "unlike what is labelled: adds 1.23\u00a0% of coverage; "
        "the network's doubt is 50.0\u00a0%; rarity of its likely classes 0.250 (1: no label yet)"
    )
    assert explain({}, 10) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (123.4, "123"), (99_999.0, "99,999"), (1e6, "1.00e+06"), (-2e-5, "−2.00e−05")],
)
def test_numbers_have_three_figures(value, text):
    assert number(value) == text


# ------------------------------------------------------------------ the command


def parse(line: str) -> tuple[str, dict[str, Any]]:
    """The command's own words as a tree, read independently of how they were made."""
    words = shlex.split(line)
    assert words[:2] == ["labelgap", "run"]
    flags = {
        "--dataset": "data.name", "--method": "method", "--objective": "objective_name",
        "--acquisition": "acquisition_name", "--seed": "seed", "--initial": "loop.initial",
        "--budget": "loop.budget", "--rounds": "loop.rounds", "--steps": "training.steps",
        "--epochs": "training.epochs", "--pool-subset": "loop.pool_subset",
        "--imbalance": "data.imbalance", "--weights": "network.weights",
        "--label-noise": "data.label_noise", "--network": "network.name",
        "--precision": "precision",
    }  # fmt: skip
    tree: dict[str, Any] = {}
    preset = ""
    for flag, text in zip(words[2::2], words[3::2], strict=True):
        if flag == "--preset":
            preset = text
            continue
        key, value = (flags[flag], text) if flag in flags else text.split("=", 1)
        value = parse_value(value)
        *parents, last = key.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return preset, tree


@pytest.mark.parametrize(
    ("preset", "values"),
    [
        ("smoke", {}),
        ("cpu", {"method": "random", "seed": 4, "data": {"name": "my data/o'clock"}}),
        ("smoke", {"objective": {"alpha": 0.3, "reg": False}, "network": {"blocks": [1, 2]}}),
        ("paper", {"training": {"steps": 10}, "loop": {"rounds": 2, "initial": 7}}),
        ("smoke", {"network": {"weights": "sha256:" + "0" * 64}, "data": {"label_noise": 0.1}}),
        ("smoke", {"training": {"epochs": 5}, "precision": "bfloat16"}),
        ("cpu", {"loop": {"pool_subset": None}, "data": {"imbalance": 10}}),
        ("smoke", {"objective_name": "cross-entropy", "acquisition_name": "daal",
                   "acquisition": {"combine": "rank"}}),
    ],
)  # fmt: skip
def test_the_command_resolves_to_the_same_configuration(preset, values):
    config = resolve(values, preset=preset)
    line = command(config.model_dump(mode="json"))
    again, tree = parse(line)
    assert resolve(tree, preset=again).identity() == config.identity()
    assert line.count("--") <= 4 + 2 * (len(values) + 2)  # only what the preset does not say


def test_a_method_that_is_not_registered_has_every_key_spelt_out():
    config = resolve({}).model_dump(mode="json") | {"method": "mine"}
    line = command(config)
    assert "--method mine" in line
    assert "training.batch_size=32" in line


# ------------------------------------------------------------------ the page


HOSTILE = '<q title="x">&amp;</q>{{ 7 * 7 }}'


def test_pages_escape_every_text_once(plain):
    """In text and in attributes; what a name says of templates is text too."""
    edit(plain, classes=[HOSTILE, *CLASSES[1:]])
    write_report(plain, None)
    page = read(plain)
    assert page.all("q") == []
    assert HOSTILE in page.text
    assert any(HOSTILE in (a["aria-label"] or "") for a in page.all("svg"))


def test_a_name_that_a_template_lacks_is_an_error():
    with pytest.raises(UndefinedError, match="head"):
        render("run.html", title="x", version="1")


def test_page_is_whole_references_nothing_and_escapes(written):
    html = (written / "report.html").read_text()
    page = read(written)
    assert {name for name, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object"})
    for _, attributes in page.elements:
        for key in ("src", "srcset", "href", "action", "data", "poster", "xlink:href"):
            if key in attributes:
                assert re.match(r"data:image/(png|svg\+xml);base64,", attributes[key] or "")
        assert not any(key.startswith("on") for key in attributes)
    css = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in css
    assert "@import" not in css
    policy = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "alert(1)" in page.text  # the class's name is there, as text
    assert "<script" not in html


def test_embedded_images_are_images_and_load_nothing(written):
    addresses = [a["src"] for a in read(written).all("img")]
    addresses += [a["srcset"] for a in read(written).all("source")]
    kinds = set()
    for address in addresses:
        kind, data = address.removeprefix("data:image/").split(";base64,")
        kinds.add(kind)
        content = base64.b64decode(data, validate=True)
        if kind == "png":
            with Image.open(io.BytesIO(content)) as image:
                image.verify()
        else:
            text = content.decode()
            links = re.findall(r'(?:href|src)="([^"]*)"', text)
            assert all(link.startswith(("#", "data:")) for link in links)
            assert "<script" not in re.sub(r"<!--.*?-->", "", text, flags=re.S)
    assert kinds == {"png", "svg+xml"}


def test_page_is_accessible(written):
    page = read(written)
    assert page.all("html") == [{"lang": "en"}]
    assert [name for name, _ in page.elements if name in ("h1", "main", "title")].count("h1") == 1
    assert all(a.get("alt") for a in page.all("img"))
    assert all(a.get("aria-label") for a in page.all("svg"))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) > 0
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_page_says_what_the_folder_says(written):
    result = make_result()
    page = read(written)
    last = result["rounds"][-1]
    assert (
        f"{style.percent(last['accuracy'])} test accuracy with 160 labels".replace("\u00a0", " ")
        in page.text
    )
    assert f"{result['aubc']:.3f}" in page.text
    error = 100 * math.sqrt(last["accuracy"] * (1 - last["accuracy"]) / 100)
    assert f"± {error:.1f} by the test set’s 100 items" in page.text
    assert command(result["config"], 1) in page.text
    assert "candidate set of 100, 25 % of the scored pool" in page.text
    for version in result["versions"].values():
        assert version in page.text
    for row in result["rounds"]:
        counts = ", ".join(
            f"{c} {n}" for c, n in zip(CLASSES, row["query_class_counts"], strict=True)
        )
        assert counts in [a["aria-label"] for a in page.all("svg")]


def test_latest_query_shows_its_items_and_reasons(written):
    task = make_task()
    page = read(written)
    queries = [json.loads(q) for q in (written / "queries.jsonl").read_text().splitlines()]
    asked = [q for q in queries if q["round"] == 3]
    assert f"asked for {len(asked)} items; the first 24 are shown" in page.text
    assert len(page.all("li")) == 24
    wrong = sum(q["pseudo_label"] != task.train.labels[q["id"]] for q in asked)
    assert f"The network was wrong about {wrong} of {len(asked)}." in page.text
    assert "log-likelihood under the mixture" in page.text  # what the parts' numbers mean
    for q in asked[:24]:
        reasons = explain(q["parts"], len(CLASSES))
        reasons = reasons[0].upper() + reasons[1:]
        assert f"{reasons} score {number(q['score'])} · item {q['id']}" in page.text
    pixels = task.train.inputs[asked[0]["id"]]
    thumbs = [a for a in page.all("img") if (a["alt"] or "").startswith("Item ")]
    data = base64.b64decode((thumbs[0]["src"] or "").split(",")[1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels[..., 0])


@pytest.mark.parametrize(
    ("shape", "mode", "size"),
    [((8, 8, 1), "L", (8, 8)), ((300, 150, 3), "RGB", (48, 96)), ((9, 9, 4), "RGB", (9, 9)),
     ((9, 9, 2), "L", (9, 9))],
)  # fmt: skip
def test_thumbnails_are_small(shape, mode, size):
    image = Image.open(io.BytesIO(thumbnail(np.zeros(shape, np.uint8))))
    assert (image.mode, image.size) == (mode, size)


def test_without_task_without_alignment_without_features(folder):
    (folder / "cache/embedding-before.npz").unlink()
    write_report(folder, None)
    assert [a["alt"] for a in read(folder).all("img")][1].startswith("After training")
    (folder / "cache/embedding-after.npz").rename(folder / "cache/embedding-before.npz")
    write_report(folder, None)
    assert [a["alt"] for a in read(folder).all("img")][1].startswith("After training")
    (folder / "cache/embedding-before.npz").unlink()
    (folder / "embedding.png").unlink()
    write_report(folder, None)
    assert "holds no features" in read(folder).text
    assert not (folder / "embedding.png").exists()
    assert (folder / "curve.svg").exists()


def test_vectors_have_reasons_and_no_thumbnails(plain):
    rng = np.random.default_rng(0)
    labels = np.arange(400, dtype=np.int64) % len(CLASSES)
    split = Split(rng.normal(size=(400, 3)).astype(np.float32), labels)
    write_report(plain, Task.of("v", CLASSES, split, split, Augment()))
    page = read(plain)
    assert not any((a["alt"] or "").startswith("Item ") for a in page.all("img"))
    assert len(page.all("li")) == 24


def test_a_run_of_the_initial_set_only(plain):
    (plain / "result.json").write_text(json.dumps(make_result(rounds=0)))
    save_queries(plain / "queries.jsonl", 0)
    write_report(plain, make_task())
    assert "What was asked for last" not in read(plain).text


def test_what_was_simulated_is_said_at_the_top(plain):
    values = {"data": {"imbalance": 10, "label_noise": 0.2}}
    (plain / "result.json").write_text(json.dumps(make_result(**values)))
    write_report(plain, None)
    assert "seed 3 · imbalance 10 · label noise 0.2" in read(plain).text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(0.5, 0.2, "narrowed"), (0.2, 0.5, "widened"), (0.5, 0.49, "hardly changed")],
)
def test_the_gap_in_words(folder, before, after, said):
    panel = panels(None, folder / "cache/embedding-after.npz", SEED)[0]
    shown = [replace(panel, gap=gap, chance=0.1) for gap in (before, after)]
    sentence = gap_in_words(shown)
    assert f"{said} the gap" in sentence
    assert f"{before:.3f} before, {after:.3f} after" in sentence
    at_chance = [replace(panel, gap=0.101, chance=0.1), replace(panel, gap=0.099, chance=0.1)]
    assert "no further apart than random splits" in gap_in_words(at_chance)
    assert gap_in_words(shown[:1]) is None
    assert gap_in_words([replace(p, gap=None, chance=None) for p in shown]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_names_in_the_picture_do_not_cover_each_other(spots):
    names = ["a class name"] * len(spots)
    moved = spread_labels(np.array(spots), names)
    np.testing.assert_array_equal(moved[:, 0], np.array(spots)[:, 0])
    for i, j in itertools.combinations(range(len(spots)), 2):
        apart = np.abs(moved[i] - moved[j])
        assert apart[0] >= 0.023 * 12 - 1e-9 or apart[1] >= 0.04
    alone = np.array([[0.1, 0.5], [0.9, 0.5]])
    np.testing.assert_array_equal(spread_labels(alone, ["a", "b"]), alone)


def test_long_titles_fit(folder):
    names = {
        "method": "an-objective-of-ours+a-rather-long-acquisition",
        "dataset": "a/" + "set" * 9,
    }
    result = make_result() | names
    shown = panels(None, folder / "cache/embedding-after.npz", SEED)
    with style.context():
        for figure in (
            curve_figure(result, style.LIGHT),
            embedding_figure(shown, result, style.LIGHT),
        ):
            FigureCanvasAgg(figure).draw()
            texts = [t for t in figure.findobj(Text) if t.get_text().startswith("an-objective")]
            assert len(texts) == 1
            box = texts[0].get_window_extent()
            assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_more_classes_than_looks_show_their_set_only(tmp_path):
    save_features(tmp_path / "f.npz", 1.0)
    shown = panels(None, tmp_path / "f.npz", SEED)
    few, many = make_result(), make_result() | {"classes": [str(k) for k in range(36)]}
    for result, looks in ((few, len(CLASSES)), (many, 1)):
        figure = embedding_figure(shown, result, style.LIGHT)
        filled = [c for c in figure.axes[0].collections if len(c.get_facecolor())]
        assert len({tuple(c.get_facecolor()[0]) for c in filled}) == looks


def test_a_hundred_classes(plain):
    result = make_result()
    names = [f"class {k}" for k in range(100)]
    for r in result["rounds"]:
        r["query_class_counts"], r["per_class"] = [1] * 100, [0.5] * 100
    edit(plain, classes=names, rounds=result["rounds"])
    write_report(plain, None)
    assert len(read(plain).all("table")) == 2


def test_failed_audit_and_absent_classes_are_said(plain):
    result = make_result()
    result["audit"]["distinct_labels"] -= 1
    result["rounds"][-1]["absent_classes"] = ["three", 4]
    edit(plain, audit=result["audit"], rounds=result["rounds"])
    write_report(plain, None)
    text = read(plain).text
    assert "160 labels, but 159 distinct items" in text
    assert "ever labelled: three, four." in text


def test_rewriting_gives_the_same_files(folder):
    names = ("curve.png", "curve.svg", "embedding.png", "embedding.svg", "report.html")
    write_report(folder, make_task())
    first = [(folder / name).read_bytes() for name in names]
    write_report(folder, make_task())
    assert [(folder / name).read_bytes() for name in names] == first


def test_missing_and_damaged_files_are_named(plain):
    lines = (plain / "queries.jsonl").read_text()
    (plain / "queries.jsonl").write_text(lines + '{"id": 3')
    with pytest.raises(FolderError, match=r"queries\.jsonl, line 161"):
        write_report(plain, None)
    (plain / "queries.jsonl").unlink()
    with pytest.raises(FolderError, match=r"queries\.jsonl"):
        write_report(plain, None)
    (plain / "result.json").write_text("[1")
    with pytest.raises(FolderError, match=r"result\.json is damaged"):
        write_report(plain, None)
    assert not (plain / "report.html").exists()


def test_an_item_of_another_data_set_is_refused(plain):
    with pytest.raises(DataError, match="has 100 training items"):
        write_report(plain, make_task(n=100))


def test_bars_are_in_proportion():
    drawn = Bars([4, 2, 0], 4, "x")
    assert [bar.height for bar in drawn.rects] == [22.0, 11.0, 1.0]
    assert [bar.nothing for bar in drawn.rects] == [False, False, True]
    assert [bar.x for bar in drawn.rects] == [0, 9, 18]
    assert drawn.width == 27
