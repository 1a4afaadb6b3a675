"""The contract of the linear solvers: A v = b for a symmetric A that is known by its products alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autosimulate_pipeline.hypergradient.jacobian import Product


class Outcome(StrEnum):
    """How a solve ended."""

    CONVERGED = "converged"
    MAX_STEPS = "max_steps"
    NEGATIVE_CURVATURE = "negative_curvature"
    NOT_FINITE = "not_finite"


@dataclass(frozen=True, eq=False)
class Solution:
    """An answer, good or not, with the reason why the solver stopped.

    Attributes:
        value: v, shape (num_weights,).
        outcome: how the solve ended.
        num_steps: how many products with A the solve took.
        residual_norm: ‖b − A v‖ / ‖b‖.
    """

    value: Tensor
    outcome: Outcome
    num_steps: int
    residual_norm: float


class SolverSettings(BaseModel):
    """When a solver stops."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_steps: int = Field(
        default=10, ge=1, description="most steps of an iterative solver; of newton_cg its outer iterations"
    )
    tolerance: float = Field(
        default=1e-2,
        gt=0,
        description="residual to reach, relative to the right-hand side; of newton_cg the change in an outer iteration",
    )
    neumann_step: float = Field(
        default=0.05, gt=0, description="of neumann alone: scale of A in the series, below 2/‖A‖"
    )


class LinearSolver(Protocol):
    """Solves A v = b; an early stop is an outcome, not an error."""

    def __call__(self, product: Product, b: Tensor, settings: SolverSettings) -> Solution: ...


def relative_norm(residual: Tensor, b: Tensor) -> float:
    """‖residual‖ / ‖b‖, 0 where b is 0."""
    norm = float(b.norm())
    return float(residual.norm()) / norm if norm else 0.0


def assess(value: Tensor, residual: Tensor, b: Tensor, num_steps: int, settings: SolverSettings) -> Solution:
    """The solution with the outcome that its residual shows: converged, not finite, or out of steps."""
    residual_norm = relative_norm(residual, b)
    if not torch.tensor(residual_norm).isfinite():
        outcome = Outcome.NOT_FINITE
    else:
        outcome = Outcome.CONVERGED if residual_norm <= settings.tolerance else Outcome.MAX_STEPS
    return Solution(value, outcome, num_steps, residual_norm)
