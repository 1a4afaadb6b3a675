"""Semantic segmentation with any network that maps images to logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from autosimulate_pipeline.randomness import seeded
from autosimulate_pipeline.records import AnnotatedDataset, Prediction
from autosimulate_pipeline.task_models.base import Batch, Weights, on_device


class SegmentationModel:
    """A `TaskModel` whose loss is the pixelwise cross-entropy.

    l of an image is the mean over its pixels of w_y · (−log softmax(logits)_y), with w = `background_weight` for
    background and 1 for an object: linear weights on a convex function, so convex in the logits. The mean is over the
    pixels and not over the weights, so no image's content rescales its loss.

    Images and targets are resized to a square of `input_size`, whatever their shape: images with antialiasing (an
    average when they shrink), targets by the nearest pixel centre.

    A predicted instance is all the pixels of one category, as in CLEVR scenes, where a category has one object; its
    score is the mean softmax probability of the category over its pixels. Touching or repeated objects of one
    category therefore count as one instance, which lowers mAP and leaves mIoU as it is.
    """

    images_per_pass = 32

    def __init__(
        self,
        build_network: Callable[[], nn.Module],
        categories: tuple[str, ...],
        input_size: int,
        background_weight: float,
        device: torch.device,
        frozen: tuple[str, ...] = (),
    ) -> None:
        self.categories = categories
        self.frozen = frozen
        self._build_network = build_network
        self._input_size = input_size
        self._device = device
        self._class_weights = torch.tensor([background_weight, *(1.0 for _ in categories)], device=device)
        with torch.device("meta"):  # an architecture without values: weights arrive with each call
            self._network = build_network()
        if any(True for _ in self._network.buffers()):
            raise ValueError("a task model's network must have no buffers, such as BatchNorm's running statistics")

    def initial_weights(self, seed: int) -> Weights:
        """Untrained weights on the model's device, equal for equal seeds; no global generator moves."""
        with seeded(seed):
            network = self._build_network()
        return {name: weight.detach().to(self._device) for name, weight in network.named_parameters()}

    def prepare(self, dataset: AnnotatedDataset) -> Batch:
        """The dataset at `input_size`, on the model's device.

        Raises:
            ValueError: if the dataset's categories are not the model's, or it has no image.
        """
        if dataset.categories != self.categories:
            raise ValueError(f"dataset.categories must be {self.categories}, got {dataset.categories}")
        if not len(dataset):
            raise ValueError("dataset must have at least one image, got 0")
        targets = [self._prepare_target(image.semantic_mask) for image in dataset.images]
        return Batch(self._prepare_images(dataset), torch.stack(targets).to(self._device))

    def outputs(self, weights: Weights, batch: Batch) -> Tensor:
        """Logits, shape (K, 1 + number of categories, input_size, input_size)."""
        return self._logits(weights, batch.images)

    def losses_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """l of each image for these logits, shape (K,)."""
        return self._pixel_losses(outputs, batch).mean((1, 2))

    def loss_parts_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The same loss by the category that a pixel is labelled with, shape (K, 1 + number of categories)."""
        losses = self._pixel_losses(outputs, batch)
        categories = range(len(self._class_weights))
        return torch.stack([(losses * (batch.targets == category)).mean((1, 2)) for category in categories], dim=1)

    def per_image_losses(self, weights: Weights, batch: Batch) -> Tensor:
        """l(s_k; θ) of each image, shape (K,)."""
        return self.losses_of_outputs(self.outputs(weights, batch), batch)

    @torch.no_grad()
    def predict(self, weights: Weights, dataset: AnnotatedDataset) -> list[Prediction]:
        """One prediction for each image at its own size, from logits upsampled bilinearly; labels are not looked at."""
        if not len(dataset):
            return []
        weights = on_device(weights, self._device)
        batches = torch.split(self._prepare_images(dataset), self.images_per_pass)
        logits = torch.cat([self._logits(weights, images).cpu() for images in batches])
        return [
            _prediction(functional.interpolate(image_logits[None], size=image.instance_mask.shape, mode="bilinear")[0])
            for image_logits, image in zip(logits, dataset.images, strict=True)
        ]

    def _pixel_losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        class_weights = self._class_weights.to(outputs.dtype)
        return functional.cross_entropy(outputs, batch.targets, class_weights, reduction="none")

    def _logits(self, weights: Weights, images: Tensor) -> Tensor:
        logits: Tensor = functional_call(self._network, weights, (images,), strict=True)
        return logits

    def _prepare_images(self, dataset: AnnotatedDataset) -> Tensor:
        return torch.stack([self._prepare_image(image.image) for image in dataset.images]).to(self._device)

    def _prepare_image(self, image: NDArray[np.uint8]) -> Tensor:
        values = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
        size = (self._input_size, self._input_size)
        return functional.interpolate(values[None], size=size, mode="bilinear", antialias=True)[0]

    def _prepare_target(self, semantic_mask: NDArray[np.uint8]) -> Tensor:
        height, width = semantic_mask.shape
        rows, columns = (
            ((np.arange(self._input_size) + 0.5) * side / self._input_size).astype(int) for side in (height, width)
        )
        return torch.from_numpy(semantic_mask[np.ix_(rows, columns)]).long()


def _prediction(logits: Tensor) -> Prediction:
    probabilities = logits.softmax(0).numpy()
    semantic_mask = probabilities.argmax(0).astype(np.uint8)
    categories = tuple(int(category) for category in np.unique(semantic_mask) if category > 0)
    masks = semantic_mask == np.array(categories, dtype=np.uint8).reshape(-1, 1, 1)
    scores = (float(probabilities[category][mask].mean()) for category, mask in zip(categories, masks, strict=True))
    return Prediction(categories, tuple(scores), semantic_mask, masks)
