"""SciPy's solvers: its conjugate gradients, and `fmin_ncg`, which the supplement names."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import fmin_ncg
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from autosimulate_pipeline.hypergradient.jacobian import Product
from autosimulate_pipeline.hypergradient.linear_solvers.base import (
    Outcome,
    Solution,
    SolverSettings,
    assess,
)

Array = NDArray[np.float64]


def scipy_cg(product: Product, b: Tensor, settings: SolverSettings) -> Solution:
    """v by `scipy.sparse.linalg.cg`, which goes on through negative curvature: believe the outcome, not the value."""
    matrix = _Matrix(product, b)
    size = b.numel()
    operator = LinearOperator((size, size), matvec=matrix.curve, dtype=np.float64)
    value, info = cg(operator, _array(b), rtol=settings.tolerance, maxiter=settings.max_steps)
    solution = matrix.solution(value, settings)
    if matrix.trouble or solution.outcome is Outcome.NOT_FINITE:
        return solution
    return replace(solution, outcome=Outcome.CONVERGED if info == 0 else Outcome.MAX_STEPS)


def newton_cg(product: Product, b: Tensor, settings: SolverSettings) -> Solution:
    """v as the minimum of ½ vᵀAv − bᵀv by `scipy.optimize.fmin_ncg`, as in the supplement.

    `max_steps` bounds its outer iterations, each with a conjugate-gradient solve and a line search inside: it takes
    several times the products of `conjugate_gradient`, and `num_steps` counts them all. `tolerance` is for the mean
    change of v in an outer iteration, relative to the mean of |b|.

    A quadratic with negative curvature has no minimum: the iteration that meets it is the last, or the value would run
    away. Where the first direction of that iteration, the residual, shows it, SciPy would go 2¹⁰ times as far along it:
    the iterate before is returned, or b itself at the first, as by `conjugate_gradient`.
    """
    matrix = _Matrix(product, b)
    right = _array(b)

    def value_at(point: Array) -> float:
        return float(point @ (0.5 * matrix.at(point) - right))

    def slope_at(point: Array) -> Array:
        return matrix.at(point) - right

    def curve(point: Array, direction: Array) -> Array:
        image = matrix.curve(direction)
        if matrix.trouble is Outcome.NOT_FINITE:
            raise _StoppedAt(point.copy())
        if matrix.trouble and np.array_equal(direction, right - matrix.at(point)):  # the iteration's first direction
            raise _StoppedAt(point.copy())
        return image

    def stop_at_negative_curvature(_point: Array) -> None:
        if matrix.trouble:
            raise StopIteration

    try:
        value, *_, status = fmin_ncg(  # type: ignore[call-overload]  # in the stubs a product is a number
            value_at,
            np.zeros_like(right),
            fprime=slope_at,
            fhess_p=curve,
            avextol=settings.tolerance * float(np.abs(right).mean()),
            maxiter=settings.max_steps,
            disp=False,
            callback=stop_at_negative_curvature,
            full_output=True,
        )
    except _StoppedAt as stopped:
        value, status = (stopped.point if stopped.point.any() else right), None
    solution = matrix.solution(value, settings)
    has_ended = status == 0 and solution.outcome is Outcome.MAX_STEPS  # its own way: v changes no more
    return replace(solution, outcome=Outcome.CONVERGED) if has_ended else solution


class _StoppedAt(Exception):  # noqa: N818  # no error: it ends SciPy's iteration
    def __init__(self, point: Array) -> None:
        super().__init__()
        self.point = point


@dataclass
class _Matrix:
    """A for SciPy: counts its products and remembers what is wrong with it along a direction of search."""

    product: Product
    b: Tensor
    num_products: int = 0
    trouble: Outcome | None = None
    _point: Array | None = None
    _image: Array | None = None

    def curve(self, direction: Array) -> Array:
        """A p for a direction p of search."""
        image = self._multiply(direction)
        curvature = float(direction @ image)
        if not math.isfinite(curvature):
            self.trouble = Outcome.NOT_FINITE
        elif curvature < 0:
            self.trouble = self.trouble or Outcome.NEGATIVE_CURVATURE
        return image

    def at(self, point: Array) -> Array:
        """A v for a point v; its value and its slope ask for it in turn, so the last one is kept."""
        if self._point is None or self._image is None or not np.array_equal(point, self._point):
            self._point, self._image = point.copy(), self._multiply(point)
        return self._image

    def solution(self, value: Array, settings: SolverSettings) -> Solution:
        """The solution at `value`, judged by its true residual."""
        tensor = self._tensor(value)
        num_products = self.num_products
        solution = assess(tensor, self.b - self.product(tensor), self.b, num_products, settings)
        if self.trouble and solution.outcome is not Outcome.NOT_FINITE:
            return replace(solution, outcome=self.trouble)
        return solution

    def _multiply(self, vector: Array) -> Array:
        self.num_products += 1
        return _array(self.product(self._tensor(vector)))

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, dtype=self.b.dtype, device=self.b.device)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)
