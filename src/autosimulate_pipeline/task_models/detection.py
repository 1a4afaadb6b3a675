"""What every detector does with images and boxes: letterboxing, targets, and detections from scored boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Prediction
from autosimulate_pipeline.task_models.base import Batch

NMS_IOU = 0.5
"""Of two boxes of a category that overlap by more, the one with the lower score goes."""

MAX_DETECTIONS = 100
"""Detections of an image that are kept: those with the highest scores, as in COCO's evaluation."""


class Letterbox(NamedTuple):
    """How an image lies in the network's square: network pixels = scale · image pixels + offset."""

    scale: float
    offset_x: float
    offset_y: float


def prepare_detection(
    dataset: AnnotatedDataset, categories: tuple[str, ...], input_size: int, device: torch.device
) -> Batch:
    """The dataset letterboxed to `input_size`; targets have shape (K, M, 5).

    A row of targets is [category from 1, x of the centre, y of the centre, width, height] in network pixels; rows of
    category 0 pad images that show fewer than M objects. Boxes are cut at the border of the image.

    Raises:
        ValueError: if the dataset's categories are not these, or it has no image.
    """
    if dataset.categories != categories:
        raise ValueError(f"dataset.categories must be {categories}, got {dataset.categories}")
    if not len(dataset):
        raise ValueError("dataset must have at least one image, got 0")
    images, letterboxes = prepare_images(dataset, input_size, device)
    rows = [_rows(image, letterbox) for image, letterbox in zip(dataset.images, letterboxes, strict=True)]
    targets = torch.zeros(len(rows), max(1, *map(len, rows)), 5)
    for target, of_image in zip(targets, rows, strict=True):
        target[: len(of_image)] = of_image
    return Batch(images, targets.to(device))


def prepare_images(dataset: AnnotatedDataset, input_size: int, device: torch.device) -> tuple[Tensor, list[Letterbox]]:
    """The images in the middle of a grey square, their aspect kept, values in [-1, 1]; shape (K, 3, size, size)."""
    letterboxes = [_letterbox(image.image.shape, input_size) for image in dataset.images]
    images = torch.zeros(len(dataset), 3, input_size, input_size)
    for canvas, image, (scale, x, y) in zip(images, dataset.images, letterboxes, strict=True):
        height, width = (max(1, round(scale * side)) for side in image.image.shape[:2])
        values = torch.from_numpy(image.image.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
        resized = functional.interpolate(values[None], size=(height, width), mode="bilinear", antialias=True)[0]
        canvas[:, int(y) : int(y) + height, int(x) : int(x) + width] = resized
    return images.to(device), letterboxes


_MIN_SCORE = 0.001
"""Detections below this score are dropped. Average precision counts low scores too, where recall depends on them."""

_MAX_CANDIDATES = 1000
"""Boxes of an image that non-maximum suppression is given, those with the highest scores."""


def detections(
    boxes: Tensor,
    scores: Tensor,
    letterbox: Letterbox,
) -> Prediction:
    """What is left of scored boxes after non-maximum suppression within each category, in the image's own pixels.

    Args:
        boxes: corners [x1, y1, x2, y2] in network pixels, shape (N, 4), or (N, C, 4) if each category has its own.
        scores: confidence of each category, shape (N, C).
    """
    from torchvision.ops import batched_nms  # torchvision takes seconds to import, and only detectors need it

    best = scores.flatten().topk(min(scores.numel(), _MAX_CANDIDATES)).indices
    best = best[scores.flatten()[best] > _MIN_SCORE]
    candidates, categories = best // scores.shape[1], best % scores.shape[1]
    chosen = boxes[candidates, categories] if boxes.ndim == 3 else boxes[candidates]
    confidences = scores[candidates, categories]
    kept = batched_nms(chosen.float(), confidences.float(), categories, NMS_IOU)[:MAX_DETECTIONS]
    offset = torch.tensor([letterbox.offset_x, letterbox.offset_y] * 2, dtype=torch.float64)
    corners = (chosen[kept].cpu().double() - offset) / letterbox.scale
    return Prediction(
        instance_categories=tuple(int(category) + 1 for category in categories[kept]),
        instance_scores=tuple(float(confidence) for confidence in confidences[kept]),
        instance_boxes=torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1).numpy(),
    )


def _letterbox(shape: tuple[int, ...], input_size: int) -> Letterbox:
    scale = input_size / max(shape[:2])
    height, width = (max(1, round(scale * side)) for side in shape[:2])
    return Letterbox(scale, (input_size - width) // 2, (input_size - height) // 2)


def _rows(image: AnnotatedImage, letterbox: Letterbox) -> Tensor:
    height, width = image.image.shape[:2]
    boxes = image.boxes
    low = np.clip(boxes[:, :2], 0, [width, height])
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, [width, height])
    inside = image.counted & (high > low).all(axis=1)
    offset = np.array([letterbox.offset_x, letterbox.offset_y])
    centres, sizes = letterbox.scale * (low + high) / 2 + offset, letterbox.scale * (high - low)
    categories = np.array(image.instance_categories, dtype=float).reshape(-1, 1)
    return torch.from_numpy(np.concatenate([categories, centres, sizes], axis=1)[inside]).float()
