"""labelgap's acquisitions as a query strategy of scikit-activeml."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from labelgap.arrays.choose import choose
from labelgap.core.errors import ConfigError
from labelgap.core.installing import command_for

try:
    from skactiveml.base import SingleAnnotatorPoolQueryStrategy, SkactivemlClassifier
    from skactiveml.utils import MISSING_LABEL, check_type, is_labeled
except ImportError as error:
    raise ConfigError(
        f"scikit-activeml cannot be imported: {error}.", f"{command_for('scikit-activeml>=1.0')}"
    ) from error


class LabelgapQuery(SingleAnnotatorPoolQueryStrategy):  # type: ignore[misc]
    """Any acquisition to which features and predictions are enough, in scikit-activeml's loop.

    Parameters
    ----------
    method, options: as in `labelgap.choose`.
    missing_label, random_state: scikit-activeml's own.
    """

    def __init__(
        self,
        method: Any = "gap",
        options: Any = None,
        missing_label: Any = MISSING_LABEL,
        random_state: Any = None,
    ) -> None:
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.method = method
        self.options = options

    def query(
        self,
        X: Any,
        y: Any,
        clf: Any = None,
        fit_clf: Any = True,
        sample_weight: Any = None,
        candidates: Any = None,
        batch_size: Any = 1,
        return_utilities: Any = False,
    ) -> Any:
        """Rows of `X` to label next, [batch_size]; with utilities [batch_size, len(X)] if wanted.

        A batch is chosen as a whole, and items that are not chosen have no value of their own: a
        utility is 1 for the item chosen at that place, 0 for the other candidates, NaN for what
        can no longer be chosen.

        Parameters
        ----------
        X: features [n, d] of all items, labelled ones included.
        y: [n], labels; `missing_label` where there is none.
        clf: a classifier of scikit-activeml, for methods that need predictions.
        fit_clf: whether a copy of it is fitted on X and y; else it is taken as it is.
        sample_weight: [n], for that fit.
        candidates: rows of X, unlabelled ones; None for all of these. Features of items that are
            not in X are refused (`MappingError`).

        Raises
        ------
        TypeError, ValueError: as scikit-activeml asks for.
        LabelgapError: see `labelgap.choose`.
        """
        X, y, candidates, batch_size, return_utilities = self._validate_data(
            X, y, candidates, batch_size, return_utilities, reset=True
        )
        check_type(self.method, "method", str)
        check_type(self.options, "options", Mapping, target_vals=[None])
        check_type(clf, "clf", SkactivemlClassifier, target_vals=[None])
        check_type(fit_clf, "fit_clf", bool)
        _, rows = self._transform_candidates(
            candidates, X, y, enforce_mapping=True, allow_only_unlabeled=True
        )
        known = np.flatnonzero(is_labeled(y, self.missing_label_))
        chances, classes = None, np.unique(y[known]) if len(known) else None
        if clf is not None:
            if fit_clf:
                more = () if sample_weight is None else (sample_weight,)
                clf = clone(clf).fit(X, y, *more)
            chances, classes = clf.predict_proba(X), clf.classes_
        choice = choose(
            int(batch_size),
            X,
            probabilities=chances,
            labelled=known,
            labels=y[known],
            classes=classes,
            available=np.unique(rows),
            method=self.method,
            options=self.options,
            seed=int(self.random_state_.randint(2**31)),
        )
        if not return_utilities:
            return choice.rows
        utilities = np.full((len(choice.rows), len(X)), np.nan)
        utilities[:, rows] = 0.0
        for place, row in enumerate(choice.rows):
            utilities[place, row] = 1.0
            utilities[place + 1 :, row] = np.nan
        return choice.rows, utilities
