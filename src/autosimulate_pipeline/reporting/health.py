"""How far each hypergradient can be trusted: its norm against chance, its linear solve, who carries it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.hypergradient import leave_one_out_baseline, score_function_gradient
from autosimulate_pipeline.records import HypergradientReport

NUM_SHUFFLES = 64


@dataclass(frozen=True)
class Health:
    """One iteration's hypergradient.

    Attributes:
        iteration: from 0.
        norm: ‖E[f · ∇_ψ log p_ψ]‖ as estimated.
        noise_floor: root mean square of the norms that the same influences give when they are dealt to the scenes at
            random; None where the estimate cannot be recomputed.
        validation_gradient_norm: ‖∇_θ L_val‖.
        solver_steps, solver_outcome, solver_residual: of the linear solve.
        effective_images: (Σ|a|)²/Σa² with a = f − mean f: about how many of the images carry the estimate.
        share_helping: of the images, those with f > 0: training on them lowers the validation loss.
        num_images: images in the batch.
    """

    iteration: int
    norm: float
    noise_floor: float | None
    validation_gradient_norm: float
    solver_steps: int
    solver_outcome: str
    solver_residual: float
    effective_images: float
    share_helping: float
    num_images: int

    @property
    def stands_out(self) -> bool:
        """Whether the norm is above the noise floor."""
        return self.noise_floor is not None and self.norm > self.noise_floor


def health(
    iteration: int, report: HypergradientReport, distribution: ProductDistribution, draws: Tensor
) -> Health | None:
    """The health of one hypergradient, None where none was computed.

    Args:
        distribution: p_ψ of the iteration, which the draws are from.
        draws: unclipped, shape (K, num_dimensions).
    """
    if not report.influences:
        return None
    return Health(
        iteration=iteration,
        norm=report.norm,
        noise_floor=noise_floor(report, distribution, draws),
        validation_gradient_norm=report.validation_gradient_norm,
        solver_steps=report.solver_steps,
        solver_outcome=report.solver_outcome,
        solver_residual=report.solver_residual,
        effective_images=effective_number(report.influences),
        share_helping=sum(value > 0 for value in report.influences) / len(report.influences),
        num_images=len(report.influences),
    )


def noise_floor(report: HypergradientReport, distribution: ProductDistribution, draws: Tensor) -> float | None:
    """Root mean square norm of the estimate when f has nothing to do with the scenes: influences are shuffled.

    The estimate is the one that the method used: with control variate, or the supplement's equations (2) to (4),
    whichever gives the report's gradient; None if neither does. The shuffles have a seed of their own.
    """
    influences = torch.tensor(report.influences, dtype=torch.float64)
    if draws.shape[0] != len(influences) or not influences.isfinite().all():
        return None
    recorded = torch.tensor(list(report.gradient.values()), dtype=torch.float64)
    for estimate in _estimates(distribution, draws):
        gradient = estimate(influences)
        if gradient.shape == recorded.shape and torch.allclose(gradient, recorded, rtol=1e-3, atol=1e-6 * report.norm):
            generator = torch.Generator().manual_seed(0)
            orders = (torch.randperm(len(influences), generator=generator) for _ in range(NUM_SHUFFLES))
            squares = [float(estimate(influences[order]).square().sum()) for order in orders]
            return math.sqrt(sum(squares) / len(squares))
    return None


def effective_number(influences: Sequence[float]) -> float:
    """Kish's effective sample size of the weights |f − mean f|: from 2 to their number; 0 where all are the same."""
    mean = sum(influences) / len(influences)
    weights = [abs(value - mean) for value in influences]
    squares = sum(weight * weight for weight in weights)
    return sum(weights) ** 2 / squares if squares else 0.0


def _estimates(distribution: ProductDistribution, draws: Tensor) -> tuple[Callable[[Tensor], Tensor], ...]:
    scores = distribution.score(draws)
    return (
        lambda influences: score_function_gradient(scores, influences, leave_one_out_baseline(influences)),
        lambda influences: distribution.expectation_gradient(influences.unsqueeze(1).expand_as(draws), draws),
    )
