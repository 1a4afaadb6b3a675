"""The convolutional body of EfficientNet-lite0 (Tan and Le 2019, in its variant for small devices).

Differences from Google's network, and why:
- Convolutions of stride 2 pad both sides alike, as PyTorch does, where TensorFlow pads the far side more. The features
  are those of the image shifted by some pixels, apart from its border.
- The last 1 × 1 convolution and the classifier are left out: a detector reads the levels below them.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

BATCH_NORM_EPSILON = 1e-3
"""ε of the batch normalisation that the published weights were trained with."""

INPUT_MEAN, INPUT_DEVIATION = 127 / 255, 128 / 255
"""The published weights read (x − mean) / deviation, for x in [0, 1], in all three channels."""

_STEM_CHANNELS = 32
_STAGES = (  # repeats, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(norm_layer: Callable[[int], nn.Module]) -> nn.Sequential:
    """The stem (child 0) and the 16 blocks (children 1 to 16), which end at a stride of 32 with 320 channels."""
    layers: list[nn.Module] = [_convolution(3, _STEM_CHANNELS, 3, 2, norm_layer)]
    num_in = _STEM_CHANNELS
    for repeats, kernel, stride, expansion, num_out in _STAGES:
        for index in range(repeats):
            layers.append(_Block(num_in, num_out, kernel, 1 if index else stride, expansion, norm_layer))
            num_in = num_out
    return nn.Sequential(*layers)


class _Block(nn.Module):
    """An inverted residual without squeeze and excitation; what it adds to its input has no activation."""

    def __init__(
        self,
        num_in: int,
        num_out: int,
        kernel: int,
        stride: int,
        expansion: int,
        norm_layer: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        hidden = num_in * expansion
        layers = [_convolution(num_in, hidden, 1, 1, norm_layer)] if expansion > 1 else []
        layers += [
            _convolution(hidden, hidden, kernel, stride, norm_layer, groups=hidden),
            _convolution(hidden, num_out, 1, 1, norm_layer, activation=None),
        ]
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and num_in == num_out

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.layers(features)
        return features + outputs if self.is_residual else outputs


def _convolution(
    num_in: int,
    num_out: int,
    kernel: int,
    stride: int,
    norm_layer: Callable[[int], nn.Module],
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
) -> nn.Module:
    from torchvision.ops.misc import Conv2dNormActivation  # torchvision takes seconds to import

    return Conv2dNormActivation(
        num_in, num_out, kernel, stride, groups=groups, norm_layer=norm_layer, activation_layer=activation, inplace=None
    )
