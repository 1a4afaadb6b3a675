"""YOLOv3-SPP: the network as a table of layers in Darknet's order, and the module that runs the table.

Redmon and Farhadi 2018 (YOLOv3), with the spatial pyramid pooling of yolov3-spp.cfg, which Darknet publishes: 114
layers, 0 to 113, of which 76 are convolutional, 23 shortcut, 7 route, 3 max-pool, 2 upsample and 3 yolo.

Differences from Darknet, and why:
- Every number of filters can be scaled, so that a narrow network trains on a CPU.
- GroupNorm, or batch normalisation with its statistics frozen, for batch normalisation: an image's loss must depend on
  that image alone, and no running statistics may change.
- A residual block starts as the identity, its last normalisation's weight being 0 (Goyal et al. 2017): fewer images
  are needed to learn from scratch.
- The yolo layers say raw numbers: what they mean, and the loss, is the task model's business (yolo.py).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Container, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

OBJECT_PRIOR = 0.01
"""Probability of an object that an untrained network states for every box (Lin et al. 2017, focal loss)."""

_LEAK = 0.1


class Convolution(NamedTuple):
    """Convolution that keeps the size (or divides it by `stride`), normalisation, leaky ReLU.

    `filters` None is an output: 3 · (5 + number of categories) filters with a bias, not normalised, linear.
    """

    filters: int | None
    size: int
    stride: int = 1


class Shortcut(NamedTuple):
    """The layer before plus the one at `source`; a negative source counts back from this layer, as in Darknet."""

    source: int


class Route(NamedTuple):
    """The layers at `sources`, one after the other along the channels."""

    sources: tuple[int, ...]


class MaxPool(NamedTuple):
    """The maximum over a window around each place; the size stays."""

    window: int


class Upsample(NamedTuple):
    """Each place `factor` × `factor` times."""

    factor: int


class Yolo(NamedTuple):
    """The layer before is the raw numbers of the boxes with these three anchors, out of nine from small to large."""

    anchors: tuple[int, int, int]


Layer = Convolution | Shortcut | Route | MaxPool | Upsample | Yolo


def _residual_stage(filters: int, num_blocks: int) -> tuple[Layer, ...]:
    block = (Convolution(filters // 2, 1), Convolution(filters, 3), Shortcut(-3))
    return (Convolution(filters, 3, stride=2), *block * num_blocks)


def _squeezes(filters: int, num_pairs: int) -> tuple[Layer, ...]:
    return (Convolution(filters, 1), Convolution(2 * filters, 3)) * num_pairs


def _finer(filters: int, source: int) -> tuple[Layer, ...]:
    """From the last squeeze of a scale to the next finer scale, joined with what the backbone has there."""
    return (Route((-4,)), Convolution(filters, 1), Upsample(2), Route((-1, source)))


DARKNET_53: tuple[Layer, ...] = (
    Convolution(32, 3),
    *_residual_stage(64, 1),
    *_residual_stage(128, 2),
    *_residual_stage(256, 8),
    *_residual_stage(512, 8),
    *_residual_stage(1024, 4),
)
"""The backbone, layers 0 to 74."""

_SPATIAL_PYRAMID = (MaxPool(5), Route((-2,)), MaxPool(9), Route((-4,)), MaxPool(13), Route((-1, -3, -5, -6)))
_OUTPUT = Convolution(None, 1)

YOLOV3_SPP: tuple[Layer, ...] = (
    *DARKNET_53,
    *(*_squeezes(512, 1), Convolution(512, 1), *_SPATIAL_PYRAMID, *_squeezes(512, 2), _OUTPUT, Yolo((6, 7, 8))),
    *(*_finer(256, 61), *_squeezes(256, 3), _OUTPUT, Yolo((3, 4, 5))),
    *(*_finer(128, 36), *_squeezes(128, 3), _OUTPUT, Yolo((0, 1, 2))),
)
"""The whole network; its yolo layers have strides of 32, 16 and 8 pixels."""


def sources_of(layers: Sequence[Layer], index: int) -> tuple[int, ...]:
    """The layers that the one at `index` looks back at, counted from 0; none but for shortcuts and routes."""
    layer = layers[index]
    relative = layer.sources if isinstance(layer, Route) else (layer.source,) if isinstance(layer, Shortcut) else ()
    return tuple(source if source >= 0 else index + source for source in relative)


def channels_of(layers: Sequence[Layer], num_categories: int, width: float = 1.0) -> list[int]:
    """The channels that each layer has, in order; filters are `width` times the table's, rounded to a multiple of 8."""
    channels: list[int] = []
    for index, layer in enumerate(layers):
        if isinstance(layer, Convolution):
            scaled = max(8, 8 * round(width * (layer.filters or 0) / 8))
            channels.append(3 * (5 + num_categories) if layer.filters is None else scaled)
        elif isinstance(layer, Route):
            channels.append(sum(channels[source] for source in sources_of(layers, index)))
        else:
            channels.append(channels[-1])
    return channels


