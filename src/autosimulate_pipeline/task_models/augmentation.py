"""The usual augmentation of a small set of images: mirrored, cropped, with other colours."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from autosimulate_pipeline.annotations.instance_layers import as_layers
from autosimulate_pipeline.randomness import seeded
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, visible_instances
from autosimulate_pipeline.task_models.base import Batch, TaskModel
from autosimulate_pipeline.task_models.training import TrainingSettings

MIN_CROP_AREA = 0.4
"""A crop keeps at least this share of the image's area."""


def training_batch(model: TaskModel, dataset: AnnotatedDataset, settings: TrainingSettings, seed: int) -> Batch:
    """The images as the model is trained on them, with the variants that the settings ask for."""
    return model.prepare(augmented(dataset, settings.num_variants, seed))


def augmented(dataset: AnnotatedDataset, num_copies: int, seed: int) -> AnnotatedDataset:
    """Every image and `num_copies - 1` random variants of it, each at the image's own size; equal for equal seeds.

    A variant is mirrored with probability ½, cropped to between 40 % and all of its area, and changed in brightness,
    contrast, saturation and hue. An instance that a crop leaves out is no longer an instance; its box is cut at the
    crop's border, and depth and poses are lost.
    """
    images = list(dataset.images)
    with seeded(seed):  # torchvision's transforms draw from the global generator
        images += [_variant(image) for _ in range(num_copies - 1) for image in dataset.images]
    return dataclasses.replace(dataset, images=tuple(images))


def _variant(image: AnnotatedImage) -> AnnotatedImage:
    from torchvision import tv_tensors  # takes a second, and not every run needs it
    from torchvision.transforms import v2

    height, width = image.instance_mask.shape
    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomResizedCrop((height, width), scale=(MIN_CROP_AREA, 1.0), antialias=True),
            v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
        ]
    )
    layers = image.instance_layers.astype(np.uint8 if image.instance_mask.dtype == np.uint8 else np.int32)
    pixels, layers, boxes = transform(
        tv_tensors.Image(torch.from_numpy(image.image.copy()).permute(2, 0, 1)),
        tv_tensors.Mask(torch.from_numpy(layers)),
        tv_tensors.BoundingBoxes(torch.from_numpy(image.boxes), format="XYWH", canvas_size=(height, width)),
    )
    boxes, fractions, crowds = boxes.numpy(), image.visible_fractions, image.is_crowd
    layers, visible = visible_instances(layers.numpy())
    mask, below = as_layers(layers)
    if image.has_masks:
        left = [number - 1 for number in visible]
    else:  # labelled by boxes alone
        left = np.flatnonzero((boxes[:, 2:] >= 1).all(axis=1)).tolist()
    return AnnotatedImage(
        pixels.permute(1, 2, 0).contiguous().numpy(),
        mask,
        tuple(image.instance_categories[index] for index in left),
        instance_boxes=None if image.instance_boxes is None else boxes[left],
        visible_fractions=None if fractions is None else tuple(fractions[index] for index in left),
        masks_below=below,
        is_crowd=None if crowds is None else tuple(crowds[index] for index in left),
    )
