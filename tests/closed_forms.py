"""Bilevel problems whose retrained optimum is known, with every expectation exact.

An expectation over p_ψ is a weighted sum over nodes: Gauss-Hermite quadrature for a Gaussian, enumeration for discrete
parameters. The hypergradient's code takes plain means over K samples, so each node's loss is given the factor
K · weight: its mean is then the expectation, and the mean of influences times scores is E[f · score].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from autosimulate_pipeline.distributions import Bernoulli, Categorical, Gaussian, ProductDistribution
from autosimulate_pipeline.hypergradient import ImplicitProblem


def gauss_hermite(num_nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights, each of shape (num_nodes,), with Σ w g(x) = E[g] for x ~ N(0, 1) and a smooth g."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


@dataclass(frozen=True)
class Ridge:
    """Fit a line to s²/2 − s over s ~ N(mean, σ²), with weight decay λ; validate it on four points.

    Six nodes integrate polynomials up to degree 11 exactly; the highest here is 6 (a squared residual times a score).
    """

    damping: float = 0.1
    validation_inputs: Tensor = field(default_factory=lambda: torch.tensor([2.5, 0.5, 0.0, 0.5], dtype=torch.float64))
    validation_targets: Tensor = field(default_factory=lambda: torch.tensor([0.0, 1.5, 1.0, 1.0], dtype=torch.float64))

    def nodes(self, mean: float, sigma: float) -> tuple[Tensor, Tensor]:
        """Scenes and their weights."""
        nodes, weights = gauss_hermite(6)
        return mean + sigma * nodes, weights

    def optimum(self, mean: float, sigma: float) -> Tensor:
        """θ* = (E[φφᵀ] + λI)⁻¹ E[φ y]."""
        scenes, weights = self.nodes(mean, sigma)
        features = _line(scenes)
        gram = features.T @ (weights[:, None] * features) + self.damping * torch.eye(2, dtype=torch.float64)
        return torch.linalg.solve(gram, features.T @ (weights * _parabola(scenes)))

    def validation_loss(self, theta: Tensor) -> Tensor:
        return 0.5 * (_line(self.validation_inputs) @ theta - self.validation_targets).square().mean()

    def problem(self, mean: float, sigma: float) -> ImplicitProblem:
        scenes, weights = self.nodes(mean, sigma)
        targets = _parabola(scenes)

        def outputs(theta: Tensor) -> Tensor:
            return _line(scenes) @ theta

        def losses_of_outputs(values: Tensor) -> Tensor:
            return len(scenes) * weights * 0.5 * (values - targets).square()

        return _problem(outputs, losses_of_outputs, self.validation_loss)


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on scenes of a Gaussian, a Bernoulli and a Categorical parameter; λ is its weight decay.

    The training labels depend on the scene in a way that the linear logit cannot follow, so that ψ matters.
    """

    damping: float = 0.1

    def distribution(self, mean: float, probability: float, probabilities: tuple[float, ...]) -> ProductDistribution:
        return ProductDistribution(
            {
                "light": Gaussian(low=0, high=10, mean=mean, width=0.1),
                "material": Bernoulli(values=("rubber", "metal"), probability=probability),
                "samples": Categorical(values=(2, 128, 512), probabilities=probabilities),
            }
        )

    def nodes(self, distribution: ProductDistribution) -> tuple[Tensor, Tensor]:
        """Draws, shape (K, 3), and their weights, shape (K,)."""
        gaussian, bernoulli, categorical = distribution.parameters.values()
        nodes, weights = gauss_hermite(40)
        sigma = gaussian.width * (gaussian.high - gaussian.low)
        draws = torch.cartesian_prod(
            gaussian.mean + sigma * nodes, torch.arange(2, dtype=torch.float64), torch.arange(3, dtype=torch.float64)
        )
        joint = torch.cartesian_prod(weights, bernoulli.weights(), categorical.weights()).prod(dim=1)
        return draws, joint

    def optimum(self, distribution: ProductDistribution) -> Tensor:
        """θ* by Newton's method, to rounding."""
        problem = self.problem(distribution)

        def objective(theta: Tensor) -> Tensor:
            return problem.per_sample_losses(theta).mean() + 0.5 * self.damping * theta.square().sum()

        theta = torch.zeros(5, dtype=torch.float64)
        for _ in range(8):
            slope = torch.func.grad(objective)(theta)
            theta = theta - torch.linalg.solve(torch.func.hessian(objective)(theta), slope)
        assert slope.norm() < 1e-12
        return theta

    def validation_loss(self, theta: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(20, 5, generator=generator, dtype=torch.float64)
        labels = (inputs[:, 1] - inputs[:, 3] + 0.5 * inputs[:, 4] > 0).double()
        return torch.nn.functional.binary_cross_entropy_with_logits(inputs @ theta, labels)

    def problem(self, distribution: ProductDistribution) -> ImplicitProblem:
        draws, weights = self.nodes(distribution)
        light, material, samples = (draws - torch.tensor([5.0, 0.0, 0.0])).unbind(dim=1)
        features = torch.stack([torch.ones_like(light), light / 2, material, samples == 1, samples == 2], dim=1)
        labels = 0.5 + 0.4 * torch.sin(light / 2 + material * light / 3 - samples)

        def outputs(theta: Tensor) -> Tensor:
            return features @ theta

        def losses_of_outputs(logits: Tensor) -> Tensor:
            losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            return len(draws) * weights * losses

        return _problem(outputs, losses_of_outputs, self.validation_loss)


def _line(scenes: Tensor) -> Tensor:
    return torch.stack([torch.ones_like(scenes), scenes], dim=1)


def _parabola(scenes: Tensor) -> Tensor:
    return scenes.square() / 2 - scenes


def _problem(outputs, losses_of_outputs, validation_loss) -> ImplicitProblem:
    return ImplicitProblem(
        per_sample_losses=lambda theta: losses_of_outputs(outputs(theta)),
        validation_loss=validation_loss,
        outputs=outputs,
        losses_of_outputs=losses_of_outputs,
    )
