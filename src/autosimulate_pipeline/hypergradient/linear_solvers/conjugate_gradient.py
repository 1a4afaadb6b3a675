"""Conjugate gradients (Hestenes and Stiefel, 1952) with an exit at negative curvature."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autosimulate_pipeline.hypergradient.jacobian import Product
from autosimulate_pipeline.hypergradient.linear_solvers.base import (
    Outcome,
    Solution,
    SolverSettings,
    assess,
    relative_norm,
)


def conjugate_gradient(product: Product, b: Tensor, settings: SolverSettings) -> Solution:
    """v with A v ≈ b, exact after num_weights steps in exact arithmetic.

    A direction p with pᵀAp ≤ 0 shows that A is not positive definite: the iterate reached so far is returned, or b
    itself at the first step (then v is the validation gradient), and the outcome says so. Steihaug, 1983.
    """
    value, residual, direction = torch.zeros_like(b), b.clone(), b.clone()
    squared_norm = target = float(b @ b)
    target *= settings.tolerance**2
    for step in range(settings.max_steps):
        if squared_norm <= target:
            return assess(value, residual, b, step, settings)
        image = product(direction)
        curvature = float(direction @ image)
        if not math.isfinite(curvature):
            return Solution(value, Outcome.NOT_FINITE, step + 1, relative_norm(residual, b))
        if curvature <= 0:
            if step == 0:
                value, residual = b.clone(), b - image
            return Solution(value, Outcome.NEGATIVE_CURVATURE, step + 1, relative_norm(residual, b))
        step_length = squared_norm / curvature
        value.add_(direction, alpha=step_length)
        residual.sub_(image, alpha=step_length)
        previous, squared_norm = squared_norm, float(residual @ residual)
        direction.mul_(squared_norm / previous).add_(residual)
    return assess(value, residual, b, settings.max_steps, settings)
