"""Truncated Neumann series (Lorraine, Vicol and Duvenaud, AISTATS 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from autosimulate_pipeline.hypergradient.jacobian import Product
from autosimulate_pipeline.hypergradient.linear_solvers.base import Solution, SolverSettings, assess


def neumann(product: Product, b: Tensor, settings: SolverSettings) -> Solution:
    """v = η Σ_j (I − ηA)^j b with η = `neumann_step`; it diverges unless every eigenvalue of A lies in (0, 2/η).

    The residual of the sum so far is the next term over η, so that each step takes one product.
    """
    value, residual = torch.zeros_like(b), b.clone()
    target = settings.tolerance * float(b.norm())
    num_steps = 0
    while num_steps < settings.max_steps and float(residual.norm()) > target:
        value.add_(residual, alpha=settings.neumann_step)
        residual.sub_(product(residual), alpha=settings.neumann_step)
        num_steps += 1
    return assess(value, residual, b, num_steps, settings)
