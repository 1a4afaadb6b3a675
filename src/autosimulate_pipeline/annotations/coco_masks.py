"""Masks and boxes of COCO annotations, clipped where they stick out of their image by a hair; all else is refused."""

from __future__ import annotations

import reprlib

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from autosimulate_pipeline.annotations.coco_file import CocoAnnotation, Rle
from autosimulate_pipeline.annotations.instance_layers import Crop
from autosimulate_pipeline.annotations.notices import Notices

TOLERANCE = 2.0
"""Pixels by which labels may lie beyond the border, and boxes be off their masks: programs round, scale and count
pixels from 0 or from 1."""

CLIPPED_BOXES = "clipped {box|boxes} by at most {most} px"
CLIPPED_POLYGONS = "clipped {polygon|polygons} by at most {most} px"
STRAYS = "left out {polygon|polygons} of fewer than 3 corners beside whole ones"
SPECKS = "left out {annotation|annotations} whose polygons cover no pixel"
SHARP = "took the box around the mask of {annotation|annotations} whose bbox differs from it by at most {most} px"

Box = tuple[float, float, float, float]
"""x, y, width and height, in pixels."""

_ROUNDING = 1e-6  # pixels: x + width of numbers that are meant to end at the border

_MAX_DIGITS = 6  # of COCO's text for a number: 30 bits are more than any image has pixels


def annotation_box(
    annotation: CocoAnnotation, size: tuple[int, int], where: str, notices: Notices
) -> NDArray[np.float64]:
    """[x, y, width, height] in an image of `size`, (height, width), clipped at its border.

    Raises:
        ValueError: beginning with `where`, if it has no area or sticks out of the image by more than `TOLERANCE`.
    """
    bbox: Box | None = annotation.bbox
    if bbox is None:  # of an annotation with a mask, in a folder that is read as boxes
        mask = annotation_mask(annotation, size, where, notices)
        bbox = mask.box if mask is not None else (0, 0, 0, 0)
    low, high = np.array(bbox[:2]), np.array(bbox[:2]) + bbox[2:]
    border = np.array(size[::-1])
    beyond = max(float((-low).max()), float((high - border).max()))
    clipped = np.clip([low, high], 0, border)
    if not (beyond <= TOLERANCE and min(bbox[2:]) > 0 and (clipped[1] > clipped[0]).all()):
        raise ValueError(
            f"{where}: bbox must be [x, y, width, height] in the image of {size[1]}x{size[0]}, width and height above "
            f"0, got {list(bbox)}"
        )
    if beyond <= _ROUNDING:
        return np.array(bbox)
    notices.add(CLIPPED_BOXES, amount=beyond)
    return np.concatenate([clipped[0], clipped[1] - clipped[0]])


def annotation_mask(annotation: CocoAnnotation, size: tuple[int, int], where: str, notices: Notices) -> Crop | None:
    """The pixels of an annotation that has a segmentation, in an image of `size`, (height, width).

    None: its polygons are so small that they cover no pixel.

    Raises:
        ValueError: beginning with `where`, if it does not fit into the image, is empty, or has another box than given.
    """
    segmentation = annotation.segmentation
    if isinstance(segmentation, Rle):
        runs = _checked_runs(segmentation, size, where)
        extents: list[Box] = []
    else:
        polygons = _polygons(annotation, size, where, notices)
        rle = coco_mask.merge(coco_mask.frPyObjects([clipped.ravel().tolist() for _, clipped in polygons], *size))
        runs = _run_lengths(rle["counts"].decode(), where)
        whole = [corners for corners, _ in polygons]
        strays = [np.reshape(numbers, (-1, 2)) for numbers in segmentation or []]
        extents = [_around(np.concatenate(corners)) for corners in (whole, strays)]
    mask = _cropped(runs, size[0])
    if mask is None:
        if not extents:
            raise ValueError(f"{where}: segmentation must cover at least one pixel, got none")
        notices.add(SPECKS)
        return None
    extents.append(mask.box)
    if annotation.bbox is not None:
        off = [float(np.abs(np.subtract(extent, annotation.bbox)).max()) for extent in extents]
        if min(off) > TOLERANCE:
            wanted, got = [round(side, 2) for side in extents[0]], list(annotation.bbox)
            raise ValueError(f"{where}: bbox must enclose the segmentation, {wanted}, got {got}")
        if off[-1] > TOLERANCE:
            notices.add(SHARP, amount=off[-1])
    return mask


