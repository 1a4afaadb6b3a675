"""Curvature as products with vectors: the Hessian, the generalised Gauss-Newton matrix, and damping."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from autosimulate_pipeline.hypergradient.jacobian import (
    Function,
    Product,
    central_differences,
    first_supported,
    gradient,
    jacobian_product,
    refuse_once_differentiable,
    transposed_product,
)


def hessian_product(loss: Function, point: Tensor) -> Product:
    """v ↦ ∇²loss(point) v for a scalar loss.

    Backward through the kept graph of the gradient (on a U-Net a third cheaper than forward over reverse, which runs
    the network anew for every product); central differences of the gradient where an operation lacks that derivative.
    """
    return first_supported(
        {
            "double backward": partial(_backward_through_gradient, loss, point),
            "differences of the gradient": partial(central_differences, partial(gradient, loss), point),
        }
    )


def ggn_product(outputs: Function, loss_of_outputs: Function, point: Tensor) -> Product:
    """v ↦ Jᵀ (∇²_outputs loss) J v, J the Jacobian of `outputs` at `point`.

    The generalised Gauss-Newton matrix: positive semi-definite where the loss is convex in the outputs, whatever the
    network does, and equal to the Hessian where the outputs are linear in the weights.

    Args:
        outputs: weights to outputs of any shape.
        loss_of_outputs: those outputs to a scalar.
        point: the weights, shape (num_weights,).
    """
    point = point.detach().requires_grad_()
    value = outputs(point)
    push = jacobian_product(outputs, point)
    curve = hessian_product(loss_of_outputs, value)
    pull = transposed_product(value, point)
    return lambda direction: pull(curve(push(direction)))


def damped(product: Product, damping: float) -> Product:
    """v ↦ (A + damping · I) v."""
    return lambda direction: torch.add(product(direction), direction, alpha=damping)


def _backward_through_gradient(loss: Function, point: Tensor) -> Product:
    point = point.detach().requires_grad_()
    value = loss(point)
    refuse_once_differentiable(value)
    (slope,) = torch.autograd.grad(value, point, create_graph=True)
    return transposed_product(slope, point)  # the Hessian is its own transpose
