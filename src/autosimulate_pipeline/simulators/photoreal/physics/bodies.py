"""What physics works on: rigid bodies made of convex parts, and the support they fall on.

The world is in metres, z up; the top of the support is z = 0, centred at the origin. A
body's own coordinates are in mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]
Piece = tuple[Point, ...]
"""A convex solid by points whose hull it is."""

CYLINDER_SIDES = 48


@dataclass(frozen=True)
class Support:
    """A flat top at z = 0 and what stands fixed on or around it (a wall behind, the cushions of a sofa).

    Attributes:
        half_extents_m: of the top along x and y.
        pieces: fixed convex solids in world coordinates, metres; best at the borders: bodies are dropped between them.
    """

    half_extents_m: tuple[float, float]
    pieces: tuple[Piece, ...] = ()

    def __post_init__(self) -> None:
        if not all(0 < extent < 10 for extent in self.half_extents_m):
            raise ValueError(f"support.half_extents_m must be above 0 and below 10, got {self.half_extents_m}")


@dataclass(frozen=True)
class DistractorShape:
    """A body that falls among the objects: convex parts in its own coordinates, mm, the origin inside."""

    name: str
    parts_mm: tuple[Piece, ...]


def box_piece(centre: Point, half_extents: Point) -> Piece:
    """The corners of a box along the axes, in the unit of its arguments."""
    return tuple(
        (centre[0] + a * half_extents[0], centre[1] + b * half_extents[1], centre[2] + c * half_extents[2])
        for a, b, c in product((-1, 1), repeat=3)
    )


def cylinder_piece(centre: Point, radius: float, half_length: float) -> Piece:
    """The rims of a cylinder along z, in the unit of its arguments."""
    angles = (2 * pi * side / CYLINDER_SIDES for side in range(CYLINDER_SIDES))
    return tuple(
        (centre[0] + radius * cos(angle), centre[1] + radius * sin(angle), centre[2] + end * half_length)
        for angle, end in product(angles, (-1, 1))
    )


@dataclass(frozen=True, eq=False)
class LooseBody:
    """A body where it is let go: convex parts, mm, and its pose.

    Attributes:
        parts_mm: of each part points whose hull it is, shape (num_points, 3).
        rotation: from the body's coordinates to the world's, shape (3, 3).
        translation_m: where the body's origin is in the world, shape (3,).
    """

    parts_mm: tuple[NDArray[np.float64], ...]
    rotation: NDArray[np.float64]
    translation_m: NDArray[np.float64]


@dataclass(frozen=True)
class SettleJob:
    """Bodies to let go at once above a support."""

    bodies: tuple[LooseBody, ...]
    support: Support


@dataclass(frozen=True, eq=False)
class Settled:
    """Where the bodies came to rest, in their order.

    Attributes:
        has_settled: whether all rest; if not, the poses are those at the time limit, or when one had fallen off.
        rotations: shape (num_bodies, 3, 3).
        translations_m: shape (num_bodies, 3).
    """

    has_settled: bool
    rotations: NDArray[np.float64]
    translations_m: NDArray[np.float64]