def _polygons(
    annotation: CocoAnnotation, size: tuple[int, int], where: str, notices: Notices
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The corners of each polygon as given and as clipped, shape (num_corners, 2); points and lines are left out."""
    height, width = size
    border = np.array([width, height])
    segmentation = annotation.segmentation
    polygons: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    num_strays = 0
    for numbers in segmentation if isinstance(segmentation, list) else ():
        if len(numbers) % 2:
            raise ValueError(f"{where}: a polygon must have x, y for 3 corners or more, got {len(numbers)} numbers")
        if len(numbers) < 6:
            num_strays += 1
            continue
        corners = np.array(numbers).reshape(-1, 2)
        clipped = np.clip(corners, 0, border)
        beyond = np.abs(corners - clipped)
        if beyond.max() > TOLERANCE:
            x, y = corners[beyond.max(1).argmax()].tolist()
            raise ValueError(
                f"{where}: a polygon must stay inside the image of {width}x{height}, got a corner at {x:g}, {y:g}"
            )
        if beyond.max() > _ROUNDING:
            notices.add(CLIPPED_POLYGONS, amount=float(beyond.max()))
        steps = np.abs(np.diff(clipped, axis=0, append=clipped[:1])).max(axis=1)
        if steps.sum() > 4 * width * height:  # pycocotools takes memory for every pixel of it
            raise ValueError(f"{where}: a polygon's outline must be at most {4 * width * height} pixels long")
        polygons.append((corners, clipped))
    if not polygons:
        raise ValueError(f"{where}: a polygon must have x, y for 3 corners or more, got {num_strays} with fewer")
    notices.add(STRAYS, num_strays)
    return polygons


def _around(corners: NDArray[np.float64]) -> Box:
    """[x, y, width, height] around points, shape (num_points, 2)."""
    (x, y), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    return x, y, right - x, bottom - y


def _checked_runs(rle: Rle, size: tuple[int, int], where: str) -> list[int]:
    """Lengths of the runs of 0, 1, 0, … down the columns; they fill the image."""
    height, width = size
    if rle.size != size:
        raise ValueError(f"{where}: segmentation.size must be the image's [{height}, {width}], got {list(rle.size)}")
    runs = _run_lengths(rle.counts, where) if isinstance(rle.counts, str) else rle.counts
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        total = reprlib.repr(sum(runs))
        raise ValueError(f"{where}: run lengths must be at least 0 and sum to {height * width}, got {total}")
    return runs


def _cropped(runs: list[int], height: int) -> Crop | None:
    """The mask of these run lengths, only as many columns of it made as have pixels; None: there are no pixels."""
    ends = np.cumsum(runs)
    inside = np.arange(len(runs)) % 2 == 1
    shown = np.flatnonzero(inside & (np.array(runs) > 0))
    if not len(shown):
        return None
    first = int(ends[shown[0]] - runs[shown[0]]) // height
    last = int(ends[shown[-1]] - 1) // height
    lengths = np.diff(np.clip(ends, first * height, (last + 1) * height), prepend=first * height)
    columns = np.repeat(inside, lengths).reshape(-1, height).T
    rows = np.flatnonzero(columns.any(axis=1))
    place = slice(int(rows[0]), int(rows[-1]) + 1)
    return Crop((place, slice(first, last + 1)), columns[place].copy())


def _run_lengths(text: str, where: str) -> list[int]:
    """Lengths of the runs of 0, 1, 0, … down the columns, from COCO's compressed text.

    A number is in base 32, low digits first, its sign in the last digit; from the fourth on it is the difference from
    the number two before. A character is a digit plus 48, plus 32 if more follow.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise ValueError(
                f"{where}: segmentation.counts must be COCO's compressed run lengths, characters from 0 to o, "
                f"got {character!r}"
            )
        value |= (digit & 31) << shift
        shift += 5
        if shift > 5 * _MAX_DIGITS:
            raise ValueError(f"{where}: segmentation.counts must have numbers of {_MAX_DIGITS} characters, got more")
        if not digit & 32:
            value -= (digit & 16) << (shift - 4)
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift or not runs:
        raise ValueError(f"{where}: segmentation.counts must be whole run lengths, got a text that is cut off")
    return runs
