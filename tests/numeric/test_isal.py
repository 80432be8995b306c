"""ISAL: exact where the inverse Hessian is known, and true to what retraining does."""

import numpy as np
import pytest
import torch
from sessions import fitted, vectors
from tolerance import assert_rounded
from torch import Tensor
from torch.nn import functional as F
from views import acquire, array_view

from labelgap.axes.view import PoolView
from labelgap.core.errors import LabelgapError
from labelgap.methods.isal import Isal, Tangents, passes
from labelgap.networks.network import Network
from labelgap.select.inverse import conjugate_gradients, lissa
from labelgap.session.weights import weights_hash

D, K, L, N = 5, 3, 40, 60


class Logistic(Network):
    """Logistic regression, in float64."""

    def __init__(self) -> None:
        super().__init__(D, (), K)
        self.double()

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return x, []


def arrays() -> tuple[Tensor, Tensor, Tensor]:
    """Labelled x and y, and a pool."""
    rng = np.random.default_rng(0)
    way = rng.standard_normal((D, K))
    x = rng.standard_normal((L + N, D))
    y = (x @ way + 1.5 * rng.gumbel(size=(L + N, K))).argmax(axis=1)
    return torch.tensor(x[:L]), torch.tensor(y[:L]), torch.tensor(x[L:])


def logits(w: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    return x @ w.T + bias


def optimum(x: Tensor, y: Tensor, weight: Tensor, damping: float, bias: Tensor) -> Tensor:
    """Weights that minimise Σ_i weight_i · loss_i + damping/2 ‖w‖², by Newton's method."""
    w = torch.zeros(K, D, dtype=torch.float64)

    def objective(v: Tensor) -> Tensor:
        each = F.cross_entropy(logits(v.view(K, D), x, bias), y, reduction="none")
        return (weight * each).sum() + damping / 2 * v.square().sum()

    for _ in range(12):
        v = w.reshape(-1)
        step = torch.linalg.solve(torch.func.hessian(objective)(v), torch.func.grad(objective)(v))
        w = (v - step).view(K, D)
    return w


def setting(damping: float) -> tuple[Logistic, PoolView]:
    """The trained regression and a view of its pool."""
    x, y, pool = arrays()
    network = Logistic().eval()
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([0.1, -0.2, 0.0]))
        mean = torch.full((L,), 1 / L, dtype=torch.float64)
        network.head.weight.copy_(optimum(x, y, mean, damping, network.head.bias))
        found = network(pool).logits.float()

    def inputs(ids: np.ndarray) -> Tensor:
        return torch.stack([x[i] if i < 1000 else pool[i - 1000] for i in ids.tolist()])

    view = array_view(
        {"logits": found}, {"logits": found[:0]}, y.numpy(), network=network, inputs=inputs
    )
    return network, view


# The loss is float32 by design, and so are the roundings of its derivatives in float64: those of a
# softmax over the classes, its logarithm, and the products with its gradient.
LOSS = {"terms": 8 * K, "dtype": torch.float32}


def exact_direction(network: Logistic, damping: float) -> tuple[Tensor, Tensor]:
    """(H + λ)⁻¹ v with the Hessian written out; its spread, as the solution magnifies errors of H
    and v by the condition of H + λ."""
    x, y, _ = arrays()

    def mean_loss(v: Tensor) -> Tensor:
        return F.cross_entropy(logits(v.view(K, D), x, network.head.bias.detach()), y)

    v = network.head.weight.detach().reshape(-1)
    h = torch.func.hessian(mean_loss)(v) + damping * torch.eye(K * D, dtype=torch.float64)
    exact = torch.linalg.solve(h, torch.func.grad(mean_loss)(v))
    return exact, torch.linalg.cond(h) * exact.abs().max()


@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_both_solvers_converge_to_the_exact_damped_inverse(damping: float) -> None:
    network, view = setting(0.1)
    exact, spread = exact_direction(network, damping)
    tangents = Tangents(network)
    isal = acquire("isal", damping=damping, iterations=200, tolerance=1e-9)
    assert isinstance(isal, Isal)
    s, notes = isal.direction(view, tangents)
    assert_rounded(s, exact, spread=spread, **LOSS)
    assert notes["negative_curvature"] == 0
    x, y, _ = arrays()
    v = tangents.gradient(x, y) / L
    h = torch.stack([tangents.curvature(x, y, row) for row in torch.eye(K * D).double()]) / L
    assert_rounded(h, h.T, spread=h.abs().max(), **LOSS)
    iterated = lissa(lambda s: h @ s, v, damping, 3.0, 6000)
    assert_rounded(iterated, exact, spread=spread, **LOSS)


