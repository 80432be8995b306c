"""labelgap's acquisitions in scikit-activeml's loop."""

import numpy as np
from skactiveml.classifier import SklearnClassifier
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from labelgap.arrays.skactive import LabelgapQuery

X, truth = load_digits(return_X_y=True)
X = X / 16
y = np.full(len(X), np.nan)
classifier = SklearnClassifier(LogisticRegression(), classes=range(10), random_state=0)
strategy = LabelgapQuery(method="gap", random_state=0)
for _ in range(4):
    asked = strategy.query(X, y, clf=classifier, batch_size=20)
    y[asked] = truth[asked]
score = classifier.fit(X, y).score(X, truth)
