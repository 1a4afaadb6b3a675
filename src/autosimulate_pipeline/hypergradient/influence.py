"""f(s_k), what each training image does to the validation loss, to first order."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from autosimulate_pipeline.hypergradient.jacobian import (
    Function,
    Product,
    double_backward,
    first_supported,
    forward_mode,
)


def influences(per_sample_losses: Function, weights: Tensor, inverse_hvp: Tensor) -> Tensor:
    """f(s_k) = vᵀ ∇_θ l(s_k; θ) of all K images, detached, in the shape of the losses.

    That is J v with J the Jacobian of the per-image losses: one forward-mode pass. Where an operation lacks forward
    mode, double backward; where it lacks second derivatives as well, one backward pass per image.

    Args:
        per_sample_losses: θ to the losses, shape (K,), or to the parts that each is the sum of, shape (K, num_parts).
        weights: θ, shape (num_weights,).
        inverse_hvp: v, shape (num_weights,).
    """
    ways = {
        "forward mode": forward_mode,
        "double backward": double_backward,
        "one backward per image": sample_by_sample,
    }
    product = first_supported({name: partial(way, per_sample_losses, weights) for name, way in ways.items()})
    return product(inverse_hvp)


def sample_by_sample(per_sample_losses: Function, weights: Tensor) -> Product:
    """v ↦ vᵀ∇l_k by one backward pass for each loss: as many times the cost, first derivatives only."""
    weights = weights.detach().requires_grad_()
    losses = per_sample_losses(weights)

    def product(direction: Tensor) -> Tensor:
        gradients = (torch.autograd.grad(loss, weights, retain_graph=True)[0] for loss in losses.flatten())
        return torch.stack([gradient @ direction for gradient in gradients]).reshape(losses.shape)

    return product
