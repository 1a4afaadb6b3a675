"""The lines of a YOLO label file as boxes in pixels."""

from __future__ import annotations

import reprlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.files.checked_files import read_text

TOLERANCE = 2.0
"""Pixels that a box may stick out of its photograph, as a box of COCO may: it is clipped."""

_ROUNDING = 1e-5  # of shares written with six digits
_MAX_BYTES = 10_000_000

BLANK = "skipped {blank line|blank lines} of label files"
REPEATED = "skipped {line|lines} of label files that repeat another"
CLIPPED = "clipped {box|boxes} by at most {most} px"


def read_labels(
    path: Path, root: Path, num_classes: int, size: tuple[int, int], notices: Notices
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Category, from 1, and [x, y, width, height] in pixels of each box in the file, shape (number of boxes, 4).

    Args:
        root: the folder that the file must be in.
        size: width and height of the photograph.
        notices: what is read with tolerance is counted here.

    Raises:
        FileNotFoundError, ValueError: if the file is missing, elsewhere, or a line of it is malformed.
    """
    labels: dict[tuple[float, ...], tuple[int, NDArray[np.float64]]] = {}
    lines = read_text(path, root, _MAX_BYTES).splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            notices.add(BLANK)
            continue
        category, shares = _numbers(line, num_classes, f"{path}:{number}")
        if (category, *shares) in labels:
            notices.add(REPEATED)
            continue
        low, high, beyond = _corners(shares, size)
        if not beyond < TOLERANCE:
            wanted = "a box within [0, 1] of width and height above 0"
            raise ValueError(f"{path}:{number} must be {wanted}, got {reprlib.repr(line)}")
        notices.add(CLIPPED, int(beyond > _ROUNDING * max(size)), beyond)
        labels[category, *shares] = category, np.concatenate([low, high - low])
    return tuple(category for category, _ in labels.values()), np.array([box for _, box in labels.values()]).reshape(
        -1, 4
    )


def _numbers(line: str, num_classes: int, where: str) -> tuple[int, list[float]]:
    """The line's category, from 1, and its four shares."""
    try:
        index, _, _, _, _, *_ = numbers = [float(word) for word in line.split()]
    except ValueError:
        raise ValueError(f"{where} must be a class and four numbers, got {reprlib.repr(line)}") from None
    shares = numbers[1:]
    if len(shares) != 4 or not (index.is_integer() and 0 <= index < num_classes):
        is_polygon = len(shares) >= 6 and len(shares) % 2 == 0
        hint = " (a polygon: masks are read from COCO folders)" if is_polygon else ""
        wanted = f"a class below {num_classes} and four numbers"
        raise ValueError(f"{where} must be {wanted}, got {reprlib.repr(line)}{hint}")
    return int(index) + 1, shares


def _corners(shares: list[float], size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """A box's corners in pixels, clipped, and by how many pixels it stuck out; infinitely many where it is no box."""
    centre, sides, border = np.array(shares[:2]), np.array(shares[2:]), np.array(size, dtype=np.float64)
    low, high = (centre - sides / 2) * border, (centre + sides / 2) * border
    clipped = np.clip([low, high], 0, border)
    is_box = (centre >= 0).all() and (centre <= 1).all() and (sides > 0).all() and (sides <= 1 + _ROUNDING).all()
    beyond = float(max((-low).max(), (high - border).max())) if is_box and (clipped[0] < clipped[1]).all() else np.inf
    return clipped[0], clipped[1], beyond
