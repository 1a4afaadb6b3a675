"""What Faster R-CNN's boxes ought to say: labels matched to boxes, box codes, and regions to learn from.

All of it is deterministic, and nothing here needs a derivative. Targets are the rows of
`prepare_detection`, shape (K, M, 5); boxes are corners [x1, y1, x2, y2] in network pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_LARGEST_LOG_SCALE = math.log(1000 / 16)  # of a decoded box, as torchvision's


class Matches(NamedTuple):
    """Which label each of N boxes has, in K images.

    Attributes:
        categories: 0 is background, −1 neither (too near to an object for background); shape (K, N), int64.
        boxes: the label's corners, anything where there is none; shape (K, N, 4).
    """

    categories: Tensor
    boxes: Tensor


def match(boxes: Tensor, targets: Tensor, low: float, high: float, best_always: bool = False) -> Matches:
    """The label that overlaps each box most, if by an IoU of `high`; background below an IoU of `low`.

    Args:
        boxes: shape (N, 4), or (K, N, 4) if each image has its own; a box without area matches nothing, category −1.
        targets: shape (K, M, 5).
        best_always: match the boxes that overlap a label most too, however little, as torchvision does for anchors.
    """
    boxes = boxes.expand(len(targets), -1, 4)
    labels = corners(targets[..., 1:])
    overlaps = _iou(boxes, labels).masked_fill((targets[..., 0] == 0)[:, None], 0)  # (K, N, M)
    best, indices = overlaps.max(dim=2)
    positive = best >= high
    if best_always:
        best_of_label = overlaps.amax(dim=1, keepdim=True)
        positive |= ((overlaps == best_of_label) & (best_of_label > 0)).any(dim=2)
    categories = targets[..., 0].long().gather(1, indices)
    categories = torch.where(positive, categories, torch.where(best < low, 0, -1))
    categories = torch.where((boxes[..., 2:] > boxes[..., :2]).all(dim=2), categories, -1)
    return Matches(categories, labels.gather(1, indices[..., None].expand(-1, -1, 4)))


def sampling_weights(categories: Tensor, num_samples: int, positive_fraction: float) -> Tensor:
    """Expected weight of each box in torchvision's loss, which is a mean over boxes sampled at random.

    It samples P' = min(P, positive_fraction · num_samples) of P positive boxes and N' = min(N, num_samples − P') of N
    background ones: so a positive box weighs P'/P/(P' + N'), a background one N'/N/(P' + N'), and another one 0.

    Args:
        categories: as in `Matches`, shape (K, N).
    """
    positive, background = categories > 0, categories == 0
    num_positive, num_background = (chosen.sum(1, keepdim=True) for chosen in (positive, background))
    sampled_positive = num_positive.clamp(max=int(positive_fraction * num_samples))
    sampled_background = torch.minimum(num_background, num_samples - sampled_positive)
    total = (sampled_positive + sampled_background).clamp(min=1)
    of_positive = sampled_positive / num_positive.clamp(min=1) / total
    of_background = sampled_background / num_background.clamp(min=1) / total
    return of_positive * positive + of_background * background


def training_regions(proposals: Sequence[Tensor], targets: Tensor, num_regions: int, iou: float) -> Tensor:
    """Boxes that the second stage is trained on, shape (K, num_regions, 4); boxes without area fill a row up.

    At most a quarter overlap a label by `iou`: first the labelled boxes themselves, then proposals in their order. The
    rest are the first of those proposals that overlap no label as much.

    Args:
        proposals: for each image, best first, shape (number of proposals, 4).
    """
    rows = []
    for of_image, target in zip(proposals, targets, strict=True):
        labelled = corners(target[target[:, 0] > 0, 1:]).to(of_image)
        candidates = torch.cat([labelled, of_image])
        (categories,) = match(candidates[None], target[None], iou, iou).categories
        positive = candidates[categories > 0][: num_regions // 4]
        chosen = torch.cat([positive, candidates[categories == 0][: num_regions - len(positive)]])
        rows.append(torch.cat([chosen, chosen.new_zeros(num_regions - len(chosen), 4)]))
    return torch.stack(rows)


def corners(boxes: Tensor) -> Tensor:
    """[x1, y1, x2, y2] of boxes [x of the centre, y of the centre, width, height]."""
    centres, halves = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centres - halves, centres + halves], dim=-1)


def encoded(boxes: Tensor, references: Tensor, scales: tuple[float, ...]) -> Tensor:
    """Faster R-CNN's code of boxes: shift in sides of the reference and log of the scale, times `scales`."""
    (centres, sizes), (reference_centres, reference_sizes) = (_centres_and_sizes(box) for box in (boxes, references))
    sizes, reference_sizes = sizes.clamp(min=1e-3), reference_sizes.clamp(min=1e-3)
    code = torch.cat([(centres - reference_centres) / reference_sizes, (sizes / reference_sizes).log()], dim=-1)
    return code * code.new_tensor(scales)


def decoded(codes: Tensor, references: Tensor, scales: tuple[float, ...]) -> Tensor:
    """The inverse of `encoded`; no box is more than 62.5 times as large as its reference."""
    codes = codes / codes.new_tensor(scales)
    centres, sizes = _centres_and_sizes(references)
    scaled = sizes * codes[..., 2:].clamp(max=_LARGEST_LOG_SCALE).exp()
    return corners(torch.cat([centres + codes[..., :2] * sizes, scaled], dim=-1))


def _centres_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def _iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union, shape (K, N, M)."""
    one, other = boxes[:, :, None], others[:, None]
    sides = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    intersection = sides.prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (one, other)]
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-9)
