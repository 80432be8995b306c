"""Systems solved by products alone, against solutions by elimination in numpy."""

import numpy as np
import pytest
import torch

from labelgap.select.inverse import _dot, conjugate_gradients, lissa


def system(n=6, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n))
    h = root @ root.T + 0.5 * np.eye(n)
    v = rng.standard_normal(n)
    return torch.from_numpy(h), torch.from_numpy(v), torch.from_numpy(np.linalg.solve(h, v))


def test_conjugate_gradients_end_after_as_many_steps_as_there_are_unknowns():
    h, v, exact = system()
    s, how = conjugate_gradients(lambda p: h @ p, v, 50, 1e-9)
    torch.testing.assert_close(s, exact)
    assert how["iterations"] <= 8
    assert how["residual"] == pytest.approx(float((v - h @ s).norm() / v.norm()), abs=1e-12)
    assert how["residual"] <= 1e-9
    assert how["negative_curvature"] == 0


def test_each_step_is_the_best_of_its_krylov_space():
    """After i steps s minimises ½ sᵀHs − vᵀs over the span of v, Hv, …, H^(i−1) v."""
    h, v, _ = system()
    for i in range(5):
        s, how = conjugate_gradients(lambda p: h @ p, v, i, 0.0)
        assert how["iterations"] == i
        best = torch.zeros_like(v)
        if i:
            basis = torch.stack([torch.linalg.matrix_power(h, j) @ v for j in range(i)], 1)
            best = basis @ torch.linalg.solve(basis.T @ h @ basis, basis.T @ v)
        torch.testing.assert_close(s, best, rtol=1e-6, atol=1e-9)
        assert how["residual"] == pytest.approx(float((v - h @ s).norm() / v.norm()))


def test_the_tolerance_is_relative_to_the_right_hand_side():
    """H = diag(1, 100), v = 1e3 · (1, 1): the residual after one step is 98 % of ‖v‖."""
    h, v = torch.diag(torch.tensor([1.0, 100.0]).double()), torch.full((2,), 1e3).double()
    first = conjugate_gradients(lambda p: h @ p, v, 1, 0.0)[1]["residual"]
    assert first == pytest.approx(99 / 101)
    for tolerance, steps in ((1.0, 0), (0.9803, 1), (0.98, 2)):
        assert conjugate_gradients(lambda p: h @ p, v, 9, tolerance)[1]["iterations"] == steps


def test_a_matrix_that_curves_down_ends_it_with_what_was_found():
    v = torch.tensor([1.0, 2.0], dtype=torch.float64)
    for h in (-torch.eye(2).double(), torch.zeros(2, 2).double()):
        s, how = conjugate_gradients(lambda p, h=h: h @ p, v, 9, 1e-9)
        assert torch.equal(s, v)
        assert how == {"iterations": 0, "residual": 1.0, "negative_curvature": 1}
    h = torch.diag(torch.tensor([3.0, -1.0]).double())
    v = torch.tensor([3.0, 1.0]).double()
    s, how = conjugate_gradients(lambda p: h @ p, v, 9, 1e-9)
    assert (how["iterations"], how["negative_curvature"]) == (1, 1)
    torch.testing.assert_close(s, v * 10 / 26)  # vᵀv / vᵀHv


def test_nothing_on_the_right_has_the_solution_nothing():
    s, how = conjugate_gradients(lambda p: p, torch.zeros(3).double(), 9, 1e-9)
    assert torch.equal(s, torch.zeros(3).double())
    assert how == {"iterations": 0, "residual": 0.0, "negative_curvature": 0}


def test_products_of_short_vectors_and_of_float32_keep_their_digits():
    h, v, _ = system()
    s, how = conjugate_gradients(lambda p: h @ p, 1e-4 * v, 2, 0.0)
    assert how["residual"] == pytest.approx(float((1e-4 * v - h @ s).norm() / (1e-4 * v).norm()))
    assert how["residual"] > 1e-6
    assert _dot(torch.tensor([1e8, 1.0, -1e8]), torch.ones(3)) == 1.0


def test_lissa_is_the_truncated_neumann_series():
    """h_j = Σ_{i ≤ j} (1 − (H + damping)/scale)^i v, over scale: to the inverse in the limit."""
    h, v, _ = system()
    damping, scale = 0.3, float(torch.linalg.eigvalsh(h)[-1]) * 1.2
    shrink = torch.eye(6).double() - (h + damping * torch.eye(6).double()) / scale
    for depth in (0, 1, 4):
        series = sum(torch.linalg.matrix_power(shrink, i) @ v for i in range(depth + 1)) / scale
        torch.testing.assert_close(lissa(lambda p: h @ p, v, damping, scale, depth), series)
    exact = torch.linalg.solve(h + damping * torch.eye(6).double(), v)
    torch.testing.assert_close(lissa(lambda p: h @ p, v, damping, scale, 3000), exact)
