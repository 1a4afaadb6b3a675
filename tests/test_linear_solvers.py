"""Linear solvers against dense solves; what stops one early is an outcome that it reports."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autosimulate_pipeline.hypergradient.linear_solvers import LINEAR_SOLVERS, Outcome, SolverSettings
from autosimulate_pipeline.hypergradient.linear_solvers.conjugate_gradient import conjugate_gradient

THAT_SOLVE = sorted(set(LINEAR_SOLVERS) - {"identity"})
PATIENT = SolverSettings(max_steps=1000, tolerance=1e-8)


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def positive_definite(size: int, seed: int) -> Tensor:
    """Eigenvalues evenly spread over [0.5, 5]."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return basis @ torch.diag(torch.linspace(0.5, 5, size, dtype=torch.float64)) @ basis.T


@pytest.mark.parametrize("solver", LINEAR_SOLVERS)
def test_identity_system_returns_right_hand_side(solver: str):
    b = vector(1, 2, 3)
    solution = LINEAR_SOLVERS[solver](lambda v: v, b, PATIENT)
    torch.testing.assert_close(solution.value, b, rtol=1e-7, atol=0)
    assert solution.outcome is Outcome.CONVERGED


@pytest.mark.parametrize("solver", LINEAR_SOLVERS)
def test_right_hand_side_of_zeros_gives_zeros(solver: str):
    solution = LINEAR_SOLVERS[solver](lambda v: 3 * v, torch.zeros(3, dtype=torch.float64), PATIENT)
    assert not solution.value.any()
    assert (solution.outcome, solution.residual_norm) == (Outcome.CONVERGED, 0.0)


@pytest.mark.parametrize("solver", THAT_SOLVE)
def test_solution_is_that_of_a_dense_solve(solver: str):
    matrix, b = positive_definite(6, seed=0), torch.arange(1.0, 7.0, dtype=torch.float64)
    solution = LINEAR_SOLVERS[solver](lambda v: matrix @ v, b, PATIENT)
    assert solution.outcome is Outcome.CONVERGED
    # a residual of 1e-8 ‖b‖ over the smallest eigenvalue, 0.5, leaves an error of 2e-8 ‖b‖ = 2e-7
    torch.testing.assert_close(solution.value, torch.linalg.solve(matrix, b), rtol=0, atol=2e-7)


@pytest.mark.parametrize("solver", LINEAR_SOLVERS)
def test_residual_norm_is_the_true_one(solver: str):
    matrix, b = positive_definite(12, seed=1), torch.ones(12, dtype=torch.float64)
    solution = LINEAR_SOLVERS[solver](lambda v: matrix @ v, b, SolverSettings(max_steps=3, tolerance=1e-12))
    true_residual = (b - matrix @ solution.value).norm() / b.norm()
    assert solution.residual_norm == pytest.approx(true_residual.item(), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("solver", ["conjugate_gradient", "scipy_cg", "neumann"])
def test_out_of_steps_is_reported(solver: str):
    matrix, b = positive_definite(12, seed=1), torch.ones(12, dtype=torch.float64)
    solution = LINEAR_SOLVERS[solver](lambda v: matrix @ v, b, SolverSettings(max_steps=3, tolerance=1e-12))
    assert (solution.outcome, solution.num_steps) == (Outcome.MAX_STEPS, 3)


@pytest.mark.parametrize("solver", ["conjugate_gradient", "scipy_cg", "newton_cg"])
def test_negative_curvature_is_reported(solver: str):
    diagonal = vector(3, 2, -1)
    solution = LINEAR_SOLVERS[solver](lambda v: diagonal * v, vector(1, 1, 1), SolverSettings())
    assert solution.outcome is Outcome.NEGATIVE_CURVATURE
    assert solution.value.norm() < 20  # it did not run away


@pytest.mark.parametrize(("solver", "num_steps"), [("conjugate_gradient", 1), ("newton_cg", 2)])
def test_negative_curvature_at_the_first_step_returns_the_right_hand_side(solver: str, num_steps: int):
    b = vector(1, 2)
    solution = LINEAR_SOLVERS[solver](lambda v: -v, b, SolverSettings())
    torch.testing.assert_close(solution.value, b)
    assert (solution.outcome, solution.num_steps) == (Outcome.NEGATIVE_CURVATURE, num_steps)
    assert solution.residual_norm == pytest.approx(2)


def test_newton_cg_does_not_follow_a_residual_with_negative_curvature():
    """The first iteration solves for the first entry alone; what is left is the third, which has no minimum."""
    diagonal = vector(3, 2, -1)
    solution = LINEAR_SOLVERS["newton_cg"](lambda v: diagonal * v, vector(1, 0, 1e-3), SolverSettings())
    torch.testing.assert_close(solution.value, vector(1, 0, 1e-3) / 3, rtol=1e-3, atol=0)
    assert solution.outcome is Outcome.NEGATIVE_CURVATURE


def test_negative_curvature_later_returns_the_iterate_so_far():
    diagonal, b = vector(3, 2, -1), vector(1, 1, 1)
    solution = conjugate_gradient(lambda v: diagonal * v, b, SolverSettings())
    # pᵀAp is 4 along p₀ = b, so v₁ = (3/4) b; the residual (−5, −2, 7)/4 makes p₁ = (3, 6, 15)/2, and pᵀAp < 0
    torch.testing.assert_close(solution.value, 0.75 * b)
    assert solution.num_steps == 2


@pytest.mark.parametrize("solver", LINEAR_SOLVERS)
def test_products_that_are_not_finite_are_reported(solver: str):
    products = []

    def product(v: Tensor) -> Tensor:
        products.append(v)
        return v * float("nan")

    solution = LINEAR_SOLVERS[solver](product, torch.ones(100, dtype=torch.float64), SolverSettings())
    assert solution.outcome is Outcome.NOT_FINITE
    assert len(products) <= 101  # the dense solve's, and one for the residual


def test_neumann_series_diverges_openly_when_its_step_is_too_long():
    solution = LINEAR_SOLVERS["neumann"](lambda v: 100 * v, vector(1, 2), SolverSettings(neumann_step=0.05))
    assert solution.outcome is Outcome.MAX_STEPS
    assert solution.residual_norm > 1


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_conjugate_gradient_is_exact_after_as_many_steps_as_unknowns(size: int, seed: int):
    matrix = positive_definite(size, seed)
    b = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    solution = conjugate_gradient(lambda v: matrix @ v, b, SolverSettings(max_steps=size, tolerance=1e-9))
    assert solution.outcome is Outcome.CONVERGED
    torch.testing.assert_close(solution.value, torch.linalg.solve(matrix, b), rtol=0, atol=1e-8)


def test_conjugate_gradient_takes_as_many_steps_as_there_are_eigenvalues():
    diagonal = vector(2, 2, 5, 5, 5)
    solution = conjugate_gradient(lambda v: diagonal * v, vector(1, 2, 3, 4, 5), SolverSettings(tolerance=1e-12))
    assert (solution.outcome, solution.num_steps) == (Outcome.CONVERGED, 2)


@pytest.mark.parametrize("solver", LINEAR_SOLVERS)
def test_single_precision_stays_single_and_the_right_hand_side_stays_itself(solver: str):
    b = torch.tensor([1.0, 2.0])
    solution = LINEAR_SOLVERS[solver](lambda v: 2 * v, b, SolverSettings())
    assert solution.value.dtype == torch.float32
    assert b.tolist() == [1.0, 2.0]
