"""The sRGB transfer curve, IEC 61966-2-1, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def srgb_from_linear(radiance: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Blender's "Standard" view: clipped to [0, 1], then the transfer curve."""
    clipped = np.clip(radiance, 0, 1)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


def linear_from_srgb(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    """Linear RGB of an 8-bit sRGB colour, in [0, 1]."""
    unit = np.array(colour) / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
