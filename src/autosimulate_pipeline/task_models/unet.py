"""A small U-Net (Ronneberger et al. 2015) with GroupNorm: images at the input size to logits at the input size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_NUM_GROUPS = 4


def _convolution(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=False), nn.GroupNorm(_NUM_GROUPS, num_out), nn.ReLU()
    )


class UNet(nn.Module):
    """Logits of shape (K, num_classes, height, width) for images of shape (K, 3, height, width), sides of 4 or more.

    Three levels of 1, 2 and 4 times `base_channels`; each decoder level is one convolution. Everything in it
    has second derivatives and a forward mode, and nothing changes but its parameters.
    """

    def __init__(self, num_classes: int, base_channels: int) -> None:
        super().__init__()
        one, two, four = base_channels, 2 * base_channels, 4 * base_channels
        self.encoder_1 = nn.Sequential(_convolution(3, one), _convolution(one, one))
        self.encoder_2 = nn.Sequential(_convolution(one, two), _convolution(two, two))
        self.encoder_4 = nn.Sequential(_convolution(two, four), _convolution(four, four))
        self.decoder_2 = _convolution(four + two, two)
        self.decoder_1 = _convolution(two + one, one)
        self.classifier = nn.Conv2d(one, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        features_1 = self.encoder_1(images)
        features_2 = self.encoder_2(functional.max_pool2d(features_1, 2))
        features_4 = self.encoder_4(functional.max_pool2d(features_2, 2))
        features_2 = self.decoder_2(_join(features_4, features_2))
        features_1 = self.decoder_1(_join(features_2, features_1))
        logits: Tensor = self.classifier(features_1)
        return logits


def _join(coarse: Tensor, fine: Tensor) -> Tensor:
    return torch.cat([functional.interpolate(coarse, size=fine.shape[-2:]), fine], dim=1)