def test_single_items_give_the_same_direction_on_average() -> None:
    network, view = setting(0.1)
    exact, _ = exact_direction(network, 100.0)
    published = acquire("isal", solver="lissa", damping=100.0, scale=1e4, depth=500, repeats=1)
    assert isinstance(published, Isal)
    s, notes = published.direction(view, Tangents(network))
    assert notes["items"] == 500
    assert float(F.cosine_similarity(s, exact, dim=0)) > 0.999
    assert float(s.norm() / exact.norm()) == pytest.approx(1.0, abs=0.02)


def test_score_is_the_change_of_the_reference_loss_by_retraining() -> None:
    """Up-weight a candidate with its pseudo-label by ε, train to the optimum, and look."""
    damping, epsilon = 0.1, 1e-3
    network, view = setting(damping)
    x, y, pool = arrays()
    bias = network.head.bias.detach()
    query = acquire("isal", damping=damping, iterations=200, tolerance=1e-9).select(view, N)
    assert query.score is not None
    mean = torch.full((L + 1,), 1 / L, dtype=torch.float64)

    def reference(weight: float, u: int, label: int) -> float:
        mean[-1] = weight
        more, labels = torch.cat([x, pool[[u]]]), torch.cat([y, torch.tensor([label])])
        w = optimum(more, labels, mean, damping, bias)
        return float(F.cross_entropy(logits(w, x, bias), y))

    assert query.pseudo_label is not None
    for place in (0, 1, N // 2, N - 1):
        u, label = int(query.ids[place]) - 1000, int(query.pseudo_label[place])
        change = (reference(epsilon, u, label) - reference(-epsilon, u, label)) / (2 * epsilon)
        # A central difference is off by the square of its step, which is a 25th of a weight.
        assert -change == pytest.approx(float(query.score[place]), rel=(L * epsilon) ** 2)
    assert query.score[0] > 0 > query.score[-1]


@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_slopes_are_inner_products_of_single_gradients(kind: str) -> None:
    session = fitted("isal", steps=15, task=vectors() if kind == "vectors" else None)
    view, network = session.view(1), session.training.network.double()
    tangents, before = Tangents(network), weights_hash(network)
    ids = view.candidate_ids[:6]
    assert view.inputs
    x, y = view.inputs(ids).double(), view.pseudo_labels[:6]
    s = torch.randn(
        sum(w.numel() for w in tangents.weights.values()),
        generator=torch.Generator().manual_seed(1),
        dtype=torch.float64,
    )
    slopes = tangents.slopes(x, y, s)
    weights = [p for p in network.parameters() if p.ndim > 1]
    for p in weights:
        p.requires_grad_(True)
    expected = []
    for i in range(6):
        loss = F.cross_entropy(network(x[[i]]).logits, y[[i]])
        one = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, weights)])
        expected.append(float(one @ s))
    assert_rounded(slopes, expected, spread=np.abs(expected).max(), **LOSS)
    # Curvature against reverse over reverse, of a network with batch-norm.
    loss = F.cross_entropy(network(x).logits, y, reduction="sum")
    first = torch.autograd.grad(loss, weights, create_graph=True)
    inner = torch.cat([g.reshape(-1) for g in first]) @ s
    second = torch.cat([g.reshape(-1) for g in torch.autograd.grad(inner, weights)])
    found = tangents.curvature(x, y, s)
    assert_rounded(found, second, spread=second.abs().max(), **LOSS)
    assert weights_hash(network) == before


def test_query_is_the_same_in_any_order_and_says_how_it_was_solved() -> None:
    session = fitted("isal", steps=30)
    view = session.view(1)
    query = session.acquisition.select(view, 12)
    assert query.notes["solver"] == "cg"
    assert query.notes["residual"] <= 1e-3
    order = np.random.default_rng(0).permutation(len(view.candidate_ids))
    view.candidate_ids = view.candidate_ids[order]
    rows = torch.from_numpy(order)
    view._candidates = {name: x[rows] for name, x in view._candidates.items()}
    again = session.acquisition.select(view, 12)
    # Scores that are equal but for rounding may change places, at the border with others.
    assert_rounded(again.score, query.score, spread=np.abs(query.score).max(), **LOSS)


def test_conjugate_gradients_stop_where_the_matrix_curves_down() -> None:
    a = torch.diag(torch.tensor([1.0, -2.0]))
    v = torch.tensor([0.1, 1.0])
    s, facts = conjugate_gradients(lambda h: a @ h, v, 10, 1e-6)
    assert facts["negative_curvature"] == 1
    assert torch.equal(s, v)
    zero, facts = conjugate_gradients(lambda h: h, torch.zeros(2), 10, 1e-6)
    assert not zero.any()
    assert facts["iterations"] == 0


def test_passes_take_every_item_once() -> None:
    rows = passes(np.random.default_rng(0), 7)
    for _ in range(3):
        assert sorted(int(next(rows)[0]) for _ in range(7)) == list(range(7))


def test_arrays_alone_are_refused() -> None:
    view = array_view({"logits": torch.zeros(4, 3)}, labels=[])
    with pytest.raises(LabelgapError, match="network"):
        acquire("isal").select(view, 2)
