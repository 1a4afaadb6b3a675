"""Small coloured sculptures from solids that are given by their signed distances.

A sculpture is a union of painted solids, rounded where they meet, minus others that are cut out, with further solids
that only paint the surface inside them: eyes, labels, stripes. Lengths are in mm, colours in sRGB from 0 to 255.
The distances are those of Inigo Quilez' collection, https://iquilezles.org/articles/distfunctions (facts, no code).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autosimulate_pipeline.simulators.photoreal.surface_nets import Field

Points = NDArray[np.float64]
Vector = tuple[float, float, float]
Colour = tuple[int, int, int]

_SOFTNESS_MM = 0.7  # over which one colour turns into the next: about the distance between vertices
_SPLINE_STEPS = 6  # straight pieces between two stations of a limb


@dataclass(frozen=True)
class Part:
    """A solid of the sculpture: its colour, and the radius with which it flows into those before it."""

    field: Field
    colour: Colour
    blend_mm: float = 0.0


@dataclass(frozen=True)
class Paint:
    """Colours the surface inside a solid; `strength` 1 covers what was there."""

    field: Field
    colour: Colour
    strength: float = 1.0


@dataclass(frozen=True)
class Cut:
    """Takes a solid away; its wall has the colour, or keeps that of the parts."""

    field: Field
    colour: Colour | None = None
    blend_mm: float = 0.5


@dataclass(frozen=True)
class Sculpture:
    """What to model; `grain` is the share by which the brightness wavers over the surface."""

    parts: tuple[Part, ...]
    cuts: tuple[Cut, ...] = ()
    paints: tuple[Paint, ...] = ()
    grain: float = 0.05

    def distances(self, points: Points) -> NDArray[np.float64]:
        """Signed distances to the surface, shape (num_points,)."""
        total = self.parts[0].field(points)
        for part in self.parts[1:]:
            total = smooth_min(total, part.field(points), part.blend_mm)
        for cut in self.cuts:
            total = -smooth_min(-total, cut.field(points), cut.blend_mm)
        return total

    def colours(self, points: Points) -> NDArray[np.uint8]:
        """Of points on the surface, shape (num_points, 3)."""
        nearness = -np.stack([part.field(points) for part in self.parts]) / _SOFTNESS_MM
        weights = np.exp(nearness - nearness.max(axis=0))
        colours = (weights / weights.sum(axis=0)).T @ np.array([part.colour for part in self.parts], dtype=float)
        for cut in self.cuts:
            if cut.colour is not None:
                colours = _mix(colours, cut.colour, _cover(abs(cut.field(points)) - 1.0))
        for paint in self.paints:
            colours = _mix(colours, paint.colour, paint.strength * _cover(paint.field(points)))
        brightness = 1 + self.grain * _waver(points)
        return np.clip(colours * brightness[:, None], 0, 255).round().astype(np.uint8)


def _cover(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(0.5 - distances / _SOFTNESS_MM, 0, 1)


def _mix(colours: Points, colour: Colour, share: NDArray[np.float64]) -> Points:
    return colours + share[:, None] * (np.array(colour) - colours)


def _waver(points: Points) -> NDArray[np.float64]:
    """Smooth noise with a standard deviation of about 1: waves of 4 to 40 mm in fixed directions."""
    generator = np.random.default_rng(7)
    directions = generator.normal(size=(40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.geomspace(4, 40, 40)
    phases = points @ (directions * (2 * np.pi / lengths)[:, None]).T + generator.uniform(0, 2 * np.pi, 40)
    return np.asarray(np.sin(phases).sum(axis=1) / np.sqrt(20))


def smooth_min(first: NDArray[np.float64], second: NDArray[np.float64], blend_mm: float) -> NDArray[np.float64]:
    """The smaller of two distances, with a fillet of that radius: the distance to the union of the two solids."""
    if blend_mm <= 0:
        return np.minimum(first, second)
    overlap = np.maximum(blend_mm - abs(first - second), 0) / blend_mm
    return np.asarray(np.minimum(first, second) - overlap**2 * blend_mm / 4)


def _turned(points: Points, centre: Vector, turn: Vector) -> Points:
    """The points as a solid at `centre` sees them that is turned by angles about x, then y, then z, in degrees."""
    moved = points - np.array(centre)
    return (
        moved if turn == (0, 0, 0) else np.asarray(moved @ Rotation.from_euler("xyz", turn, degrees=True).as_matrix())
    )


def ellipsoid(centre: Vector, radii: Vector | float, turn: Vector = (0, 0, 0)) -> Field:
    """About right near the surface."""
    axes = np.broadcast_to(np.array(radii, dtype=float), 3)

    def field(points: Points) -> NDArray[np.float64]:
        local = _turned(points, centre, turn)
        scaled = np.linalg.norm(local / axes, axis=1)
        slope = np.maximum(np.linalg.norm(local / axes**2, axis=1), 1e-9)
        return np.asarray(np.where(scaled < 0.3, (scaled - 1) * axes.min(), scaled * (scaled - 1) / slope))

    return field


def limb(stations: Sequence[Vector], radii: Sequence[float]) -> Field:
    """A round bar along a smooth curve through the stations, as thick at each as its radius: an arm, a tail, a spout.

    The curve is a Catmull-Rom spline.
    """
    knots = np.array([(*station, radius) for station, radius in zip(stations, radii, strict=True)])
    knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    share = np.linspace(0, 1, 1 if len(stations) == 2 else _SPLINE_STEPS, endpoint=False)[:, None]
    bends = [
        b + share * (c - a) / 2 + share**2 * (a - 2.5 * b + 2 * c - d / 2) + share**3 * (1.5 * (b - c) + (d - a) / 2)
        for a, b, c, d in zip(knots, knots[1:], knots[2:], knots[3:], strict=False)
    ]
    curve = np.concatenate([*bends, knots[-2:-1]])

    starts, axes, swelling = curve[:-1, :3], np.diff(curve[:, :3], axis=0), np.diff(curve[:, 3])
    squares = (axes**2).sum(axis=1)

    def field(points: Points) -> NDArray[np.float64]:
        reach = points @ axes.T - (starts * axes).sum(axis=1)  # (points - starts) · axes, shape (point, piece)
        along = np.clip(reach / squares, 0, 1)
        apart = (points**2).sum(axis=1)[:, None] - 2 * points @ starts.T + (starts**2).sum(axis=1)
        distances = np.sqrt(np.maximum(apart - along * (2 * reach - along * squares), 0))
        return np.asarray((distances - curve[:-1, 3] - along * swelling).min(axis=1))

    return field


def box(centre: Vector, half: Vector, rounding: float = 1.5, turn: Vector = (0, 0, 0)) -> Field:
    """A box with half side lengths, its edges rounded inside them."""

    def field(points: Points) -> NDArray[np.float64]:
        beyond = abs(_turned(points, centre, turn)) - np.array(half) + rounding
        return np.asarray(np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0) - rounding)

    return field


def cylinder(
    centre: Vector,
    radii: tuple[float, float] | float,
    half_height: float,
    rounding: float = 1.5,
    turn: Vector = (0, 0, 0),
) -> Field:
    """Along z before it is turned: a cylinder, or with two radii, below and above, a cone's stump."""
    below, above = radii if isinstance(radii, tuple) else (radii, radii)

    def field(points: Points) -> NDArray[np.float64]:
        local = _turned(points, centre, turn)
        share = np.clip(local[:, 2] / (2 * half_height) + 0.5, 0, 1)
        flare = np.hypot(1, (above - below) / (2 * half_height))
        sideways = (np.hypot(local[:, 0], local[:, 1]) - below - share * (above - below)) / flare + rounding
        beyond = np.stack([sideways, abs(local[:, 2]) - half_height + rounding], axis=1)
        return np.asarray(np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0) - rounding)

    return field