def layer_name(index: int) -> str:
    """Before the names of a layer's weights: `backbone.0` to `backbone.74`, then `head.75` to `head.113`."""
    return f"{'backbone' if index < len(DARKNET_53) else 'head'}.{index}"


class YoloV3SPP(nn.Module):
    """Raw numbers of every box, shape (K, num_boxes, 5 + num_categories), for images (K, 3, side, side).

    The side is a multiple of 32. Boxes come scale by scale in Darknet's order (strides 32, 16, 8), in each row by row,
    column by column, three anchors for each cell. A box has t_x, t_y, t_w, t_h, the logit of an object, and a logit
    for each category.

    It has no buffers. Layers in `frozen_batch` have batch normalisation with its statistics frozen: a scale and a
    shift, which do not require their gradient, for they are constants. All others have GroupNorm, of 8 channels or
    more together (up to 32 groups).
    """

    def __init__(self, num_categories: int, width: float = 1.0, frozen_batch: Container[int] = ()) -> None:
        super().__init__()
        channels = channels_of(YOLOV3_SPP, num_categories, width)
        self.backbone, self.head = nn.ModuleDict(), nn.ModuleDict()
        for index, layer in enumerate(YOLOV3_SPP):
            if isinstance(layer, Convolution):
                num_in, part = channels[index - 1] if index else 3, self._part(index)
                if layer.filters is None:
                    part[str(index)] = _output_block(num_in, num_categories)
                else:
                    part[str(index)] = _block(num_in, channels[index], layer, index in frozen_batch)
            elif isinstance(layer, Shortcut) and index - 1 not in frozen_batch:
                nn.init.zeros_(self._part(index)[str(index - 1)].get_parameter("normalisation.weight"))
        self._remembered = {source for index in range(len(YOLOV3_SPP)) for source in sources_of(YOLOV3_SPP, index)}

    def forward(self, images: Tensor) -> Tensor:
        features, remembered, boxes = images, dict[int, Tensor](), list[Tensor]()
        for index, layer in enumerate(YOLOV3_SPP):
            sources = [remembered[source] for source in sources_of(YOLOV3_SPP, index)]
            match layer:
                case Convolution():
                    features = self._part(index)[str(index)](features)
                case Shortcut():
                    features = features + sources[0]
                case Route():
                    features = torch.cat(sources, dim=1)
                case MaxPool(window):
                    features = functional.max_pool2d(features, window, stride=1, padding=window // 2)
                case Upsample(factor):
                    features = functional.interpolate(features, scale_factor=factor)
                case Yolo(anchors):
                    numbers = torch.unflatten(features, 1, (len(anchors), -1))  # (K, anchors, 5 + C, rows, columns)
                    boxes.append(numbers.permute(0, 3, 4, 1, 2).flatten(1, 3))
            if index in self._remembered:
                remembered[index] = features
        return torch.cat(boxes, dim=1)

    def _part(self, index: int) -> nn.ModuleDict:
        return self.backbone if index < len(DARKNET_53) else self.head


class _FrozenBatchNorm(nn.Module):
    """(x − mean) / √variance · γ + β with all four constant, which is scale · x + shift."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_channels), requires_grad=False)
        self.shift = nn.Parameter(torch.zeros(num_channels), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.scale[:, None, None] + self.shift[:, None, None]


# Weights are drawn uniformly: drawing normal ones on the meta device, which has no values, imports PyTorch's compiler.
def _block(num_in: int, num_out: int, layer: Convolution, is_frozen_batch: bool) -> nn.Sequential:
    convolution = nn.Conv2d(num_in, num_out, layer.size, layer.stride, padding=layer.size // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight, a=_LEAK)
    normalisation = _FrozenBatchNorm(num_out) if is_frozen_batch else nn.GroupNorm(math.gcd(32, num_out // 8), num_out)
    modules = {"convolution": convolution, "normalisation": normalisation, "activation": nn.LeakyReLU(_LEAK)}
    return nn.Sequential(OrderedDict(modules))


def _output_block(num_in: int, num_categories: int) -> nn.Sequential:
    convolution = nn.Conv2d(num_in, 3 * (5 + num_categories), 1)
    biases = torch.zeros(3, 5 + num_categories)
    biases[:, 4] = math.log(OBJECT_PRIOR / (1 - OBJECT_PRIOR))
    convolution.bias = nn.Parameter(biases.flatten())
    bound = math.sqrt(3) * 0.01  # standard deviation 0.01, so that the prior is what every box says
    nn.init.uniform_(convolution.weight, -bound, bound)
    return nn.Sequential(OrderedDict({"convolution": convolution}))
