"""Summary statistics of an annotated image: a few hundred numbers, each with a name that people can read.

Statistics of labels are shares of the image, so that renders and photographs of different sizes compare. Those of
pixels are in [0, 1] of white. A category that an image does not show has `ABSENT` in the place of its numbers.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage

ABSENT = -1.0
"""What stands for a number of a category that an image does not show: no statistic of a shown one is that low."""

LABELS, PIXELS, OWN = "labels", "pixels", "your statistics"
"""What a statistic is taken from: labels alone, pixels (perhaps where labels say), or the user's function."""

Grey = NDArray[np.float64]
OwnStatistics = Callable[[AnnotatedImage, Sequence[str]], dict[str, float]]
"""A user's function: an image and the categories' names to statistics by name."""

_INNER = 0.25
"""Where there are no masks, an object's pixels are those of its box less this share of its sides at each border."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of the images of a dataset.

    Attributes:
        names: what each column is, such as `cube: centre x`.
        sources: `LABELS`, `PIXELS` or `OWN`, for each column.
        values: shape (num_images, num_statistics), float64.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    values: NDArray[np.float64]

    def where(self, kept: NDArray[np.bool_]) -> Statistics:
        """The statistics with only those columns."""
        indices = np.flatnonzero(kept)
        return Statistics(
            tuple(self.names[i] for i in indices), tuple(self.sources[i] for i in indices), self.values[:, indices]
        )


def statistics_of(
    dataset: AnnotatedDataset, has_masks: bool, heights: tuple[int, int], own: OwnStatistics | None = None
) -> Statistics:
    """Label and pixel statistics of each image.

    Args:
        has_masks: whether to use masks; where some images of a comparison lack them, boxes must do for all.
        heights: the smallest and the largest height of the renders, in pixels; larger or smaller images are scaled to
            that range first, for noise and edges depend on the size.
        own: the user's statistics.

    Raises:
        ValueError: if the user's function fails, or returns other names for one image than for another, or no finite
            numbers.
    """
    rows = [_of_image(image, dataset.categories, has_masks, heights, own) for image in dataset.images]
    names, sources = zip(*rows[0], strict=True)
    for row in rows:
        if row.keys() != rows[0].keys():
            different = sorted(name for name, _ in row.keys() ^ rows[0].keys())
            raise ValueError(f"inference.statistics must return the same names for every image, got {different[0]!r}")
    return Statistics(names, sources, np.array([list(row.values()) for row in rows], dtype=np.float64))


def _of_image(
    image: AnnotatedImage,
    categories: Sequence[str],
    has_masks: bool,
    heights: tuple[int, int],
    own: OwnStatistics | None,
) -> dict[tuple[str, str], float]:
    found = {(name, LABELS): value for name, value in label_statistics(image, categories, has_masks).items()}
    pixels = pixel_statistics(image, categories, has_masks, heights)
    found |= {(name, PIXELS): value for name, value in pixels.items()}
    if own is not None:
        found |= {(name, OWN): value for name, value in _own_statistics(own, image, categories).items()}
    return found


def _own_statistics(own: OwnStatistics, image: AnnotatedImage, categories: Sequence[str]) -> dict[str, float]:
    """What the user's function returns.

    Raises:
        ValueError: if it fails, or returns anything but finite numbers by name; in one line.
    """
    try:
        returned = own(image, categories)
    except Exception as failure:  # whatever the user's code does
        reason = " ".join(f"{type(failure).__name__}: {failure}".split())
        raise ValueError(f"inference.statistics: the function failed: {reason}") from failure
    if not isinstance(returned, dict):
        raise ValueError(f"inference.statistics must return a dict of numbers by name, got {type(returned).__name__}")
    for name, value in returned.items():
        if not (isinstance(value, numbers.Real) and math.isfinite(value)):
            raise ValueError(f"inference.statistics must return finite numbers, got {value!r} for {name!r}")
    return {str(name): float(value) for name, value in returned.items()}


def label_statistics(image: AnnotatedImage, categories: Sequence[str], has_masks: bool) -> dict[str, float]:
    """Where and how large the labelled objects are: of all together, and by category."""
    height, width = image.image.shape[:2]
    counted = image.counted
    boxes = image.boxes[counted] / np.array([width, height, width, height])
    labels = np.array(image.instance_categories, dtype=np.int64)[counted]
    found = _placement("all objects", boxes)
    areas = np.bincount(image.semantic_mask.ravel(), minlength=len(categories) + 1) if has_masks else None
    for number, category in enumerate(categories, start=1):
        of_category = boxes[labels == number]
        found |= _extent(category, of_category, width / height)
        if areas is not None:
            found[f"{category}: visible area"] = math.sqrt(areas[number] / (height * width))
    return found


def _placement(name: str, boxes: NDArray[np.float64]) -> dict[str, float]:
    """How many boxes there are, their usual size and how they spread."""
    kinds = ("mean", "deviation", "10 % quantile", "90 % quantile")
    names = ["median size", *(f"{kind} of centre {axis}" for axis in "xy" for kind in kinds)]
    values = [ABSENT] * len(names)
    if len(boxes):
        values = [float(np.median(np.sqrt(boxes[:, 2] * boxes[:, 3])))]
        for centres in (boxes[:, :2] + boxes[:, 2:] / 2).T:
            values += [centres.mean(), centres.std(), *np.quantile(centres, (0.1, 0.9))]
    return {f"{name}: number": float(len(boxes))} | _named(name, names, values)


def _extent(category: str, boxes: NDArray[np.float64], aspect: float) -> dict[str, float]:
    """The boxes of one category: means over its instances, and how far they reach."""
    names = ("centre x", "centre y", "width", "height", "size", "shape", "left", "right", "top", "bottom")
    values = [ABSENT] * len(names)
    if len(boxes):
        x, y, w, h = boxes.T
        means = (x + w / 2, y + h / 2, w, h, np.sqrt(w * h), np.arctan2(w * aspect, h))
        values = [*(float(quantity.mean()) for quantity in means), x.min(), (x + w).max(), y.min(), (y + h).max()]
    return {f"{category}: number": float(len(boxes))} | _named(category, names, values)


def _named(name: str, labels: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {f"{name}: {label}": float(value) for label, value in zip(labels, values, strict=True)}


def pixel_statistics(
    image: AnnotatedImage, categories: Sequence[str], has_masks: bool, heights: tuple[int, int]
) -> dict[str, float]:
    """Brightness, colour, contrast and noise: of the whole image, its parts, its background and each category."""
    rgb, category_at = _scaled(image, has_masks, heights)
    grey = rgb.mean(axis=2)
    saturation = rgb.max(axis=2) - rgb.min(axis=2)
    height, width = grey.shape
    found = {"image: height in pixels": float(height)}
    found |= _brightness("image", grey, saturation)
    found |= _texture(grey)
    red, green, blue = rgb.reshape(-1, 3).mean(axis=0)
    found["image: red to green"] = float((red + 0.01) / (green + 0.01))
    found["image: blue to green"] = float((blue + 0.01) / (green + 0.01))
    rows, columns = ("top", "middle", "bottom"), ("left", "centre", "right")
    for row, row_name in enumerate(rows):
        for column, column_name in enumerate(columns):
            part = grey[row * height // 3 : (row + 1) * height // 3, column * width // 3 : (column + 1) * width // 3]
            found[f"image, {row_name} {column_name}: mean brightness"] = float(part.mean())
            found[f"image, {row_name} {column_name}: contrast"] = float(part.std())
    background = category_at == 0
    found |= _brightness("background", grey[background], saturation[background])
    for number, category in enumerate(categories, start=1):
        inside = category_at == number
        found |= _brightness(category, grey[inside], saturation[inside])
    return found


def _scaled(
    image: AnnotatedImage, has_masks: bool, heights: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """The image in [0, 1] and the category at each pixel, at a height that renders have."""
    height, width = image.image.shape[:2]
    category_at = image.semantic_mask if has_masks else _category_by_boxes(image)
    wanted = min(max(height, heights[0]), heights[1])
    if wanted == height:
        return image.image / 255.0, category_at
    from PIL import Image

    size = (max(3, round(width * wanted / height)), wanted)
    how = Image.Resampling.BOX if wanted < height else Image.Resampling.BILINEAR
    pixels = Image.fromarray(image.image).resize(size, how)
    labels = Image.fromarray(category_at).resize(size, Image.Resampling.NEAREST)
    return np.asarray(pixels) / 255.0, np.asarray(labels)


def _category_by_boxes(image: AnnotatedImage) -> NDArray[np.uint8]:
    """The category at each pixel as far as boxes tell: the inner part of each, the larger ones below."""
    height, width = image.image.shape[:2]
    category_at = np.zeros((height, width), dtype=np.uint8)
    boxes, counted = image.boxes, image.counted
    for index in np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable"):
        if counted[index]:
            x, y, w, h = boxes[index]
            rows = slice(max(0, round(y + _INNER * h)), max(0, round(y + (1 - _INNER) * h)))
            columns = slice(max(0, round(x + _INNER * w)), max(0, round(x + (1 - _INNER) * w)))
            category_at[rows, columns] = image.instance_categories[index]
    return category_at


def _brightness(name: str, grey: Grey, saturation: Grey) -> dict[str, float]:
    """Mean, contrast, quantiles, highlights and colourfulness of some pixels."""
    labels = (
        *("mean brightness", "contrast", "dark end", "median brightness", "bright end"),
        *("highlight", "brightest highlight", "colourfulness", "spread of colourfulness"),
    )
    values = [ABSENT] * len(labels)
    if grey.size:
        low, median, high = (float(value) for value in np.quantile(grey, (0.05, 0.5, 0.95)))
        values = [float(grey.mean()), float(grey.std()), low, median, high, high - median, float(grey.max()) - median]
        values += [float(saturation.mean()), float(saturation.std())]
    return _named(name, labels, values)


def _texture(grey: Grey) -> dict[str, float]:
    """Noise and edges."""
    padded = np.pad(grey, 1, mode="edge")
    height, width = grey.shape
    smooth = sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    rough = np.abs(grey - smooth)
    return {
        "image: noise": float(np.median(rough)),
        "image: roughness": float(rough.mean()),
        "image: change from left to right": float(np.abs(np.diff(grey, axis=1)).mean()),
        "image: change from top to bottom": float(np.abs(np.diff(grey, axis=0)).mean()),
    }
