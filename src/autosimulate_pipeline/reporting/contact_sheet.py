"""One iteration's images side by side, pixel by pixel: as rendered, and with all that is known about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.reporting.palette import category_colour
from autosimulate_pipeline.reporting.pictures import DEPTH_COLOURS, Picture, boxed, depth_in_colour, masked, resized

DOTS_PER_INCH = 110
"""At which the figure is as many pixels as it says; the resolution that figures are saved with."""

SMALLEST_CELL, LARGEST_CELL = 192, 400
"""Widths in pixels. Tiny images are shown by whole larger pixels, others as they are, very large ones smaller."""

SMALL, NUM_SMALL, NUM_LARGE = 200, 8, 6
"""Images side by side: of those shown up to `SMALL` pixels wide, and of larger ones."""

GAP = 4
LEFT, RIGHT, TOP, BOTTOM = 34, 96, 34, 40


def contact_sheet(dataset: AnnotatedDataset, title: str) -> Figure:
    """Rows: the images, their instances by category, and where there are poses also boxes and depth.

    Depth has the colours of cividis between the 1st and 99th percentile of what the sheet shows, in metres.
    """
    if not len(dataset):
        figure = Figure(figsize=(5, 0.6), dpi=DOTS_PER_INCH)
        figure.text(0.5, 0.5, f"{title}: the search had stopped, nothing was rendered", ha="center", va="center")
        return figure
    widest = max(image.image.shape[1] for image in dataset.images)
    width = min(widest * math.ceil(SMALLEST_CELL / widest), LARGEST_CELL)
    images = dataset.images[: NUM_SMALL if width <= SMALL else NUM_LARGE]
    limits = _depth_limits(images)
    rows: dict[str, Callable[[AnnotatedImage], Picture]] = {"image": lambda image: image.image}
    if any(image.has_masks for image in images):
        rows["instances"] = masked
    if any(image.instance_boxes is not None for image in images):
        rows["boxes"] = _with_boxes
    if limits is not None:
        rows["depth"] = lambda image: _depth(image, limits)
    strips = [_side_by_side([resized(draw(image), width) for image in images]) for draw in rows.values()]
    sheet = np.concatenate([part for strip in strips for part in (strip, _white(GAP, strip.shape[1]))][:-1])
    height, width = sheet.shape[:2]
    right = RIGHT if limits is not None else 8
    size = (LEFT + width + right, TOP + height + BOTTOM)
    figure = Figure(figsize=(size[0] / DOTS_PER_INCH, size[1] / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((LEFT / size[0], BOTTOM / size[1], width / size[0], height / size[1]))
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=11)
    tops = np.cumsum([0, *(strip.shape[0] + GAP for strip in strips)])
    for name, top, strip in zip(rows, tops, strips, strict=False):
        axes.text(-8, top + strip.shape[0] / 2, name, rotation=90, ha="right", va="center", fontsize=10)
    swatches = [
        Patch(color=tuple(np.array(category_colour(index)) / 255), label=name)
        for index, name in enumerate(dataset.categories, start=1)
    ]
    figure.legend(
        handles=swatches,
        loc="lower left",
        bbox_to_anchor=(LEFT / size[0], 0),
        borderpad=0,
        ncols=len(swatches),
        frameon=False,
        fontsize=9,
    )
    if limits is not None:
        last = strips[-1].shape[0]
        bar = figure.add_axes(((LEFT + width + 12) / size[0], BOTTOM / size[1], 12 / size[0], last / size[1]))
        scale = ScalarMappable(Normalize(limits[0] / 1000, limits[1] / 1000), DEPTH_COLOURS)
        figure.colorbar(scale, cax=bar).set_label("depth, m", fontsize=9)
        bar.tick_params(labelsize=8)
    return figure


def _with_boxes(image: AnnotatedImage) -> Picture:
    return boxed(image.image, image.boxes, image.instance_categories)


def _depth_limits(images: Sequence[AnnotatedImage]) -> tuple[float, float] | None:
    """Millimetres that the colours end at; None where no image has depth."""
    depths = [image.geometry.depth_mm for image in images if image.geometry and image.geometry.depth_mm is not None]
    surfaces = np.concatenate([depth[depth > 0] for depth in depths]) if depths else np.empty(0)
    if not len(surfaces):
        return None
    low, high = np.percentile(surfaces, [1, 99])
    return float(low), float(high)


def _depth(image: AnnotatedImage, limits: tuple[float, float]) -> Picture:
    if image.geometry is None or image.geometry.depth_mm is None:
        return np.zeros_like(image.image)
    return depth_in_colour(image.geometry.depth_mm, *limits)


def _side_by_side(pictures: Sequence[Picture]) -> Picture:
    """The pictures in a row on white, those that are less high at its top."""
    height = max(picture.shape[0] for picture in pictures)
    parts = []
    for picture in pictures:
        cell = _white(height, picture.shape[1] + GAP)
        cell[: picture.shape[0], : picture.shape[1]] = picture
        parts.append(cell)
    return np.concatenate(parts, axis=1)[:, :-GAP]


def _white(height: int, width: int) -> Picture:
    return np.full((height, width, 3), 255, dtype=np.uint8)
