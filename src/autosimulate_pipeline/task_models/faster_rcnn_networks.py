"""torchvision's Faster R-CNN networks, without values, fit for curvature products.

Differences from torchvision's builders, and why:
- GroupNorm where torchvision has BatchNorm in a network without weights: an image's loss must depend on that image
  alone, and no running statistics may change. A file with running statistics makes them constants (frozen batch norm).
- Hardsigmoid and hardswish are written through ReLU6: the same functions, but PyTorch's own lack a second derivative.
- Anchors have sides of 1/16 to 1 of the input (torchvision: 32 to 512 pixels, for inputs of 320 or 800), and the region
  proposals are cut at 300 before and 100 after non-maximum suppression, with no threshold on objectness, which is small
  in a network that trained for minutes.
- The networks on MobileNet and EfficientNet read their bodies at strides 8, 16 and 32, for small objects; torchvision
  reads MobileNetV3 at 32 alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autosimulate_pipeline.task_models.efficientnet_lite import (
    BATCH_NORM_EPSILON,
    INPUT_DEVIATION,
    INPUT_MEAN,
    efficientnet_lite0,
)
from autosimulate_pipeline.task_models.layers import group_norm, replace_layers

Network = Any
"""A torchvision `FasterRCNN`; torchvision has no types."""

NormLayer = Callable[[int], nn.Module]
BuildNetwork = Callable[[NormLayer], Network]
"""Called with the normalisation layer to use."""

_ANCHOR_FRACTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # sides of anchors in sides of the input
_ASPECT_RATIOS = (0.5, 1.0, 2.0)
_MOBILENET_V3_EPSILON = 1e-3  # ε of its batch normalisation on ImageNet; torchvision's detectors have 1e-5
_NUM_PROPOSALS = {"rpn_pre_nms_top_n_test": 300, "rpn_post_nms_top_n_test": 100, "rpn_score_thresh": 0.0}


def mobilenet_v2_fpn(num_classes: int, input_size: int, norm_layer: NormLayer) -> Network:
    """MobileNetV2 with a pyramid at strides 8, 16, 32 and 64."""
    from torchvision.models import mobilenet_v2

    body = mobilenet_v2(weights=None, norm_layer=norm_layer).features
    backbone = _pyramid(body, {"6": "0", "13": "1", "17": "2"}, [32, 96, 320])
    return _faster_rcnn(backbone, num_classes, input_size, _one_size_a_level(4))


def efficientnet_lite0_fpn(num_classes: int, input_size: int, norm_layer: NormLayer) -> Network:
    """EfficientNet-lite0 with a pyramid at strides 8, 16, 32 and 64; its input is normalised as its weights want it."""
    body = _with_epsilon(efficientnet_lite0(norm_layer), BATCH_NORM_EPSILON)
    backbone = _pyramid(body, {"5": "0", "11": "1", "16": "2"}, [40, 112, 320])
    inputs = {"image_mean": [INPUT_MEAN] * 3, "image_std": [INPUT_DEVIATION] * 3}
    return _faster_rcnn(backbone, num_classes, input_size, _one_size_a_level(4), **inputs)


def mobilenet_v3_large_fpn(num_classes: int, input_size: int, norm_layer: NormLayer) -> Network:
    """MobileNetV3-Large with a pyramid at strides 8, 16, 32 and 64, for objects that are small in the input."""
    from torchvision.models import mobilenet_v3_large

    body = _with_epsilon(mobilenet_v3_large(weights=None, norm_layer=norm_layer).features, _MOBILENET_V3_EPSILON)
    backbone = _pyramid(body, {"6": "0", "12": "1", "16": "2"}, [40, 112, 960])
    return _faster_rcnn(backbone, num_classes, input_size, _one_size_a_level(4))


def resnet50_fpn(num_classes: int, input_size: int, norm_layer: NormLayer) -> Network:
    """`fasterrcnn_resnet50_fpn`: levels at strides 4 to 64."""
    detection = _torchvision_detection()
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=norm_layer, trainable_layers=5
    )
    return _faster_rcnn(backbone, num_classes, input_size, _one_size_a_level(5))


NETWORKS: dict[str, Callable[[int, int, NormLayer], Network]] = {
    "mobilenet_v2_fpn": mobilenet_v2_fpn,
    "efficientnet_lite0_fpn": efficientnet_lite0_fpn,
    "mobilenet_v3_large_fpn": mobilenet_v3_large_fpn,
    "resnet50_fpn": resnet50_fpn,
}
"""Network by name: called with the number of classes (background included), the input size and the normalisation."""


def build(build_network: BuildNetwork, state: Mapping[str, Tensor]) -> Network:
    """An untrained network in eval mode, normalised as `state` needs it, its values from the global generator."""
    norm_layer: NormLayer = group_norm
    if any(name.endswith("running_mean") for name in state):
        from torchvision.ops import FrozenBatchNorm2d

        norm_layer = FrozenBatchNorm2d
    network = build_network(norm_layer).eval()
    replace_layers(network)
    return network


def anchors(network: Network, sides: list[int], input_size: int) -> list[Tensor]:
    """Corners of the anchors of each level, row by row, shape (number of anchors, 4), for levels of that many cells."""
    generator = network.rpn.anchor_generator
    generator = type(generator)(generator.sizes, generator.aspect_ratios)  # the network's own is without values
    strides = [[torch.tensor(input_size // side)] * 2 for side in sides]
    of_levels: list[Tensor] = generator.grid_anchors([[side, side] for side in sides], strides)
    return of_levels


def _faster_rcnn(
    backbone: nn.Module, num_classes: int, input_size: int, fractions: list[tuple[float, ...]], **options: Any
) -> Network:
    detection = _torchvision_detection()
    sizes = tuple(tuple(fraction * input_size for fraction in level) for level in fractions)
    anchors = detection.anchor_utils.AnchorGenerator(sizes, (_ASPECT_RATIOS,) * len(sizes))
    return detection.FasterRCNN(backbone, num_classes, rpn_anchor_generator=anchors, **_NUM_PROPOSALS, **options)


def _pyramid(body: nn.Module, levels: dict[str, str], channels: list[int]) -> nn.Module:
    """The body's children of those names, of so many channels, and a level of half the resolution above them."""
    pyramid: nn.Module = _torchvision_detection().backbone_utils.BackboneWithFPN(body, levels, channels, 256)
    return pyramid


def _with_epsilon(body: nn.Module, epsilon: float) -> nn.Module:
    """The body, with this ε wherever its batch normalisation is frozen."""
    from torchvision.ops import FrozenBatchNorm2d

    for module in body.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = epsilon
    return body


def _one_size_a_level(num_levels: int) -> list[tuple[float, ...]]:
    return [(fraction,) for fraction in _ANCHOR_FRACTIONS[:num_levels]]


def _torchvision_detection() -> Any:
    with warnings.catch_warnings():  # here, not above: torchvision takes seconds to import, and says a deprecation
        warnings.simplefilter("ignore", FutureWarning)
        from torchvision.models import detection
    return detection
