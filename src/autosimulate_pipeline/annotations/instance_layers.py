"""Masks of instances that may lie on one another, as layers of instance numbers.

The smaller instance lies on the larger one, of equal ones the later: a window on its façade, in whatever order a file
lists them. Each keeps its whole mask (`AnnotatedImage.instance_masks`); the uppermost layer alone is the image as a
segmentation sees it. There are as many layers as instances share a pixel, so masks that nowhere overlap take one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.records import MAX_INSTANCES, Numbers, enclosing_box, number_type

MAX_BYTES = 2**30
"""Of an image's layers, or of its masks within their boxes: strangers' files shall not fill the memory."""


class Layers(NamedTuple):
    """What `AnnotatedImage` takes as `instance_mask` and `masks_below`."""

    instance_mask: Numbers
    masks_below: Numbers | None


class Crop(NamedTuple):
    """A mask within the box around its pixels; `place` is that box as rows and columns of the image."""

    place: tuple[slice, slice]
    pixels: NDArray[np.bool_]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width and height."""
        rows, columns = self.place
        return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start


def cropped(mask: NDArray[np.bool_]) -> Crop:
    """The part of a mask that has pixels, of which there must be one."""
    x, y, width, height = enclosing_box(mask)
    place = (slice(y, y + height), slice(x, x + width))
    return Crop(place, mask[place].copy())


def layered(masks: Iterable[Crop], size: tuple[int, ...], where: str) -> Numbers:
    """The masks, numbered from 1, as layers of shape (num_layers, height, width), the uppermost first.

    At each pixel the layers hold the instances that it belongs to, from the smallest to the largest, and then 0.

    Args:
        masks: each with one pixel at least.
        size: height and width of the image.

    Raises:
        ValueError: beginning with `where`, if they are more than `MAX_INSTANCES`, or take more than `MAX_BYTES`.
    """
    crops = []
    num_bytes = 0
    for mask in masks:
        crops.append(mask)
        num_bytes += mask.pixels.size
        if num_bytes > MAX_BYTES:
            raise ValueError(f"{where}: masks must have at most {MAX_BYTES:,} pixels within their boxes, got more")
    if len(crops) > MAX_INSTANCES:
        raise ValueError(f"{where} must have at most {MAX_INSTANCES} instances, got {len(crops)}")
    dtype = number_type(len(crops))
    layers = [np.zeros(size, dtype=dtype)]
    areas = [-np.count_nonzero(crop) for _, crop in crops]
    for index in np.argsort(areas, kind="stable").tolist():
        place, crop = crops[index]
        numbers = np.full(-areas[index], index + 1, dtype=dtype)
        for layer in layers:
            beneath = layer[place][crop]
            layer[place][crop] = numbers
            numbers = beneath
            if not numbers.any():
                break
        if numbers.any():
            if (len(layers) + 1) * layers[0].nbytes > MAX_BYTES:
                wanted = f"at most {len(layers)} deep on one another in an image of {size[1]}x{size[0]}"
                raise ValueError(f"{where}: masks must lie {wanted}, got more")
            layers.append(np.zeros(size, dtype=dtype))
            layers[-1][place][crop] = numbers
    return np.stack(layers)


def as_layers(layers: Numbers) -> Layers:
    """The uppermost layer, and the others as far down as there is anything in them."""
    num_used = max(1, 1 + np.flatnonzero(layers.any((1, 2))).max(initial=0))
    return Layers(layers[0], layers[1:num_used] if num_used > 1 else None)


def num_contested(layers: Numbers) -> int:
    """How many pixels belong to more than one instance."""
    return int(np.count_nonzero(np.count_nonzero(layers, axis=0) > 1)) if len(layers) > 1 else 0
