"""Darknet's .weights files: the convolutions of a table of layers, one after the other, as little-endian float32.

A header of three int32 (major, minor and revision of the format) and the number of images seen (int64 from format 0.2
on, int32 before); then for each convolutional layer in order
- normalised: β, γ, running mean and running variance, each of one number for each filter, or
- output: the bias,
and the kernel, shape (filters, input channels, size, size).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autosimulate_pipeline.task_models.base import Weights
from autosimulate_pipeline.task_models.yolov3_spp import Convolution, Layer, channels_of, layer_name

COCO_NUM_CATEGORIES = 80

_EPSILON = 1e-5  # what Darknet adds to the variance


def load_darknet_weights(
    path: Path,
    layers: Sequence[Layer],
    num_categories: int,
    num_categories_of_file: int = COCO_NUM_CATEGORIES,
    width: float = 1.0,
) -> Weights:
    """The weights in the file by the names of a `YoloV3SPP` with frozen batch normalisation, float32 on the CPU.

    γ (x − mean) / √(variance + 1e-5) + β becomes scale · x + shift. If the file is of another number of categories, the
    three output convolutions fit no more and are left out: they start fresh.

    Args:
        layers: those in the file: YOLOV3_SPP for yolov3-spp.weights, DARKNET_53 for darknet53.conv.74.
        width: that of the network in the file.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is not as long as these layers are, or a scale, shift or weight in it is not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"task_model.weights must be a file, got {path}, which is missing")
    channels = channels_of(layers, num_categories_of_file, width)
    shapes = {
        index: (channels[index], channels[index - 1] if index else 3, layer.size, layer.size)
        for index, layer in enumerate(layers)
        if isinstance(layer, Convolution)
    }
    outputs = {index for index in shapes if layers[index] == Convolution(None, 1)}
    num_values = sum(shape[0] * (1 if index in outputs else 4) + int(np.prod(shape)) for index, shape in shapes.items())
    header_size, size = _header_size(path), path.stat().st_size
    if size != header_size + 4 * num_values:
        raise ValueError(
            f"task_model.weights: {path.name} must have {header_size + 4 * num_values} bytes for {len(layers)} "
            f"layers of width {width:g} and {num_categories_of_file} categories, got {size}"
        )
    values = torch.from_numpy(np.fromfile(path, dtype="<f4", offset=header_size).astype(np.float32, copy=False))
    position, weights = 0, dict[str, Tensor]()

    def take(*shape: int) -> Tensor:
        nonlocal position
        position += int(np.prod(shape))
        return values[position - int(np.prod(shape)) : position].reshape(shape).clone()

    for index, shape in shapes.items():
        name, of_layer = layer_name(index), dict[str, Tensor]()
        if index in outputs:
            of_layer["convolution.bias"] = take(shape[0])
        else:
            beta, gamma, mean, variance = (take(shape[0]) for _ in range(4))
            scale = gamma / (variance + _EPSILON).sqrt()
            of_layer |= {"normalisation.scale": scale, "normalisation.shift": beta - mean * scale}
        of_layer["convolution.weight"] = take(*shape)
        if not all(value.isfinite().all() for value in of_layer.values()):
            raise ValueError(f"task_model.weights: {path.name} must have finite weights, got others in {name}")
        if index not in outputs or num_categories == num_categories_of_file:
            weights |= {f"{name}.{part}": value for part, value in of_layer.items()}
    return weights


def _header_size(path: Path) -> int:
    major, minor, *_ = (*np.fromfile(path, dtype="<i4", count=2), 0, 0)
    return 20 if 10 * major + minor >= 2 else 16
