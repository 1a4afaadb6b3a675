"""Faster R-CNN (Ren et al. 2015) with a feature pyramid, on torchvision's networks, as a function of its weights.

Differences from torchvision's `FasterRCNN`, and why:
- The loss is of each image, not of a batch, and deterministic. torchvision samples 256 anchors and 512 regions of an
  image at random; here the anchors' losses are the expectation over that sampling, in closed form, from all of them.
- The second stage is trained on the first `num_regions` proposals, at most a quarter of them positive, not on a random
  sample. As in torchvision they are constants: no derivative goes through a proposal's place. They are part of the
  outputs, so the loss is a convex function of the rest of the outputs, and a product with the curvature at one θ sees
  one set of regions. Regions drawn around the labels would make the loss one function of θ, but a second stage that
  never sees what the first mistakes for an object finds less.
- RoIAlign has all its derivatives, see roi_align.py; for layers and anchors see faster_rcnn_networks.py.
- Inputs are letterboxed squares (grey around the image) and not padded batches of any size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from autosimulate_pipeline.randomness import seeded
from autosimulate_pipeline.records import AnnotatedDataset, Prediction
from autosimulate_pipeline.task_models import faster_rcnn_networks as networks
from autosimulate_pipeline.task_models.base import Batch, Weights, on_device
from autosimulate_pipeline.task_models.detection import detections, prepare_detection, prepare_images
from autosimulate_pipeline.task_models.faster_rcnn_targets import (
    decoded,
    encoded,
    match,
    sampling_weights,
    training_regions,
)
from autosimulate_pipeline.task_models.faster_rcnn_weights import is_body_alone, matched
from autosimulate_pipeline.task_models.roi_align import roi_align

_ANCHOR_SCALES, _REGION_SCALES = (1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)  # of box codes, as torchvision's
_REGION_IOU = 0.5  # from which on a region is labelled with what it overlaps
_BETA = 1 / 9  # where smooth L1 turns from square to linear


class _Outputs(NamedTuple):
    """What the network says of K images, A anchors and R regions, and where those regions are."""

    objectness: Tensor  # logits, (K, A)
    anchor_codes: Tensor  # (K, A, 4)
    logits: Tensor  # of background and each category, (K, R, 1 + C)
    region_codes: Tensor  # for each of them, (K, R, 1 + C, 4)
    regions: Tensor  # corners, (K, R, 4): constants


class FasterRCNNModel:
    """A `TaskModel` whose loss is the sum of Faster R-CNN's four, each weighted 1.

    First stage: binary cross-entropy of each anchor's objectness, smooth L1 of the positive ones' box codes. Second
    stage: cross-entropy of each region's category, smooth L1 of the positive ones' box codes for their category. All
    are convex in the outputs, for the labels of anchors and regions depend on their places alone.

    Args:
        build_network: see `faster_rcnn_networks`.
        num_regions: regions of the second stage for each image in training, a multiple of 4.
        pretrained: a state_dict of the network, or of its body alone, to start from instead of fresh weights, see
            `matched`; batch norm's statistics in it are constants, among the frozen weights.
        frozen: how the names of weights begin that are not trained, such as "backbone.body".

    Raises:
        ValueError: if `pretrained` is not of this network, or `num_regions` is no multiple of 4.
    """

    images_per_pass = 16

    def __init__(
        self,
        build_network: networks.BuildNetwork,
        categories: tuple[str, ...],
        input_size: int,
        device: torch.device,
        num_regions: int = 64,
        pretrained: Mapping[str, Tensor] | None = None,
        frozen: tuple[str, ...] = (),
    ) -> None:
        if num_regions < 4 or num_regions % 4:
            raise ValueError(f"task_model.num_regions must be a multiple of 4, got {num_regions}")
        self.categories = categories
        self._build_network = build_network
        self._input_size = input_size
        self._device = device
        self._num_regions = num_regions
        own_names = matched(build_network, pretrained or {})
        self._pretrained = {name: value.to(device) for name, value in own_names.items()}
        self.starts_from_body_alone = bool(own_names) and is_body_alone(own_names)
        with torch.device("meta"):  # an architecture without values: weights arrive with each call
            self._network = networks.build(build_network, self._pretrained)
            features = self._network.backbone(torch.zeros(1, 3, input_size, input_size))
        self.frozen = (*frozen, *dict(self._network.named_buffers()))
        sides = [feature.shape[-1] for feature in features.values()]
        anchors = networks.anchors(self._network, sides, input_size)
        self._anchors, self._num_anchors = torch.cat(anchors).to(device), [len(level) for level in anchors]
        self._levels = [name for name in features if name in self._network.roi_heads.box_roi_pool.featmap_names]
        self._strides = [2 ** round(math.log2(input_size / features[name].shape[-1])) for name in self._levels]

    def initial_weights(self, seed: int) -> Weights:
        """Untrained weights, or pretrained ones where there are, on the model's device.

        Equal for equal seeds; no global generator moves.
        """
        with seeded(seed):
            network = networks.build(self._build_network, self._pretrained)
        fresh = {name: weight.detach().to(self._device) for name, weight in network.state_dict().items()}
        return fresh | {name: weight.clone() for name, weight in self._pretrained.items()}

    def prepare(self, dataset: AnnotatedDataset) -> Batch:
        """The dataset letterboxed to `input_size`, see `prepare_detection`."""
        return prepare_detection(dataset, self.categories, self._input_size, self._device)

    def outputs(self, weights: Weights, batch: Batch, regions: Tensor | None = None) -> Tensor:
        """All that the two stages say about anchors and regions, one row for each image, shape (K, num_outputs).

        Args:
            regions: boxes for the second stage, (K, num_regions, 4), instead of those that the weights propose.
        """
        features = self._features(weights, batch.images)
        objectness, codes = self._first_stage(weights, features)
        if regions is None:
            proposals = self._proposals(objectness.detach(), codes.detach())
            regions = training_regions(proposals, batch.targets, self._num_regions, _REGION_IOU)
        stages = (objectness, codes, *self._second_stage(weights, features, regions), regions)
        return torch.cat([values.flatten(1) for values in stages], dim=1)

    def regions(self, weights: Weights, batch: Batch) -> Tensor:
        """The boxes that the second stage is trained on at these weights, shape (K, num_regions, 4)."""
        return self._parted(self.outputs(weights, batch)).regions.detach()

    def losses_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """l of each image for these outputs, shape (K,)."""
        return torch.cat([losses for losses, _ in self._terms(outputs, batch)], dim=1).sum(1)

    def loss_parts_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The same loss by the category of the label that an anchor or region has, shape (K, 1 + C)."""
        losses, owners = (torch.cat(values, dim=1) for values in zip(*self._terms(outputs, batch), strict=True))
        categories = range(1 + len(self.categories))
        return torch.stack([(losses * (owners == category)).sum(1) for category in categories], dim=1)

    def per_image_losses(self, weights: Weights, batch: Batch) -> Tensor:
        """l(s_k; θ) of each image, shape (K,)."""
        return self.losses_of_outputs(self.outputs(weights, batch), batch)

    @torch.no_grad()
    def predict(self, weights: Weights, dataset: AnnotatedDataset) -> list[Prediction]:
        """One prediction for each image: the first stage's proposals, judged and moved by the second."""
        weights = on_device(weights, self._device)
        images, letterboxes = prepare_images(dataset, self._input_size, self._device)
        predictions: list[Prediction] = []
        for start in range(0, len(images), self.images_per_pass):
            features = self._features(weights, images[start : start + self.images_per_pass])
            for index, regions in enumerate(self._proposals(*self._first_stage(weights, features))):
                of_image = {name: feature[index : index + 1] for name, feature in features.items()}
                logits, codes = self._second_stage(weights, of_image, regions[None])
                boxes = decoded(codes[0, :, 1:], regions[:, None], _REGION_SCALES).clamp(0, self._input_size)
                scores = logits[0].softmax(-1)[:, 1:]
                predictions.append(detections(boxes, scores, letterboxes[len(predictions)]))
        return predictions

    def _features(self, weights: Weights, images: Tensor) -> dict[str, Tensor]:
        inputs = self._network.transform
        mean, deviation = (images.new_tensor(values)[:, None, None] for values in (inputs.image_mean, inputs.image_std))
        return self._call("backbone", weights, ((images + 1) / 2 - mean) / deviation)

    def _first_stage(self, weights: Weights, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Objectness (K, A) and box codes (K, A, 4) of the anchors."""
        maps = self._call("rpn.head", weights, list(features.values()))
        objectness, codes = (
            torch.cat([level.unflatten(1, (-1, size)).permute(0, 3, 4, 1, 2).flatten(1, 3) for level in levels], dim=1)
            for levels, size in zip(maps, (1, 4), strict=True)
        )
        return objectness[..., 0], codes

    def _second_stage(self, weights: Weights, features: dict[str, Tensor], regions: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (K, R, 1 + C) and each category's box codes (K, R, 1 + C, 4) of regions (K, R, 4)."""
        levels = [features[name] for name in self._levels]
        pooled = roi_align(levels, regions, self._strides, self._network.roi_heads.box_roi_pool.output_size[0])
        hidden = self._call("roi_heads.box_head", weights, pooled.flatten(0, 1))
        logits, codes = self._call("roi_heads.box_predictor", weights, hidden)
        shape = regions.shape[:2]
        return logits.unflatten(0, shape), codes.unflatten(0, shape).unflatten(2, (-1, 4))

    def _proposals(self, objectness: Tensor, codes: Tensor) -> list[Tensor]:
        """Boxes that the first stage takes for objects, best first, for each image shape (number of proposals, 4)."""
        boxes = decoded(codes, self._anchors.to(codes), _ANCHOR_SCALES)
        shapes = [(self._input_size, self._input_size)] * len(boxes)
        filtered: list[Tensor] = self._network.rpn.filter_proposals(boxes, objectness, shapes, self._num_anchors)[0]
        return filtered

    def _terms(self, outputs: Tensor, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """What anchors and regions add to the loss, shape (K, N), and the category each counts for, −1: none."""
        objectness, anchor_codes, logits, region_codes, regions = self._parted(outputs)
        regions, anchors = regions.detach(), self._anchors
        labels = match(anchors, batch.targets, low=0.3, high=0.7, best_always=True)
        positive = (labels.categories > 0).to(outputs)
        losses = functional.binary_cross_entropy_with_logits(objectness, positive, reduction="none")
        losses = losses + positive * _box_losses(anchor_codes, encoded(labels.boxes, anchors, _ANCHOR_SCALES))
        first = losses * sampling_weights(labels.categories, 256, 0.5).to(outputs), labels.categories

        labels = match(regions, batch.targets, low=_REGION_IOU, high=_REGION_IOU)
        categories = labels.categories.clamp(min=0)
        losses = functional.cross_entropy(logits.flatten(0, 1), categories.flatten(), reduction="none")
        codes = region_codes.take_along_dim(categories[..., None, None], dim=2)[:, :, 0]
        box_losses = _box_losses(codes, encoded(labels.boxes, regions, _REGION_SCALES))
        losses = losses.reshape(categories.shape) + (categories > 0) * box_losses
        weights = sampling_weights(labels.categories, self._num_regions, 0.25).to(outputs)
        return [first, (losses * weights, labels.categories)]

    def _parted(self, outputs: Tensor) -> _Outputs:
        num_anchors, num_regions, num_classes = len(self._anchors), self._num_regions, 1 + len(self.categories)
        of_regions = ((num_regions, num_classes), (num_regions, num_classes, 4), (num_regions, 4))
        shapes = ((num_anchors,), (num_anchors, 4), *of_regions)
        pieces = torch.split(outputs, [math.prod(shape) for shape in shapes], dim=1)
        return _Outputs(*(piece.reshape(-1, *shape) for piece, shape in zip(pieces, shapes, strict=True)))

    def _call(self, name: str, weights: Weights, *inputs: Any) -> Any:
        """What one part of the network makes of `inputs`."""
        prefix = f"{name}."
        own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        return functional_call(self._network.get_submodule(name), own, inputs, strict=True)


def _box_losses(codes: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1, summed over the four numbers of a box code."""
    return functional.smooth_l1_loss(codes, wanted.to(codes), beta=_BETA, reduction="none").sum(-1)
