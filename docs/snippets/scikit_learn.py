"""A classifier of scikit-learn, its items chosen by labelgap."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import labelgap

X, truth = load_digits(return_X_y=True)
model = LogisticRegression(max_iter=2000)
labelled = labelgap.choose(20, X, method="typiclust").ids  # no label is needed for the first
for _ in range(3):
    chances = model.fit(X[labelled], truth[labelled]).predict_proba(X)  # here a person answers
    known = {"labelled": labelled, "labels": truth[labelled], "classes": model.classes_}
    asked = labelgap.choose(20, X, probabilities=chances, **known)
    print(asked.ids[0], asked.reasons[0])
    labelled = np.concatenate([labelled, asked.ids])
score = model.fit(X[labelled], truth[labelled]).score(X, truth)
