"""labelgap as a query strategy of scikit-activeml, by its own template tests.

The templates are in scikit-activeml's repository and not in its wheel:

    git clone https://github.com/scikit-activeml/scikit-activeml
    SKACTIVEML_SOURCE=scikit-activeml \
        uv run --group snippets pytest -m slow tests/snippets/test_skactive.py
"""

import os
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def strategy_tests(template: Any) -> type[unittest.TestCase]:
    """The template's tests, for `LabelgapQuery`."""
    from skactiveml.classifier import MixtureModelClassifier, SklearnClassifier
    from skactiveml.utils import MISSING_LABEL
    from sklearn.linear_model import LogisticRegression

    from labelgap.arrays.skactive import LabelgapQuery

    class TestLabelgapQuery(template.TemplateSingleAnnotatorPoolQueryStrategy, unittest.TestCase):
        def setUp(self) -> None:
            rng = np.random.default_rng(0)
            y = np.full(20, MISSING_LABEL)
            y[:4] = [0, 1, 0, 1]
            clf = SklearnClassifier(LogisticRegression(), classes=[0, 1], random_state=0)
            super().setUp(
                qs_class=LabelgapQuery,
                init_default_params={},
                query_default_params_clf={"X": rng.random((20, 3)), "y": y, "clf": clf},
            )

        def test_init_param_method(self) -> None:
            from labelgap.core.errors import UnknownName

            cases = [("badge", None), ("margin", None), (3, TypeError), ("entropie", UnknownName)]
            self._test_param("init", "method", cases)

        def test_init_param_options(self) -> None:
            self._test_param("init", "options", [({"rarity": 1.0}, None), (3, TypeError)])

        def test_query_param_clf(self) -> None:
            other = MixtureModelClassifier(classes=[0, 1], random_state=0)
            super().test_query_param_clf(test_cases=[(other, None)])

        def test_query(self) -> None:
            p = self.query_default_params_clf
            asked, utilities = LabelgapQuery(random_state=0).query(
                **p, batch_size=3, return_utilities=True
            )
            assert np.array_equal(np.nanargmax(utilities, axis=1), asked)
            assert np.isnan(utilities[0]).sum() == 4
            assert np.isnan(utilities[2]).sum() == 6

    return TestLabelgapQuery


def test_scikit_activemls_templates_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("SKACTIVEML_SOURCE")
    if not folder:
        pytest.skip("set SKACTIVEML_SOURCE to a clone of scikit-activeml")
    import skactiveml

    # What is installed comes first; the clone adds the tests.
    more = str((Path(folder) / "skactiveml").absolute())
    monkeypatch.setattr(skactiveml, "__path__", [*skactiveml.__path__, more])
    from skactiveml.tests import template_query_strategy

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(
        strategy_tests(template_query_strategy)
    )
    result = unittest.TextTestRunner(sys.stdout, verbosity=2).run(suite)
    assert result.testsRun > 15
    assert result.wasSuccessful()


def test_it_asks_for_what_choose_asks_for() -> None:
    from skactiveml.classifier import SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    import labelgap
    from labelgap.arrays.skactive import LabelgapQuery

    rng = np.random.default_rng(0)
    X, y = rng.random((60, 4)), np.full(60, np.nan)
    y[:6] = [0, 1, 2, 0, 1, 2]
    clf = SklearnClassifier(LogisticRegression(), classes=[0, 1, 2]).fit(X, y)
    asked = LabelgapQuery("entropy").query(X, y, clf=clf, fit_clf=False, batch_size=5)
    expected = labelgap.choose(
        5, X, probabilities=clf.predict_proba(X), labelled=np.arange(6), labels=y[:6],
        classes=clf.classes_, method="entropy",
    )  # fmt: skip
    np.testing.assert_array_equal(asked, expected.ids)


def test_arrays_of_jax_are_read() -> None:
    import jax.numpy as jnp

    import labelgap

    z = np.random.default_rng(0).random((30, 4), dtype=np.float32)
    p = np.full((30, 2), 0.5)
    by_numpy = labelgap.choose(5, z, probabilities=p, labelled=[0, 1], labels=[0, 1])
    by_jax = labelgap.choose(
        5, jnp.asarray(z), probabilities=jnp.asarray(p), labelled=[0, 1], labels=jnp.asarray([0, 1])
    )
    np.testing.assert_array_equal(by_jax.ids, by_numpy.ids)
