"""Annotated images as people look at them: masks, boxes and depth in colour, sizes that keep pixels sharp."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from autosimulate_pipeline.records import AnnotatedImage, Prediction
from autosimulate_pipeline.reporting.palette import CATEGORIES, category_colour

Picture = NDArray[np.uint8]
"""sRGB, shape (height, width, 3), uint8."""

SHOWN_SCORE = 0.3
"""Detections less sure than this are not drawn."""

DEPTH_COLOURS = colormaps["cividis"]
"""Of equal perceived steps, for the colour-blind too."""

TINY_SIDE = 192
"""Pictures up to this side are enlarged and exact inside a page."""

MAX_SIDE = 320
"""Of pictures inside a page."""

OPACITY = 0.65
"""Of categories' colours over the image."""


def overlaid(image: Picture, semantic_mask: NDArray[np.uint8]) -> Picture:
    """The image, greyed, with each category in its colour, shape (height, width, 3), uint8."""
    grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    colours = CATEGORIES[(semantic_mask.astype(int) - 1) % len(CATEGORIES)]
    blended = np.where(semantic_mask[..., None] > 0, OPACITY * colours + (1 - OPACITY) * grey, grey)
    return blended.astype(np.uint8)


def masked(image: AnnotatedImage) -> Picture:
    """The image, greyed, with its instances in their categories' colours, a light line between equal ones."""
    semantic, instances = image.semantic_mask, image.instance_mask
    picture = overlaid(image.image, semantic)
    beside = (semantic[:, 1:] == semantic[:, :-1]) & (instances[:, 1:] != instances[:, :-1])
    below = (semantic[1:] == semantic[:-1]) & (instances[1:] != instances[:-1])
    picture[:, 1:][beside] = 255
    picture[1:][below] = 255
    return picture


def boxed(image: Picture, boxes: NDArray[np.float64], categories: Sequence[int]) -> Picture:
    """The image with boxes [x, y, width, height], in pixels, in their categories' colours."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    line = max(1, round(max(canvas.size) / 120))
    for (x, y, width, height), category in zip(boxes.tolist(), categories, strict=True):
        corners = (x, y, max(x + width - 1, x), max(y + height - 1, y))
        draw.rectangle(corners, outline=category_colour(category), width=line)
    return np.array(canvas)


def labelled(image: AnnotatedImage) -> Picture:
    """The image with what is to be found in it: boxes where it has them, otherwise masks."""
    if image.instance_boxes is None:
        return masked(image)
    return boxed(image.image, image.boxes[image.counted], image.counted_categories)


def predicted(image: Picture, prediction: Prediction) -> Picture:
    """The image with what a network finds in it, boxes of less than `SHOWN_SCORE` left out."""
    if prediction.semantic_mask is not None:
        return overlaid(image, prediction.semantic_mask)
    if prediction.instance_boxes is None:
        return image
    sure = np.array(prediction.instance_scores) >= SHOWN_SCORE
    categories = np.array(prediction.instance_categories, dtype=int)[sure]
    return boxed(image, prediction.instance_boxes[sure], categories.tolist())


def depth_in_colour(depth_mm: NDArray[np.float32], low_mm: float, high_mm: float) -> Picture:
    """Depth from `low_mm` (dark) to `high_mm` (light); black where there is no surface."""
    shares = (depth_mm - low_mm) / max(high_mm - low_mm, 1e-9)
    colours = (DEPTH_COLOURS(shares.clip(0, 1))[..., :3] * 255).astype(np.uint8)
    colours[depth_mm <= 0] = 0
    return colours


def resized(image: Picture, width: int) -> Picture:
    """The image at that width, aspect kept: larger by repeated pixels, never blurred; smaller by averages."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    way = Image.Resampling.NEAREST if width >= image.shape[1] else Image.Resampling.LANCZOS
    return np.array(Image.fromarray(image).resize((width, height), way))


def data_uri(image: Picture) -> str:
    """The image for the `src` of an `<img>`, as WebP.

    A tiny one is enlarged by whole repeated pixels, for browsers would blur it, and every pixel kept.
    """
    is_tiny = max(image.shape[:2]) <= TINY_SIDE
    width = image.shape[1] * -(-TINY_SIDE // image.shape[1]) if is_tiny else min(image.shape[1], MAX_SIDE)
    file = io.BytesIO()
    Image.fromarray(resized(image, width)).save(file, "WEBP", lossless=is_tiny, quality=75, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
