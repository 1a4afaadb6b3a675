"""SciPy's solvers: its conjugate gradients, and `fmin_ncg`, which the supplement names."""

from __future__ import annotations

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
    if solution.outcome in (Outcome.NEGATIVE_CURVATURE, Outcome.NOT_FINITE):
        return solution
    return replace(solution, outcome=Outcome.CONVERGED if info == 0 else Outcome.MAX_STEPS)


def newton_cg(product: Product, b: Tensor, settings: SolverSettings) -> Solution:
    """v as the minimum of ½ vᵀAv − bᵀv by `scipy.optimize.fmin_ncg`, as in the supplement.

    `max_steps` bounds its outer iterations, each with a conjugate-gradient solve and a line search inside: it takes
    several times the products of `conjugate_gradient`, and `num_steps` counts them all. A quadratic with negative
    curvature has no minimum: the iteration that meets it is the last, or the value would run away.
    """
    matrix = _Matrix(product, b)
    right = _array(b)

    def value_at(point: Array) -> float:
        return float(point @ (0.5 * matrix.at(point) - right))

    def slope_at(point: Array) -> Array:
        return matrix.at(point) - right

    def curve(_point: Array, direction: Array) -> Array:
        return matrix.curve(direction)

    def stop_at_negative_curvature(_point: Array) -> None:
        if matrix.has_negative_curvature:
            raise StopIteration

    value = fmin_ncg(
        value_at,
        np.zeros_like(right),
        fprime=slope_at,
        fhess_p=curve,  # type: ignore[arg-type]  # the stubs think that a product is a number
        avextol=settings.tolerance * float(np.abs(right).mean()),
        maxiter=settings.max_steps,
        disp=False,
        callback=stop_at_negative_curvature,
    )
    return matrix.solution(value, settings)


@dataclass
class _Matrix:
    """A for SciPy: counts its products and remembers whether a direction of search had negative curvature."""

    product: Product
    b: Tensor
    num_products: int = 0
    has_negative_curvature: bool = False
    _point: Array | None = None
    _image: Array | None = None

    def curve(self, direction: Array) -> Array:
        """A p for a direction p of search."""
        image = self._multiply(direction)
        self.has_negative_curvature |= bool(direction @ image < 0)
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
        if self.has_negative_curvature and solution.outcome is not Outcome.NOT_FINITE:
            return replace(solution, outcome=Outcome.NEGATIVE_CURVATURE)
        return solution

    def _multiply(self, vector: Array) -> Array:
        self.num_products += 1
        return _array(self.product(self._tensor(vector)))

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, dtype=self.b.dtype, device=self.b.device)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)
