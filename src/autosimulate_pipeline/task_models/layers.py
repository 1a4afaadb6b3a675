"""Layers fit for curvature products, in the place of those of torchvision's networks.

Batch normalisation makes an image's loss depend on the other images; PyTorch's own hardsigmoid and hardswish lack a
second derivative.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

_MAX_GROUPS = 8


def group_norm(num_channels: int) -> nn.Module:
    """The normalisation of a network that trains from scratch."""
    return nn.GroupNorm(math.gcd(_MAX_GROUPS, num_channels), num_channels)


def replace_layers(module: nn.Module) -> None:
    """In the module: group normalisation for batch normalisation, hardsigmoid and hardswish by way of ReLU6."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, group_norm(child.num_features))
        elif isinstance(child, nn.Hardsigmoid):
            setattr(module, name, _Hardsigmoid())
        elif isinstance(child, nn.Hardswish):
            setattr(module, name, _Hardswish())
        else:
            replace_layers(child)


class _Hardsigmoid(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return functional.relu6(features + 3) / 6


class _Hardswish(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features * functional.relu6(features + 3) / 6
