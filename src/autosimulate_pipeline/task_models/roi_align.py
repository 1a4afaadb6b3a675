"""RoIAlign (He et al. 2017, section 3) as matrix products, so that every derivative of it exists.

Differences from `torchvision.ops.MultiScaleRoIAlign`, and why:
- torchvision's operation has neither a second derivative nor a forward mode. For fixed boxes RoIAlign is linear in the
  features, and separable: a bin is the mean over a grid of bilinear samples, so the bins are A_y F A_xᵀ, where a row of
  A is the mean of the hat functions at the sample points of one bin. Two matrix products have all derivatives and
  both modes, are deterministic on a GPU too, and are faster than any gather, whose backward is slow.
- Boxes are constants: no derivative with respect to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_SAMPLES = 2  # along each side of a bin, as torchvision's detectors have it
_CANONICAL_SIDE, _CANONICAL_STRIDE = 224, 16  # equation (1) of the FPN paper: a box of 224 pixels is read at stride 16


def roi_align(features: Sequence[Tensor], boxes: Tensor, strides: Sequence[int], output_size: int) -> Tensor:
    """What each box shows, as output_size × output_size bins, shape (K, R, channels, output_size, output_size).

    Each box is read from the level of the pyramid that suits its area (Lin et al. 2017, equation 1).

    Args:
        features: levels of the pyramid from fine to coarse, each of shape (K, channels, height, width).
        boxes: corners [x1, y1, x2, y2] in pixels of the image, shape (K, R, 4); constants.
        strides: pixels of the image for each cell of a level, powers of two.
    """
    num_images, num_boxes = boxes.shape[:2]
    levels = box_levels(boxes, strides)
    pooled, places = [], []
    for level, (feature, stride) in enumerate(zip(features, strides, strict=True)):
        for image, chosen in enumerate(levels == level):
            (indices,) = chosen.nonzero(as_tuple=True)
            if len(indices):
                pooled.append(_pool(feature[image], boxes[image, indices] / stride, output_size))
                places.append(indices + image * num_boxes)
    order = torch.cat(places).argsort()
    return torch.cat(pooled)[order].reshape(num_images, num_boxes, -1, output_size, output_size)


def box_levels(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """Which of the levels each box is read from, from 0, shape of `boxes` without its last dimension."""
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    finest, coarsest = (math.log2(stride) for stride in (strides[0], strides[-1]))
    doublings = torch.log2(areas.clamp(min=1e-6).sqrt() / _CANONICAL_SIDE)
    levels = (math.log2(_CANONICAL_STRIDE) + doublings + 1e-6).floor().clamp(finest, coarsest)
    return (levels - finest).long()


def _pool(feature: Tensor, boxes: Tensor, output_size: int) -> Tensor:
    """Bins of `boxes` (in cells, shape (n, 4)) in one feature map (channels, height, width)."""
    channels, height, width = feature.shape
    along_x = _interpolation(boxes[:, 0], boxes[:, 2], width, output_size).to(feature)
    along_y = _interpolation(boxes[:, 1], boxes[:, 3], height, output_size).to(feature)
    rows = along_y.flatten(0, 1) @ feature.transpose(0, 1).flatten(1)  # (n · bins, channels · width)
    bins = rows.reshape(len(boxes), output_size * channels, width) @ along_x.mT
    return bins.reshape(len(boxes), output_size, channels, output_size).transpose(1, 2)


def _interpolation(low: Tensor, high: Tensor, num_cells: int, num_bins: int) -> Tensor:
    """Weight of each cell in each bin between `low` and `high`, shape (n, num_bins, num_cells).

    As torchvision with aligned=False: a box spans at least one cell, cell i has its value at coordinate i, and a
    sample more than one cell outside counts as 0.
    """
    steps = (torch.arange(num_bins * _SAMPLES, device=low.device, dtype=low.dtype) + 0.5) / (num_bins * _SAMPLES)
    samples = low[:, None] + (high - low).clamp(min=1)[:, None] * steps
    inside = (samples >= -1) & (samples <= num_cells)
    cells = torch.arange(num_cells, device=low.device)
    hats = (1 - (samples.clamp(0, num_cells - 1)[..., None] - cells).abs()).clamp(min=0) * inside[..., None]
    return hats.reshape(len(low), num_bins, _SAMPLES, num_cells).mean(2)
