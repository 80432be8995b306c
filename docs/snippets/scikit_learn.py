"""A classifier of scikit-learn, its items chosen by labelgap."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import labelgap

X, truth = load_digits(return_X_y=True)
X = X / 16
labelled = labelgap.choose(20, X, method="typiclust").ids  # no label is needed for the first
for _ in range(3):
    model = LogisticRegression().fit(X[labelled], truth[labelled])
    asked = labelgap.choose(
        20,
        X,
        probabilities=model.predict_proba(X),
        labelled=labelled,
        labels=truth[labelled],  # here a person answers
        classes=model.classes_,
    )
    print(asked.ids[0], asked.reasons[0])
    labelled = np.concatenate([labelled, asked.ids])
score = LogisticRegression().fit(X[labelled], truth[labelled]).score(X, truth)
