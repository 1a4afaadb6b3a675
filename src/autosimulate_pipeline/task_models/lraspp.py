"""torchvision's LR-ASPP on MobileNetV3-Large, without pretrained weights, fit for curvature products.

Differences from torchvision, and why:
- GroupNorm for BatchNorm: an image's loss must depend on that image alone, and no running statistics may change.
- Hardsigmoid and hardswish are written through ReLU6: the same functions, but PyTorch's own lack a second derivative.
"""

from __future__ import annotations

import warnings

from torch import Tensor, nn

from autosimulate_pipeline.task_models.layers import replace_layers


class LRASPP(nn.Module):
    """Logits of shape (K, num_classes, height, width) for images of shape (K, 3, height, width).

    The features that it reads are at 1/8 and 1/16 of the input size, so an input of 96 or more suits it.
    `base_channels` must be 16, MobileNetV3-Large's own width.
    """

    def __init__(self, num_classes: int, base_channels: int) -> None:
        super().__init__()
        if base_channels != 16:
            raise ValueError(f"task_model.base_channels must be 16 with type lraspp, got {base_channels}")
        with warnings.catch_warnings():  # here, not above: torchvision takes seconds to import, and says a deprecation
            warnings.simplefilter("ignore", FutureWarning)
            from torchvision.models.segmentation import lraspp_mobilenet_v3_large
        self.network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
        replace_layers(self.network)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)["out"]
        return logits
