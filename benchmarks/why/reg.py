"""What is left for Reg to do? L_GMM of the labelled items, and of others, with and without it.

    python benchmarks/why/reg.py --data-root DATA --weights FILE > benchmarks/why/reg.md

L_GMM = −log p(y|z; ψ_L) (paper §2.2) at the end of training on random labels, ψ_L fitted on the
labelled items: of these, where Reg acts, and of 1,000 others by their true labels, which no method
sees. Plain training beside the same with Reg (no alignment). Mean over seeds 0 to 2.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from labelgap import Oracle, Session, load
from labelgap.core.device import machine, set_threads
from labelgap.frozen.freeze import load_task_for
from labelgap.methods.daal.settings import MixtureSettings
from labelgap.mixtures.statistics import class_responsibilities
from labelgap.session.presets import resolve

NARROW = {"width": 8, "stem_stride": 2}
CASES = [
    ("digits", "smoke", {}, 40), ("digits", "smoke", {}, 240),
    ("fashion-mnist", "cpu", NARROW, 100), ("fashion-mnist", "cpu", NARROW, 600),
    ("cifar10", "cpu", None, 20), ("cifar10", "cpu", None, 160),
]  # fmt: skip
PLAIN = {"method": "random"}
REG = {"objective_name": "daal", "acquisition_name": "random", "objective": {"align": False}}


def losses(pair, name, preset, network, labels, seed, root):
    """L_GMM of the labelled items and of 1,000 others."""
    values = {**pair, "data": {"name": name}, "network": network, "seed": seed}
    config = resolve({**values, "precision": "float32"}, preset=preset)
    here = machine("cpu", "float32")
    task = load_task_for(config, load(name, root=root), here)
    with Session(task, config, machine=here) as session:
        session.tell(Oracle(task).answer(session.ask(labels)))
        session.fit()
        rng = np.random.default_rng(seed)
        sets = session.labelled()[0], rng.choice(session.unlabelled_ids(), 1000, replace=False)
        z = [
            session.learner.predict(session.training.network, ids, {"features"})["features"]
            for ids in sets
        ]
    y = [torch.from_numpy(task.train.labels[ids]) for ids in sets]
    psi = MixtureSettings().fit(z[0], class_responsibilities(y[0], task.num_classes).to(z[0]), rng)
    heat = MixtureSettings().temperature_in(z[0].shape[1])
    found = []
    for features, classes in zip(z, y, strict=True):
        known = ~psi.empty[classes]
        posterior = psi.log_posterior(features[known], heat)
        found.append(float(-posterior.gather(1, classes[known][:, None]).mean()))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--weights")
    given = parser.parse_args()
    set_threads(1)
    frozen = {"name": "timm:tf_efficientnet_lite0", "freeze": True, "weights": given.weights}
    print("# What is left for Reg to do\n")
    print(__doc__.split("\n\n", 2)[2])
    print("| data | labels | labelled, plain | with Reg | others, plain | with Reg |")
    print("| :-- |" + " --: |" * 5)
    for name, preset, network, labels in CASES:
        case = (name, preset, frozen if network is None else network, labels)
        plain, reg = (
            np.mean([losses(pair, *case, seed, given.data_root) for seed in range(3)], axis=0)
            for pair in (PLAIN, REG)
        )
        shown = (plain[0], reg[0], plain[1], reg[1])
        print(f"| {name} | {labels} | {' | '.join(f'{v:.4f}' for v in shown)} |", flush=True)


if __name__ == "__main__":
    main()
