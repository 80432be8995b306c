"""ISAL: items whose pseudo-label, learnt, would lower the loss on the labelled data the most.

Liu et al. 2021, "Influence selection for active learning", ICCV. The influence of an item u on
the reference loss is I(u) = −⟨∇L(u, ŷ), s⟩ with s = (H + λ)⁻¹ ∇L(reference), lowest asked first.
The reference set is the labelled data; published scripts took the test set with its labels.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import functional_call, grad, jvp
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.errors import LabelgapError
from labelgap.core.types import Query
from labelgap.methods.uncertainty import top_query
from labelgap.networks.network import Network
from labelgap.select.inverse import conjugate_gradients, lissa
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

CHUNK = 128
"""Items in one pass forward (or forward and backward): bounds the memory of tangents."""
_CODE = "Liu et al.'s code"


class IsalOptions(Settings):
    """How (H + λ) s = v is solved; H is the Hessian of the labelled data's mean loss."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"solver": "lissa"}}
    solver: Literal["cg", "lissa"] = setting(
        "cg",
        "conjugate gradients over all labelled data, or the published recursion over single "
        "items: the same fixed point, the first without noise in fewer passes",
        source="ours; paper preset: lissa",
    )
    damping: float = setting(
        100.0,
        "λ, added to H",
        source=f"{_CODE}: decay 0.01 times scale 10,000",
        gt=0,
        search=(1.0, 1000.0, "log"),
    )
    iterations: int = setting(
        20, "at most so many steps of conjugate gradients", source="ours", ge=1
    )
    tolerance: float = setting(
        1e-3, "residual, relative to v, that ends conjugate gradients", source="ours", gt=0
    )
    scale: float = setting(1e4, "scale of the recursion; above H's norm", source=_CODE, gt=0)
    depth: int = setting(250, "items of one recursion", source=_CODE, ge=1)
    repeats: int = setting(4, "recursions averaged", source=_CODE, ge=1)


class Tangents:
    """A frozen network as a function of its weights, and its loss's derivatives there.

    Weights are the parameters of two or more dimensions (convolutional and linear), as one vector;
    biases and batch-norm stay as they are, and so do all buffers: the network is in eval mode.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        named = {k: p.detach() for k, p in network.named_parameters()}
        self.weights: dict[str, Tensor] = {k: p for k, p in named.items() if p.ndim > 1}
        self.rest: dict[str, Tensor] = {k: p for k, p in named.items() if p.ndim <= 1} | dict(
            network.named_buffers()
        )

    def flat(self, tree: Mapping[str, Tensor]) -> Float[Tensor, " w"]:
        """One vector of a value per weight."""
        return torch.cat([tree[k].reshape(-1) for k in self.weights])

    def tree(self, vector: Float[Tensor, " w"]) -> dict[str, Tensor]:
        """The inverse of `flat`."""
        parts = torch.split(vector, [w.numel() for w in self.weights.values()])
        return {k: p.view(w.shape) for p, (k, w) in zip(parts, self.weights.items(), strict=True)}

    def losses(self, weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Float[Tensor, " b"]:
        """Cross-entropy of each item."""
        # Fused attention has no derivative in forward mode; its plain form has.
        with sdpa_kernel(SDPBackend.MATH):
            out = functional_call(self.network, {**self.rest, **weights}, (x,))
        return F.cross_entropy(out.logits.float(), y, reduction="none")

    def slopes(self, x: Tensor, y: Tensor, s: Float[Tensor, " w"]) -> Float[Tensor, " b"]:
        """⟨∇L(x_i, y_i), s⟩ of every item in one pass: the derivative of its loss along s."""
        along = jvp(lambda w: self.losses(w, x, y), (self.weights,), (self.tree(s),))
        return along[1].detach()  # type: ignore[no-any-return]

    def gradient(self, x: Tensor, y: Tensor) -> Float[Tensor, " w"]:
        """Gradient of the summed loss."""
        return self.flat(grad(lambda w: self.losses(w, x, y).sum())(self.weights)).detach()

    def curvature(self, x: Tensor, y: Tensor, s: Float[Tensor, " w"]) -> Float[Tensor, " w"]:
        """Hessian of the summed loss times s, forward over reverse."""
        slope = grad(lambda w: self.losses(w, x, y).sum())
        return self.flat(jvp(slope, (self.weights,), (self.tree(s),))[1]).detach()


@acquisition("isal")
class Isal(Acquisition):
    """The n candidates of largest ⟨∇L(u, ŷ), s⟩."""

    Options = IsalOptions
    needs = frozenset({"logits"})
    needs_network = True
    deterministic = False  # the paper's recursion draws items
    options: IsalOptions

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        if view.network is None or view.inputs is None:
            raise LabelgapError(
                "'isal' needs the network and its inputs.", "Ask through a Session."
            )
        if len(view.labelled_ids) == 0:
            raise LabelgapError("'isal' measures influence on labelled data; there are none.",
                                "Label an initial set first.")  # fmt: skip
        tangents = Tangents(view.network)
        s, notes = self.direction(view, tangents)
        parts, y = [], view.pseudo_labels.to(s.device)
        for start in range(0, len(y), CHUNK):
            x = view.inputs(view.candidate_ids[start : start + CHUNK])
            parts.append(tangents.slopes(x, y[start : start + CHUNK], s).cpu())
        query = top_query(view, n, torch.cat(parts), "influence")
        return Query(query.ids, query.score, query.parts, query.pseudo_label, notes)

    def direction(
        self, view: "PoolView", tangents: Tangents
    ) -> tuple[Float[Tensor, " w"], dict[str, float | int | str]]:
        """s = (H + λ)⁻¹ v, v the gradient of the labelled data's mean loss."""
        o, ids = self.options, view.labelled_ids
        inputs = view.inputs
        assert inputs

        def batch(rows: Int64[np.ndarray, " b"]) -> tuple[Tensor, Tensor]:
            x = inputs(ids[rows])
            return x, torch.from_numpy(view.labels[rows]).to(x.device)

        def mean(of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            chunks = np.split(np.arange(len(ids)), range(CHUNK, len(ids), CHUNK))
            total = of(*batch(chunks[0]))
            for rows in chunks[1:]:
                total = total + of(*batch(rows))
            return total / len(ids)

        v = mean(tangents.gradient)
        if o.solver == "cg":

            def damped(h: Tensor) -> Tensor:
                return mean(lambda x, y: tangents.curvature(x, y, h)) + o.damping * h

            s, facts = conjugate_gradients(damped, v, o.iterations, o.tolerance)
            return s, {"solver": "cg", **facts}
        rng = view.rng("LiSSA")
        rows = passes(rng, len(ids))
        found = [
            lissa(
                lambda h: tangents.curvature(*batch(next(rows)), h), v, o.damping, o.scale, o.depth
            )
            for _ in range(o.repeats)
        ]
        return torch.stack(found).mean(0), {"solver": "lissa", "items": o.depth * o.repeats}


def passes(rng: np.random.Generator, n: int) -> Iterator[Int64[np.ndarray, "1"]]:
    """Single rows, in endless shuffled passes over n: any number of labelled items will do."""
    while True:
        yield from rng.permutation(n).astype(np.int64)[:, None]


method(
    "isal",
    "cross-entropy",
    "isal",
    title="ISAL",
    citation="Liu et al. 2021, Influence selection for active learning, ICCV",
    query_cost="2 × prediction of N, and about 10 gradients of the labelled data",
)
