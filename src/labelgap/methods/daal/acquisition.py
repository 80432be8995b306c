"""DAAL's query: likelihood gap plus critic, balanced, spread by k-means."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.methods.daal.fit import fit_critic
from labelgap.methods.daal.settings import MOVED, OURS, TUNED, CriticSettings, MixtureSettings
from labelgap.mixtures.characteristic import joined, read, standard
from labelgap.mixtures.mixture import Mixture
from labelgap.select.balance import balanced_candidates
from labelgap.select.distinct import Distinct, distinct
from labelgap.select.kmeans import representatives
from labelgap.select.scores import entropy
from labelgap.select.top import check_budget, check_finite, ranks, standardise, top

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class DaalAcquisitionOptions(Settings):
    """AS."""

    moved: ClassVar[Mapping[str, str]] = MOVED
    mixture: MixtureSettings = MixtureSettings()
    critic: CriticSettings = CriticSettings()
    likelihood: bool = setting(True, "use I_Like, the likelihood gap", source="paper Eq. 3")
    model: bool = setting(True, "use I_model, the critic", source="paper §2.4")
    combine: Literal["sum", "rank"] = setting(
        "sum",
        "standardised sum (paper), or mean rank of likelihood, critic and entropy",
        source="paper Eq. 4; rank: a review of the longer version",
        evidence=TUNED,
        search=("sum", "rank"),
    )
    beta: float = setting(
        1.0, "weight β of I_model", source=OURS, ge=0, evidence=TUNED, search=(0.1, 3.0, "log")
    )
    candidates: float = setting(
        10.0,
        "m: size of the candidate set S as a multiple of the budget",
        source=OURS,
        ge=1,
        evidence=TUNED,
        search=(3.0, 30.0, "log"),
    )
    share: float = setting(
        0.3,
        "q: S is at most this share of the scored pool, so that the score always excludes",
        source=OURS,
        gt=0,
        le=1,
        evidence=TUNED,
        search=(0.1, 0.3, "linear"),
    )
    balance: bool = setting(True, "the same number per pseudo-label in S", source="paper §2.4")
    kmeans: bool = setting(True, "spread by k-means; else the top of S", source="paper §2.4")
    critic_steps: int = setting(
        300, "steps of the query's own critic, where the objective has none", source=OURS, ge=1
    )
    critic_batch: int = setting(100, "batch of the query's own critic", source="paper §3", ge=2)


@acquisition("daal")
class DaalAcquisition(Acquisition):
    """I_Like + β · I_model → balanced candidate set S → k-means → the item nearest each centre.

    Uses the objective's critic; without one it fits its own on the frozen features.
    """

    Options = DaalAcquisitionOptions
    needs = frozenset({"features", "logits"})
    uses = frozenset({"critic"})
    kind = "batch"
    deterministic = False
    options: DaalAcquisitionOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o, size = self.options, len(view.candidate_ids)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        parts = self.parts(view)
        score = self.combine(parts) if parts else torch.zeros(size)
        pseudo, ties = view.pseudo_labels, view.ties()
        copies = distinct(view.candidates("features"), ties=ties)
        few, size = min(n, len(copies)), len(copies)
        wanted = max(few, min(round(o.candidates * few), round(o.share * size)))
        subset = self._best(view, score, pseudo, wanted if o.kmeans else few, copies)
        if o.kmeans:
            z, rng = view.candidates("features")[copies.rows[subset]], view.rng("k-means")
            weights = copies.counts[subset.numpy()].astype("float64") if copies.copies else None
            subset = subset[representatives(z, few, rng, weights)]
        order = torch.argsort(score[copies.rows[subset]], descending=True, stable=True)
        rows = copies.filled(subset[order].numpy(), n, ties)
        return Query(
            view.candidate_ids[rows],
            score[rows].double().numpy(),
            {name: value[rows].double().numpy() for name, value in parts.items()},
            pseudo[rows].numpy(),
            {"candidate_set": wanted, "candidate_share": wanted / size},
        )

    def _best(
        self, view: "PoolView", score: Tensor, pseudo: Tensor, number: int, copies: Distinct
    ) -> Int64[Tensor, " m"]:
        """The best of the rows that differ, the same number of each pseudo-label where balanced."""
        of, ties = score[copies.rows], view.ties()[copies.first]
        if self.options.balance:
            return balanced_candidates(of, pseudo[copies.rows], view.num_classes, number, ties)
        return top(of, number, ties)

    def parts(self, view: "PoolView") -> dict[str, Tensor]:
        """The raw terms of the score over all candidates, finite or refused by name."""
        o = self.options
        z, z_l = view.candidates("features"), view.labelled("features")
        logits = view.candidates("logits")
        both = o.mixture.fit_both(z_l, view.class_labels, z, logits, view.rng("EM batches"))
        own = o.model and not view.has("critic")
        joints = [psi.component_log_density(z) for psi in both] if o.likelihood or own else []
        found: dict[str, Tensor] = {}
        if o.likelihood:
            # Eq. 3 in log space: unlike what is labelled, typical of what is not.
            of_labelled, of_unlabelled = (torch.logsumexp(joint, dim=1) for joint in joints)
            found["likelihood_gap"] = of_unlabelled - of_labelled
        if own:
            found["critic"] = self._own_critic(view, *self._inputs(z, z_l, both, joints))
        elif o.model:
            found["critic"] = view.candidates("critic")
        if o.combine == "rank":
            found["entropy"] = entropy(logits)
        check_finite(found)
        return found

    def combine(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Eq. 4 on standardised terms, or the mean of ranks."""
        o = self.options
        if o.combine == "rank":
            return torch.stack([ranks(p) for p in parts.values()]).mean(dim=0)
        weights = {"likelihood_gap": 1.0, "critic": o.beta}
        terms = [weights[name] * standardise(p) for name, p in parts.items()]
        return torch.stack(terms).sum(dim=0)

    def _own_critic(self, view: "PoolView", h_l: Tensor, h_u: Tensor) -> Tensor:
        """A critic between labelled and candidate features, from its own stream."""
        o, d = self.options, view.candidates("features").shape[1]
        with view.scope("critic"):
            critic = o.critic.new(d, view.num_classes)
        rng = view.rng("critic batches")
        return fit_critic(
            critic,
            h_l,
            h_u,
            o.critic,
            features=d,
            steps=o.critic_steps,
            batch=o.critic_batch,
            rng=rng,
        )

    def _inputs(
        self, z: Tensor, z_l: Tensor, both: Sequence[Mixture], joints: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """A critic's inputs of labelled items and of candidates, whose densities are known."""
        o = self.options
        if not o.critic.statistics:
            return z_l, z
        temperature = o.mixture.temperature_in(z.shape[1])
        of_l, of_u = [], []
        for psi, joint in zip(both, joints, strict=True):
            labelled = psi.component_log_density(z_l)
            over = standard(torch.logsumexp(torch.cat([labelled, joint]), dim=1))
            of_l.append(read(labelled, *over, temperature))
            of_u.append(read(joint, *over, temperature))
        return joined(z_l, of_l), joined(z, of_u)
