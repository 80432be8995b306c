"""What a query sees: the embedding, what stands in for it, and another's training."""

from dataclasses import replace

import numpy as np
import torch

from labelgap.check.case import Case, tiny_task
from labelgap.core.device import Machine
from labelgap.data.types import Augment, Split, Task
from labelgap.frozen.embedding import embedding
from labelgap.methods import METHODS
from labelgap.methods.gap import Gap, GapOptions
from labelgap.session.claim import machine_facts
from labelgap.session.looking import look
from labelgap.session.session import Session

EMBEDDED = Gap(GapOptions(space="embedding"))


def of_images() -> Session:
    return Case(METHODS["margin"]).fitted(tiny_task())


def of_vectors() -> Session:
    task = tiny_task()
    flat = [
        Split(part.inputs.reshape(len(part), -1).astype(np.float32), part.labels)
        for part in (task.train, task.test)
    ]
    pixels = Task.of("pixels", task.classes, *flat, Augment())
    return Case(METHODS["margin"]).fitted(pixels, network={"name": "mlp", "hidden": [8]})


def test_features_stand_in_for_the_embedding_of_images() -> None:
    made = of_images()
    view = look(made.trained, EMBEDDED, made.config, 1, stand_in=True)
    ids = np.concatenate([view.labelled_ids, view.candidate_ids])
    learner = made.trained.learner
    features = learner.predict(made.training.network, ids, {"features"})["features"]
    lengths = features.norm(dim=1, keepdim=True)
    seen = torch.cat([view.labelled("embedding"), view.candidates("embedding")])
    torch.testing.assert_close(seen, features / lengths.clamp_min(1e-12))
    assert view.candidates("logits").shape == (len(view.candidate_ids), made.task.num_classes)


def test_the_embedding_of_vectors_is_their_own_whoever_times_it() -> None:
    made = of_vectors()
    learner = made.trained.learner
    known = embedding(learner.task, learner)
    for stand_in in (False, True):
        view = look(made.trained, EMBEDDED, made.config, 1, stand_in=stand_in)
        for ids, seen in (
            (view.candidate_ids, view.candidates("embedding")),
            (view.labelled_ids, view.labelled("embedding")),
        ):
            assert torch.equal(seen, known[torch.from_numpy(ids)])


def test_anothers_training_and_pool_answer_and_its_own_stay() -> None:
    made = of_vectors()
    own, pool = made.training, made.trained.pool
    training, few = made.new_training(1), replace(pool, subset=7)
    other = made.trained.answering(training, few)
    assert (other.training, other.pool, other.learner) == (training, few, made.trained.learner)
    assert (made.training, made.trained.pool) == (own, pool)


def test_a_folder_knows_whether_its_steps_were_compiled() -> None:
    place = Machine(torch.device("cpu"), "float32")
    assert "compile" not in machine_facts(place)  # as folders of before
    for said in ("on", "auto"):
        assert machine_facts(replace(place, compile=said))["compile"] == said