def ring(centre: Vector, radius: float, thickness: float, turn: Vector = (0, 0, 0)) -> Field:
    """A torus around z before it is turned; `thickness` is the tube's radius."""

    def field(points: Points) -> NDArray[np.float64]:
        local = _turned(points, centre, turn)
        return np.asarray(np.hypot(np.hypot(local[:, 0], local[:, 1]) - radius, local[:, 2]) - thickness)

    return field


def common(*fields: Field) -> Field:
    """What lies in all of the solids."""
    return lambda points: np.max([field(points) for field in fields], axis=0)


def without(field: Field, *others: Field) -> Field:
    """What lies in the first solid and none of the others."""
    return lambda points: np.max([field(points), *(-other(points) for other in others)], axis=0)


def mirrored(field: Field) -> Field:
    """The solid and its mirror image across the plane x = 0."""
    return lambda points: np.minimum(field(points), field(points * np.array([-1, 1, 1])))


def stripes(direction: Vector, period_mm: float, share: float, waviness_mm: float = 0.0) -> Field:
    """Parallel slabs across the direction that fill that share of space; wavy if wanted."""
    axis = np.array(direction) / np.linalg.norm(direction)

    def field(points: Points) -> NDArray[np.float64]:
        along = points @ axis + waviness_mm * np.sin(points @ np.array([0.11, 0.17, 0.13]) * 2)
        return np.asarray(abs((along / period_mm) % 1 - 0.5) * period_mm - share * period_mm / 2)

    return field
