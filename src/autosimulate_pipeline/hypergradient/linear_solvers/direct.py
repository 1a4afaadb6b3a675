"""The two ends: no solve at all, and the exact one."""

from __future__ import annotations

import torch
from torch import Tensor

from autosimulate_pipeline.hypergradient.jacobian import Product
from autosimulate_pipeline.hypergradient.linear_solvers.base import Solution, SolverSettings, assess


def identity(product: Product, b: Tensor, settings: SolverSettings) -> Solution:
    """v = b: curvature left out, the control that shows what it is worth. One product measures the residual."""
    return assess(b.clone(), b - product(b), b, 0, settings)


def exact(product: Product, b: Tensor, settings: SolverSettings) -> Solution:
    """v by a dense solve, num_weights products and num_weights² numbers: for small problems and tests.

    A singular A gives an answer that is not finite.
    """
    matrix = torch.stack([product(row) for row in torch.eye(b.numel(), dtype=b.dtype, device=b.device)])
    value, _ = torch.linalg.solve_ex(matrix, b)
    return assess(value, b - matrix @ value, b, b.numel(), settings)
