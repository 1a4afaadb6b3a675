"""Curvature and influences by every way of differentiation, against each other, loops, differences and curvlinops."""

from __future__ import annotations

import logging

import pytest
import torch
from curvlinops import GGNLinearOperator, HessianLinearOperator
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from autosimulate_pipeline.hypergradient.influence import influences, sample_by_sample
from autosimulate_pipeline.hypergradient.jacobian import (
    central_differences,
    double_backward,
    forward_mode,
    gradient,
    jacobian_product,
)
from autosimulate_pipeline.hypergradient.operators import damped, ggn_product, hessian_product


class CubeWithoutForwardMode(torch.autograd.Function):
    """x³ as extensions write it: reverse mode only, but twice differentiable."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * slope


class CubeDifferentiableOnce(CubeWithoutForwardMode):
    """x³ as RoIAlign does it: no second derivative either."""

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * slope


class Apply(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Problem:
    """A small convolutional classifier as functions of its flat weights, in float64."""

    def __init__(self, activation=torch.tanh, normalisation=lambda: nn.GroupNorm(2, 4)) -> None:
        torch_rng = torch.random.get_rng_state()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            normalisation(),
            Apply(activation),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 3),
        ).double()
        self.images = torch.randn(6, 3, 8, 8, dtype=torch.float64)
        self.labels = torch.randint(0, 3, (6,))
        self.network(10 * self.images)  # moves BatchNorm's running statistics off their defaults
        self.network.eval()
        self.parameters = {name: p.detach() for name, p in self.network.named_parameters()}
        self.weights = torch.cat([p.flatten() for p in self.parameters.values()])
        torch.random.set_rng_state(torch_rng)

    def outputs(self, weights: Tensor) -> Tensor:
        parts = weights.split([p.numel() for p in self.parameters.values()])
        named = {name: part.view_as(p) for part, (name, p) in zip(parts, self.parameters.items(), strict=True)}
        return functional_call(self.network, named, (self.images,))

    def losses_of_outputs(self, logits: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, self.labels, reduction="none")

    def losses(self, weights: Tensor) -> Tensor:
        return self.losses_of_outputs(self.outputs(weights))

    def loss(self, weights: Tensor) -> Tensor:
        return self.losses(weights).mean()

    def ggn(self, weights: Tensor):
        return ggn_product(self.outputs, lambda logits: self.losses_of_outputs(logits).mean(), weights)

    def direction(self, seed: int = 0) -> Tensor:
        return torch.randn(self.weights.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem()


# Influences and Jacobian products


@pytest.mark.parametrize("way", [forward_mode, double_backward, central_differences])
def test_influences_agree_however_they_are_differentiated(problem: Problem, way):
    by_loop = sample_by_sample(problem.losses, problem.weights)(problem.direction())
    by_way = way(problem.losses, problem.weights)(problem.direction())
    # exact ways agree to rounding; differences have a truncation of about (cube root of 2e-16)² = 4e-11, times
    # third derivatives
    torch.testing.assert_close(by_way, by_loop, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("activation", "expected_way"),
    [
        (torch.tanh, "forward mode"),
        (CubeWithoutForwardMode.apply, "double backward"),
        (CubeDifferentiableOnce.apply, "one backward per image"),
    ],
)
def test_influences_fall_back_where_an_operation_lacks_a_derivative(activation, expected_way: str, caplog):
    problem = Problem(activation)
    with caplog.at_level(logging.DEBUG, logger="autosimulate_pipeline.hypergradient"):
        values = influences(problem.losses, problem.weights, problem.direction())
    assert caplog.messages[-1] == f"Products by {expected_way}"
    by_loop = sample_by_sample(problem.losses, problem.weights)(problem.direction())
    torch.testing.assert_close(values, by_loop, rtol=1e-9, atol=1e-12)
    assert not values.requires_grad


def test_unsupported_operations_give_the_same_answer_as_supported_ones():
    """The cube as a custom Function against the cube of plain operations, through every product."""
    plain = Problem(lambda x: x**3)
    for function in (CubeWithoutForwardMode, CubeDifferentiableOnce):
        custom = Problem(function.apply)
        direction = plain.direction()
        for name in ("hessian", "ggn", "outputs"):
            expected, value = (
                {
                    "hessian": lambda p=p: hessian_product(p.loss, p.weights),
                    "ggn": lambda p=p: p.ggn(p.weights),
                    "outputs": lambda p=p: jacobian_product(p.outputs, p.weights),
                }[name]()(direction)
                for p in (plain, custom)
            )
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)  # the last fallback is a difference


def test_memory_that_runs_out_is_no_reason_for_another_way(problem: Problem) -> None:
    def run_out(_theta: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        jacobian_product(run_out, problem.weights)(problem.direction())


def test_a_choice_is_kept_for_later_products(problem: Problem, caplog):
    product = jacobian_product(problem.outputs, problem.weights)
    with caplog.at_level(logging.DEBUG, logger="autosimulate_pipeline.hypergradient"):
        first, second = product(problem.direction(1)), product(2 * problem.direction(1))
    torch.testing.assert_close(second, 2 * first)
    assert len(caplog.messages) == 1


def test_an_error_of_the_function_itself_comes_through():
    with pytest.raises(RuntimeError, match="size"):
        influences(lambda weights: weights @ torch.ones(3), torch.ones(2), torch.ones(2))


# Curvature


def test_hessian_product_is_the_difference_of_gradients(problem: Problem):
    product = hessian_product(problem.loss, problem.weights)(problem.direction())
    h = 1e-5
    forth, back = (gradient(problem.loss, problem.weights + sign * h * problem.direction()) for sign in (1, -1))
    torch.testing.assert_close(product, (forth - back) / (2 * h), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
def test_curvature_is_symmetric_and_linear(problem: Problem, curvature: str):
    product = hessian_product(problem.loss, problem.weights) if curvature == "hessian" else problem.ggn(problem.weights)
    v, w = problem.direction(1), problem.direction(2)
    torch.testing.assert_close(w @ product(v), v @ product(w))
    torch.testing.assert_close(product(2 * v - w), 2 * product(v) - product(w))


@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
def test_products_are_those_of_curvlinops(curvature: str):
    # curvlinops takes the Hessian by forward over reverse, which GroupNorm does not support
    problem = Problem(normalisation=nn.Identity)
    product = hessian_product(problem.loss, problem.weights) if curvature == "hessian" else problem.ggn(problem.weights)
    operator = HessianLinearOperator if curvature == "hessian" else GGNLinearOperator
    parameters = list(problem.network.parameters())
    data = [(problem.images, problem.labels)]
    oracle = operator(problem.network, nn.CrossEntropyLoss(), parameters, data, check_deterministic=False)
    torch.testing.assert_close(product(problem.direction()), oracle @ problem.direction(), rtol=1e-9, atol=1e-11)


def test_gauss_newton_has_no_negative_curvature(problem: Problem):
    product = problem.ggn(problem.weights)
    for seed in range(10):
        v = problem.direction(seed)
        assert v @ product(v) > 0


def test_gauss_newton_stays_positive_where_the_hessian_does_not():
    """½(xy − 1)² at (½, ½): J = (½, ½) and xy − 1 = −¾, so that along v = (1, 1) G gives 1 and H gives 1 − 3/2."""
    point, v = torch.tensor([0.5, 0.5], dtype=torch.float64), torch.ones(2, dtype=torch.float64)

    def half_square(output: Tensor) -> Tensor:
        return 0.5 * (output - 1) ** 2

    assert v @ ggn_product(torch.prod, half_square, point)(v) == pytest.approx(1)
    assert v @ hessian_product(lambda theta: half_square(theta.prod()), point)(v) == pytest.approx(-0.5)


def test_gauss_newton_is_the_hessian_for_linear_least_squares():
    features = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def half_square(outputs: Tensor) -> Tensor:
        return 0.5 * (outputs - 1).square().mean()

    v = torch.arange(4.0, dtype=torch.float64)
    by_gauss_newton = ggn_product(lambda theta: features @ theta, half_square, v)(v)
    by_hessian = hessian_product(lambda theta: half_square(features @ theta), v)(v)
    torch.testing.assert_close(by_gauss_newton, features.T @ (features @ v) / 7)
    torch.testing.assert_close(by_hessian, features.T @ (features @ v) / 7)


def test_a_linear_loss_has_no_curvature():
    product = hessian_product(lambda theta: theta.sum(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(product(torch.ones(3, dtype=torch.float64)), torch.zeros(3, dtype=torch.float64))


def test_weights_that_nothing_depends_on_have_zeros():
    def outputs(theta: Tensor) -> Tensor:
        return theta[:2] ** 2

    theta = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    product = ggn_product(outputs, lambda values: values.square().sum(), theta)
    # J = diag(2θ), ∇² = 2I: G = diag(8θ²) on the first two
    torch.testing.assert_close(product(torch.ones(3, dtype=torch.float64)), torch.tensor([8.0, 32.0, 0.0]).double())


def test_damping_adds_a_multiple_of_the_direction(problem: Problem):
    v = problem.direction()
    torch.testing.assert_close(damped(lambda u: 2 * u, 0.5)(v), 2.5 * v)


def test_products_leave_no_gradient_behind(problem: Problem):
    weights = problem.weights.clone().requires_grad_()
    image = problem.ggn(weights)(problem.direction())
    assert weights.grad is None
    assert not image.requires_grad
