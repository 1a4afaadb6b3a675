"""torchvision's Faster R-CNN networks without pretrained weights, fit for curvature products.

Differences from torchvision's builders, and why:
- GroupNorm where torchvision has BatchNorm in a network without weights: an image's loss must depend on that image
  alone, and no running statistics may change. A file with running statistics makes them constants (frozen batch norm).
- Hardsigmoid and hardswish are written through ReLU6: the same functions, but PyTorch's own lack a second derivative.
- Anchors have sides of 1/16 to 1 of the input (torchvision: 32 to 512 pixels, for inputs of 320 or 800), and the region
  proposals are cut at 300 before and 100 after non-maximum suppression, with no threshold on objectness, which is small
  in a network that trained for minutes.
- `mobilenet_v3_large_fpn` reads MobileNetV3 at strides 8, 16 and 32, where torchvision reads it at 32 alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autosimulate_pipeline.task_models.base import Weights
from autosimulate_pipeline.task_models.layers import group_norm, replace_layers

Network = Any
"""A torchvision `FasterRCNN`; torchvision has no types."""

NormLayer = Callable[[int], nn.Module]
BuildNetwork = Callable[[NormLayer], Network]
"""Called with the normalisation layer to use."""

PREDICTOR = "roi_heads.box_predictor."
_ANCHOR_FRACTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # sides of anchors in sides of the input
_ASPECT_RATIOS = (0.5, 1.0, 2.0)
_NUM_PROPOSALS = {"rpn_pre_nms_top_n_test": 300, "rpn_post_nms_top_n_test": 100, "rpn_score_thresh": 0.0}


def mobilenet_v3_large_320_fpn(num_classes: int, input_size: int, norm_layer: NormLayer) -> Network:
    """`fasterrcnn_mobilenet_v3_large_320_fpn`: two levels at stride 32 and one at 64, five anchor sizes at each."""
    detection = _torchvision_detection()
    backbone = detection.backbone_utils.mobilenet_backbone(
        backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=norm_layer, trainable_layers=6
    )
    return _faster_rcnn(backbone, num_classes, input_size, [_ANCHOR_FRACTIONS] * 3)


def mobilenet_v3_large_fpn(num_classes: int, input_size: int, norm_layer: NormLayer) -> Network:
    """MobileNetV3-Large with a pyramid at strides 8, 16, 32 and 64, for objects that are small in the input."""
    detection = _torchvision_detection()
    from torchvision.models import mobilenet_v3_large

    body = mobilenet_v3_large(weights=None, norm_layer=norm_layer).features
    backbone = detection.backbone_utils.BackboneWithFPN(body, {"6": "0", "12": "1", "16": "2"}, [40, 112, 960], 256)
    return _faster_rcnn(backbone, num_classes, input_size, _one_size_a_level(4))


def resnet50_fpn(num_classes: int, input_size: int, norm_layer: NormLayer) -> Network:
    """`fasterrcnn_resnet50_fpn`: levels at strides 4 to 64."""
    detection = _torchvision_detection()
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=norm_layer, trainable_layers=5
    )
    return _faster_rcnn(backbone, num_classes, input_size, _one_size_a_level(5))


NETWORKS: dict[str, Callable[[int, int, NormLayer], Network]] = {
    "mobilenet_v3_large_320_fpn": mobilenet_v3_large_320_fpn,
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


def matched(build_network: BuildNetwork, state: Mapping[str, Tensor]) -> Weights:
    """The tensors of `state` by the network's own names, all but the predictor's if that is for other categories.

    Older versions of torchvision wrote other names, which are understood.

    Raises:
        ValueError: if `state` is not empty and not of this network.
    """
    if not state:
        return {}
    with torch.device("meta"):
        network = build(build_network, state)
    own = network.state_dict()
    scores = f"{PREDICTOR}cls_score.weight"
    other_categories = scores in state and state[scores].shape != own[scores].shape
    fresh = {name for name in own if other_categories and name.startswith(PREDICTOR)}
    used = {k: v.float() for k, v in state.items() if k not in fresh and not k.endswith("num_batches_tracked")}
    try:
        missing, unexpected = network.load_state_dict(used, strict=False, assign=True)
    except RuntimeError as error:  # a shape differs
        reason = str(error).splitlines()[1].strip()
        raise ValueError(f"task_model.weights_file must be of this network, but {reason}") from error
    missing = [name for name in missing if name not in fresh]
    if missing or unexpected:
        raise ValueError(
            f"task_model.weights_file must be of this network, but it lacks {len(missing)} of its tensors"
            f"{_such_as(missing)} and has {len(unexpected)} others{_such_as(unexpected)}"
        )
    return {name: value for name, value in network.state_dict().items() if name not in fresh}


def anchors(network: Network, sides: list[int], input_size: int) -> list[Tensor]:
    """Corners of the anchors of each level, row by row, shape (number of anchors, 4), for levels of that many cells."""
    generator = network.rpn.anchor_generator
    generator = type(generator)(generator.sizes, generator.aspect_ratios)  # the network's own is without values
    strides = [[torch.tensor(input_size // side)] * 2 for side in sides]
    of_levels: list[Tensor] = generator.grid_anchors([[side, side] for side in sides], strides)
    return of_levels


def _such_as(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""


def _faster_rcnn(backbone: nn.Module, num_classes: int, input_size: int, fractions: list[tuple[float, ...]]) -> Network:
    detection = _torchvision_detection()
    sizes = tuple(tuple(fraction * input_size for fraction in level) for level in fractions)
    anchors = detection.anchor_utils.AnchorGenerator(sizes, (_ASPECT_RATIOS,) * len(sizes))
    return detection.FasterRCNN(backbone, num_classes, rpn_anchor_generator=anchors, **_NUM_PROPOSALS)


def _one_size_a_level(num_levels: int) -> list[tuple[float, ...]]:
    return [(fraction,) for fraction in _ANCHOR_FRACTIONS[:num_levels]]


def _torchvision_detection() -> Any:
    with warnings.catch_warnings():  # here, not above: torchvision takes seconds to import, and says a deprecation
        warnings.simplefilter("ignore", FutureWarning)
        from torchvision.models import detection
    return detection
