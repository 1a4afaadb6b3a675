"""The hypergradient against finite differences of retrained optima, all expectations exact."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from autosimulate_pipeline.distributions import Gaussian
from autosimulate_pipeline.hypergradient import (
    HypergradientSettings,
    ImplicitProblem,
    leave_one_out_baseline,
    normalised_advantages,
    score_function_gradient,
    validation_influences,
)
from closed_forms import Logistic, Ridge

MEAN, SIGMA = 1.2, 0.6
STEP = 1e-5  # central differences: truncation of order STEP² = 1e-10, rounding of order 1e-16 / STEP = 1e-11


def exactly(damping: float, curvature: str = "ggn") -> HypergradientSettings:
    return HypergradientSettings(curvature=curvature, solver="exact", damping=damping)


def ridge_gradient(ridge: Ridge, solve_with: HypergradientSettings) -> Tensor:
    """dL_val/d(mean, σ) = −E[f · score]."""
    scenes, _ = ridge.nodes(MEAN, SIGMA)
    influences, _, _ = validation_influences(ridge.problem(MEAN, SIGMA), ridge.optimum(MEAN, SIGMA), solve_with)
    z = (scenes - MEAN) / SIGMA
    score = torch.stack([z / SIGMA, (z.square() - 1) / SIGMA], dim=1)
    return -(influences[:, None] * score).mean(dim=0)


def ridge_differences(ridge: Ridge) -> Tensor:
    def loss(mean: float, sigma: float) -> Tensor:
        return ridge.validation_loss(ridge.optimum(mean, sigma))

    by_mean = loss(MEAN + STEP, SIGMA) - loss(MEAN - STEP, SIGMA)
    by_sigma = loss(MEAN, SIGMA + STEP) - loss(MEAN, SIGMA - STEP)
    return torch.stack([by_mean, by_sigma]) / (2 * STEP)


@pytest.mark.parametrize("curvature", ["ggn", "hessian"])
@pytest.mark.parametrize("damping", [0.0, 0.1, 10.0])
def test_ridge_hypergradient_is_that_of_the_retrained_optimum(damping: float, curvature: str):
    ridge = Ridge(damping)
    gradient = ridge_gradient(ridge, exactly(damping, curvature))
    torch.testing.assert_close(gradient, ridge_differences(ridge), rtol=1e-6, atol=1e-8)


def test_ridge_hypergradient_of_a_mean_in_the_unit_range_is_scaled_by_the_range():
    ridge, gaussian = Ridge(), Gaussian(low=-2, high=4, mean=MEAN, width=SIGMA / 6)
    scenes, _ = ridge.nodes(MEAN, SIGMA)
    influences, _, _ = validation_influences(ridge.problem(MEAN, SIGMA), ridge.optimum(MEAN, SIGMA), exactly(0.1))
    gradient = -gaussian.expectation_gradient(influences, scenes)
    torch.testing.assert_close(gradient, 6 * ridge_differences(ridge)[:1], rtol=1e-6, atol=1e-8)


def test_solving_with_another_damping_than_that_of_the_optimum_turns_the_sign():
    ridge = Ridge(damping=0.1)
    right = ridge_gradient(ridge, exactly(0.1))[0]
    assert right > 0.1
    assert ridge_gradient(ridge, exactly(1.0))[0] < 0
    assert ridge_gradient(ridge, exactly(10.0))[0] < 0


@pytest.mark.parametrize("curvature", ["ggn", "hessian"])
def test_logistic_hypergradient_is_that_of_the_retrained_optimum(curvature: str):
    logistic, probabilities = Logistic(), (0.2, 0.5, 0.3)

    def loss(mean: float = 6.0, probability: float = 0.3, probabilities: tuple[float, ...] = probabilities) -> Tensor:
        return logistic.validation_loss(logistic.optimum(logistic.distribution(mean, probability, probabilities)))

    distribution = logistic.distribution(6.0, 0.3, probabilities)
    draws, _ = logistic.nodes(distribution)
    influences, _, _ = validation_influences(
        logistic.problem(distribution), logistic.optimum(distribution), exactly(logistic.damping, curvature)
    )
    gradient = -score_function_gradient(distribution.score(draws), influences, torch.zeros(()))
    by_light, by_material, by_samples = gradient.split([1, 1, 3])

    h = 1e-4  # truncation 1e-8 of the third derivative, optimum to 1e-12 / h = 1e-8
    light = 10 * (loss(mean=6 + h) - loss(mean=6 - h)) / (2 * h)  # the unit range is 10 wide
    material = (loss(probability=0.3 + h) - loss(probability=0.3 - h)) / (2 * h)
    torch.testing.assert_close(torch.cat([by_light, by_material]), torch.stack([light, material]), rtol=1e-6, atol=1e-7)

    for up, down in itertools.combinations(range(3), 2):  # the tangents of the simplex
        tangent = torch.zeros(3, dtype=torch.float64)
        tangent[up], tangent[down] = 1.0, -1.0
        forth, back = (
            tuple((torch.tensor(probabilities, dtype=torch.float64) + sign * h * tangent).tolist()) for sign in (1, -1)
        )
        expected = (loss(probabilities=forth) - loss(probabilities=back)) / (2 * h)
        torch.testing.assert_close(by_samples @ tangent, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("damping", [0.0, 0.1, 1.0])
def test_mean_influence_at_the_ridge_optimum_is_minus_damping_times_inverse_hvp_times_weights(damping: float):
    ridge = Ridge(damping)
    optimum = ridge.optimum(MEAN, SIGMA)
    influences, solution, _ = validation_influences(ridge.problem(MEAN, SIGMA), optimum, exactly(damping))
    torch.testing.assert_close(influences.mean(), -damping * solution.value @ optimum, rtol=1e-9, atol=1e-11)
    assert (influences.mean().abs() < 1e-11) == (damping == 0)


def test_mean_influence_at_the_logistic_optimum_is_minus_damping_times_inverse_hvp_times_weights():
    logistic = Logistic(damping=0.3)
    distribution = logistic.distribution(4.0, 0.6, (0.3, 0.3, 0.4))
    optimum = logistic.optimum(distribution)
    influences, solution, _ = validation_influences(logistic.problem(distribution), optimum, exactly(0.3))
    torch.testing.assert_close(influences.mean(), -0.3 * solution.value @ optimum, rtol=1e-9, atol=1e-11)


def test_few_steps_of_the_default_solver_already_give_the_ridge_influences():
    ridge = Ridge()
    problem, optimum = ridge.problem(MEAN, SIGMA), ridge.optimum(MEAN, SIGMA)
    default = HypergradientSettings(tolerance=1e-10)
    by_steps, solution, gradient_norm = validation_influences(problem, optimum, default)
    torch.testing.assert_close(by_steps, validation_influences(problem, optimum, exactly(0.1)).influences)
    assert (solution.num_steps, solution.outcome) == (2, "converged")
    assert gradient_norm == pytest.approx(torch.func.grad(ridge.validation_loss)(optimum).norm().item())


def test_strong_damping_leaves_the_validation_gradient():
    ridge = Ridge()
    optimum = ridge.optimum(MEAN, SIGMA)
    _, solution, _ = validation_influences(ridge.problem(MEAN, SIGMA), optimum, exactly(1e8))
    # (A + λI)⁻¹g = g/λ − Ag/λ² + …, so the relative error is ‖A‖/λ, about 3e-8
    torch.testing.assert_close(1e8 * solution.value, torch.func.grad(ridge.validation_loss)(optimum), rtol=1e-6, atol=0)


def test_settings_name_key_value_and_what_is_wanted():
    with pytest.raises(ValueError, match=r"hypergradient\.damping must be at least 0, got -0\.1"):
        HypergradientSettings(damping=-0.1)
    with pytest.raises(ValueError, match=r"hypergradient\.solver must be one of conjugate_gradient, .*, got cholesky"):
        HypergradientSettings(solver="cholesky")


def test_gauss_newton_needs_outputs():
    ridge = Ridge()
    whole = ImplicitProblem(ridge.problem(MEAN, SIGMA).per_sample_losses, ridge.validation_loss)
    with pytest.raises(ValueError, match=r"hypergradient\.curvature must be hessian"):
        validation_influences(whole, ridge.optimum(MEAN, SIGMA), exactly(0.1))


def test_leave_one_out_baseline_leaves_the_estimate_unbiased_and_the_full_mean_does_not():
    """The mean over every possible batch of K = 3 Bernoulli draws, weighted by its probability, is exact."""
    probability, f = 0.3, torch.tensor([5.0, 7.0], dtype=torch.float64)
    with_leave_one_out = with_mean = torch.zeros(1, dtype=torch.float64)
    for batch in itertools.product([0, 1], repeat=3):
        draws = torch.tensor(batch)
        chance = torch.where(draws == 1, probability, 1 - probability).prod()
        score = ((draws - probability) / (probability * (1 - probability))).double().unsqueeze(1)
        values = f[draws]
        with_leave_one_out = with_leave_one_out + chance * score_function_gradient(
            score, values, leave_one_out_baseline(values)
        )
        with_mean = with_mean + chance * score_function_gradient(score, values, values.mean())
    torch.testing.assert_close(with_leave_one_out.item(), 2.0, rtol=1e-6, atol=0)  # f(1) − f(0), equation (3)
    torch.testing.assert_close(with_mean.item(), 2.0 * 2 / 3, rtol=1e-6, atol=0)  # shrunken by (K − 1)/K


def test_leave_one_out_baseline_is_the_mean_of_the_others():
    baseline = leave_one_out_baseline(torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64))
    torch.testing.assert_close(baseline, torch.tensor([4.0, 3.5, 1.5], dtype=torch.float64))


def test_advantages_have_mean_0_and_variance_1_and_ignore_shift_and_scale():
    influences = torch.linspace(-1, 2, 20, dtype=torch.float64).exp()
    advantages = normalised_advantages(influences)
    assert advantages.mean().abs() < 1e-12
    assert advantages.square().mean().item() == pytest.approx(1)
    torch.testing.assert_close(normalised_advantages(1e3 * influences + 7), advantages)


def test_one_odd_image_counts_for_two_and_a_half_deviations():
    influences = torch.zeros(50, dtype=torch.float64)
    influences[3] = 1e6
    assert normalised_advantages(influences).max() == 2.5


@pytest.mark.parametrize("value", [0.0, 0.1, -3e8])
def test_equal_influences_have_no_advantage(value: float):
    assert not normalised_advantages(torch.full((20,), value, dtype=torch.float64)).any()


@pytest.mark.parametrize("estimate", [leave_one_out_baseline, normalised_advantages])
def test_influences_that_are_not_finite_or_too_few_are_refused(estimate):
    with pytest.raises(ValueError, match="finite, got 1 of 3"):
        estimate(torch.tensor([1.0, float("nan"), 2.0]))
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        estimate(torch.tensor([1.0]))
