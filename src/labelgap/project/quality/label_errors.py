"""Labels that are probably wrong: those that contradict what the other labels teach.

Confident learning (Northcutt, Jiang and Chuang 2021): a classifier that has not seen an image's
own label says how probable each class is, and where the given class falls short of how sure the
classifier usually is of that class, the label is doubted. `cleanlab` does the second half.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from labelgap.core.errors import BudgetError
from labelgap.core.wording import counted

FOLDS = 5
"""Each image is judged by a classifier of the four fifths it is not in: the usual number."""
COMPONENTS = 128
"""Principal components of the features that the classifier sees. Found without labels, so they
tell nothing of one; a fit on all 1,280 would take ten times as long and says the same."""
FEWEST = 2
"""Labels a class needs: one is left out, another teaches."""
STRENGTH = 1.0
"""scikit-learn's default C: how freely the classifier follows the labels."""


@dataclass(frozen=True)
class Doubts:
    """What is said of each label.

    rows: positions of the labels that were judged, ascending.
    score: of each how well it fits, 1 well, 0 not at all (cleanlab's self-confidence, adjusted
        by how sure the classifier usually is of the class).
    doubted: whether confident learning takes it for an error.
    differs: whether another class is the most probable one.
    suggested: the class that the others speak for, other than the given one.
    """

    rows: Int64[np.ndarray, " m"]
    score: Float[np.ndarray, " m"]
    doubted: Bool[np.ndarray, " m"]
    differs: Bool[np.ndarray, " m"]
    suggested: Int64[np.ndarray, " m"]

    def queue(self) -> Int64[np.ndarray, " m"]:
        """Places in `rows`: the doubted ones first, then others that differ from what is most
        probable, then those that fit; in each part the worst fit first."""
        return np.lexsort((self.score, ~self.differs, ~self.doubted)).astype(np.int64)


def principal(features: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n q"]:
    """Unit rows (what counts of a backbone's features is their direction) on their largest
    principal components, at most 128, scaled together to variance 1 in the mean."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = (features / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float64)
    unit -= unit.mean(axis=0)
    _, axes = np.linalg.eigh(unit.T @ unit)
    reduced = unit @ axes[:, ::-1][:, :COMPONENTS]
    scale = float(np.sqrt(reduced.var(axis=0).mean())) or 1.0
    made: Float32[np.ndarray, "n q"] = (reduced / scale).astype(np.float32)
    return made


def can_be_judged(labels: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which labels have another of their class (−1, none of the classes, has none).

    Raises `BudgetError` where fewer than two classes have two labels.
    """
    counts = np.bincount(labels[labels >= 0], minlength=1)
    enough = int((counts >= FEWEST).sum())
    if enough < 2:
        raise BudgetError(
            f"Label errors show where two classes or more have at least {FEWEST} labels each; "
            f"{counted(enough, 'class has', 'classes have')} so many now.",
            "Label more images first: `labelgap ask 50`, then `labelgap label`.",
        )
    judged: Bool[np.ndarray, " n"] = (labels >= 0) & (counts[labels.clip(0)] >= FEWEST)
    return judged


def folds_of(labels: Int64[np.ndarray, " n"], rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """Each label's fold, 0 … 4: those of a class go round, so that a class of two or more labels
    is in the training of every fold."""
    fold = np.empty(len(labels), dtype=np.int64)
    for k in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == k))
        fold[rows] = (np.arange(len(rows)) + rng.integers(FOLDS)) % FOLDS
    return fold


def out_of_fold(
    z: Float32[np.ndarray, "n d"],
    labels: Int64[np.ndarray, " n"],
    rng: np.random.Generator,
    fitted: Callable[[int], None] = lambda number: None,
) -> Float[np.ndarray, "n k"]:
    """Each row's probabilities of the classes by a logistic regression that has not seen its
    label; columns are the classes that occur, ascending.

    fitted: told after each fold how many of the five are done.
    """
    fold, classes = folds_of(labels, rng), np.unique(labels)
    found = np.zeros((len(labels), len(classes)))
    for k in range(FOLDS):
        inside = fold == k
        if inside.any():
            found[inside] = probabilities(z[~inside], labels[~inside], z[inside], classes)
        fitted(k + 1)
    return found


def probabilities(
    z: Float32[np.ndarray, "l d"],
    labels: Int64[np.ndarray, " l"],
    others: Float32[np.ndarray, "n d"],
    classes: Int64[np.ndarray, " k"],
) -> Float[np.ndarray, "n k"]:
    """Probabilities of other rows by a logistic regression on labelled ones; 0 for a class that
    has no label among these."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=STRENGTH, max_iter=1000).fit(z, labels)
    found = np.zeros((len(others), len(classes)))
    found[:, np.searchsorted(classes, fitted.classes_)] = fitted.predict_proba(others)
    return found


def doubts(
    labels: Int64[np.ndarray, " n"], p: Float[np.ndarray, "n k"], rows: Int64[np.ndarray, " n"]
) -> Doubts:
    """Judge labels by out-of-fold probabilities.

    Parameters
    ----------
    labels: classes as they are numbered by `out_of_fold`'s columns: 0 … k − 1, each there.
    rows: kept in the answer.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    # Off the diagonal of the confident joint: of 32 errors planted in eight simulated sets of 120
    # labels (those of the test) it marks 26, and one label that is right; so do cleanlab's other
    # rules, one or two right labels more or less. The queue's first ten have all 32.
    # One process: the work takes milliseconds, and a fork of a server is no place to be.
    doubted = find_label_issues(labels, p, filter_by="confident_learning", n_jobs=1)
    score = get_label_quality_scores(labels, p, adjust_pred_probs=True)
    differs = p.argmax(axis=1) != labels
    others = p.copy()
    others[np.arange(len(labels)), labels] = -1.0
    return Doubts(rows, score, np.asarray(doubted, dtype=bool), differs, others.argmax(axis=1))
