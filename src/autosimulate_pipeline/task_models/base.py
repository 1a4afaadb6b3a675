"""What training, evaluation and the hypergradient ask of a task model: functions of weights, which it never keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from autosimulate_pipeline.records import AnnotatedDataset, Prediction

Weights = dict[str, Tensor]
"""Every tensor of a network by name; θ are those that are not frozen. Nothing else changes in training."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Annotated images as a network reads them.

    Attributes:
        images: values in [-1, 1], shape (K, 3, height, width), floating.
        targets: what the loss compares with, shape (K, ...): for a segmentation the category at each pixel, 0 for
            background, (K, height, width), int64; for a detector the boxes, see `prepare_detection`.
    """

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: Tensor | slice) -> Batch:
        """The batch of those images, in the order of `indices`."""
        return Batch(self.images[indices], self.targets[indices])

    def split(self, size: int) -> list[Batch]:
        """Batches of at most `size` images, in order."""
        return [
            Batch(*pair) for pair in zip(torch.split(self.images, size), torch.split(self.targets, size), strict=True)
        ]


class TaskModel(Protocol):
    """A network family with its loss.

    `per_image_losses` is `losses_of_outputs(outputs(weights, batch), batch)`, with `losses_of_outputs` convex in the
    outputs, so that the generalised Gauss-Newton matrix is positive semi-definite. All are differentiable twice, and
    by torch.func transforms in reverse and forward mode.
    """

    @property
    def categories(self) -> tuple[str, ...]:
        """Object categories; in outputs and loss parts background stands in front of them."""

    @property
    def images_per_pass(self) -> int:
        """How many images at most are in memory where all can be taken one after the other."""

    @property
    def frozen(self) -> tuple[str, ...]:
        """How the names of those weights begin that stay as they are: no part of θ, see `split_frozen`."""

    def initial_weights(self, seed: int) -> Weights:
        """Untrained weights on the model's device, equal for equal seeds; no global generator moves."""

    def prepare(self, dataset: AnnotatedDataset) -> Batch:
        """The dataset at the network's resolution, on the model's device."""

    def outputs(self, weights: Weights, batch: Batch) -> Tensor:
        """What the network says, shape (K, ...)."""

    def losses_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """l of each image as a convex function of the outputs, shape (K,)."""

    def loss_parts_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """What background (column 0) and each category add to l of each image, shape (K, 1 + number of categories)."""

    def per_image_losses(self, weights: Weights, batch: Batch) -> Tensor:
        """l(s_k; θ) of each image, shape (K,)."""

    def predict(self, weights: Weights, dataset: AnnotatedDataset) -> list[Prediction]:
        """One prediction for each image, at that image's own size."""


def starting_weights(task_model: TaskModel, seed: int, pretrained: Weights | None) -> Weights:
    """What a training from scratch sets out from: the pretrained weights where there are any."""
    return task_model.initial_weights(seed) if pretrained is None else pretrained


def on_device(weights: Weights, device: torch.device) -> Weights:
    """The weights there: those that come from a file are on the CPU, wherever the images are."""
    return {name: weight.to(device) for name, weight in weights.items()}


def split_frozen(task_model: TaskModel, weights: Weights) -> tuple[Weights, Weights]:
    """θ, the weights that are trained and that the hypergradient differentiates by, and the rest.

    Raises:
        ValueError: if a prefix in `task_model.frozen` begins no weight's name, or no weight is left to train.
    """
    for prefix in task_model.frozen:
        if not any(name.startswith(prefix) for name in weights):
            raise ValueError(
                f"task_model.frozen must begin names of weights, such as {next(iter(weights))}, got {prefix}"
            )
    constant = {name: weight for name, weight in weights.items() if name.startswith(task_model.frozen)}
    trained = {name: weight for name, weight in weights.items() if name not in constant}
    if not trained:
        raise ValueError(f"task_model.frozen must leave weights to train, got {', '.join(task_model.frozen)}")
    return trained, constant


def num_weights(weights: Weights) -> int:
    """The length of θ."""
    return sum(weight.numel() for weight in weights.values())


def ravel(weights: Weights) -> Tensor:
    """θ as one vector, shape (num_weights,), in the order of the dict."""
    return torch.cat([weight.flatten() for weight in weights.values()])


def unravel(flat: Tensor, like: Weights) -> Weights:
    """The inverse of `ravel`: `flat` cut into the names and shapes of `like`. Differentiable, by torch.func too.

    Raises:
        ValueError: if `flat` has another number of entries than `like`.
    """
    if flat.shape != (num_weights(like),):
        raise ValueError(f"flat must have shape ({num_weights(like)},), got {tuple(flat.shape)}")
    pieces = torch.split(flat, [weight.numel() for weight in like.values()])
    return {name: piece.reshape(weight.shape) for (name, weight), piece in zip(like.items(), pieces, strict=True)}
