"""Furniture of the photorealistic rooms, modelled in code: desk, shelf, sofa, what covers them, walls. Metres, z up.

The support that the objects lie on is z = 0, its open side looks towards −y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autosimulate_pipeline.blender.session import bpy
from autosimulate_pipeline.blender.shapes import Shape
from autosimulate_pipeline.simulators.photoreal.distractors import DistractorModel
from autosimulate_pipeline.simulators.photoreal.furniture import (
    SHELF_WALL_Y,
    SOFA_CUSHION_CENTRES,
    SOFA_CUSHION_SIZE,
)
from autosimulate_pipeline.simulators.photoreal.worker.clutter import Materials, make_book_row

COVER_DEPTH = 0.0012
"""The covers' tops are lower than z = 0 by this, in metres, for boards and paper to lie on them."""


@dataclass(frozen=True)
class Place:
    """Where a piece of furniture ends: x = ± half_width, y from `front` to `back`; heights of floor, y of the wall."""

    half_width: float
    front: float
    back: float
    floor: float
    wall: float


PLACES = {
    "desk": Place(0.9, -0.5, 0.62, -0.74, 0.75),
    "shelf": Place(0.8, -0.45, 0.42, -0.9, SHELF_WALL_Y),
    "sofa": Place(0.85, -0.5, 0.45, -0.45, 0.95),
}


@dataclass(frozen=True)
class Walls:
    """The room itself; `behind` is the wall behind the objects, the window is in the first of the sides."""

    floor: bpy.types.Object
    behind: bpy.types.Object
    sides: list[bpy.types.Object]
    poster: bpy.types.Object


def show(blender_object: bpy.types.Object, is_shown: bool) -> None:
    blender_object.hide_render = blender_object.hide_viewport = not is_shown


def make_walls(materials: Materials) -> Walls:
    """Floor, wall behind, wall with the window on the left, wall on the right; no ceiling: the panorama lights."""
    plaster, carpet, white = (materials[name] for name in ("plaster", "carpet", "white"))
    floor = Shape().box((8, 8, 0.1), (0, 0, -0.05)).build("floor", carpet)
    wall = Shape().box((5.4, 0.1, 2.9), (0, 0.05, 0.45)).box((5.4, 0.012, 0.08), (0, -0.006, -0.7), 1)
    behind = wall.build("wall", plaster, white)
    left = Shape().box((0.12, 5, 1.15), (-2.2, 0, -0.425)).box((0.12, 5, 0.4), (-2.2, 0, 1.75))
    left.box((0.12, 1.8, 1.4), (-2.2, -1.6, 0.85)).box((0.12, 1.8, 1.4), (-2.2, 1.6, 0.85))
    for y in (-0.68, 0.0, 0.68):
        left.box((0.06, 0.06, 1.4), (-2.2, y, 0.85), 1)
    for z in (0.17, 0.95, 1.53):
        left.box((0.06, 1.4, 0.05), (-2.2, 0, z), 1)
    right = Shape().box((0.1, 5, 2.9), (2.6, 0, 0.45))
    sides = [left.build("window wall", plaster, white), right.build("right wall", plaster)]
    corners = [(-0.4, 0.0, -0.28), (0.4, 0.0, -0.28), (0.4, 0.0, 0.28), (-0.4, 0.0, 0.28)]
    poster = Shape().sheet(corners).build("poster", materials["print"])
    return Walls(floor, behind, sides, poster)


def make_desk(materials: Materials) -> list[bpy.types.Object]:
    place, metal, white = PLACES["desk"], materials["metal"], materials["white"]
    deep, middle = place.back - place.front, (place.back + place.front) / 2
    desk = Shape().box((2 * place.half_width, deep, 0.027), (0, middle, -0.015 - COVER_DEPTH), bevel=0.003)
    for x in (-0.84, 0.84):
        for y in (place.front + 0.06, place.back - 0.06):
            desk.box((0.05, 0.05, 0.71), (x, y, -0.385), 1)
    desk.box((0.42, 0.6, 0.55), (0.55, middle, -0.33), 0, bevel=0.004)
    for z in (-0.15, -0.33, -0.51):
        desk.box((0.4, 0.012, 0.165), (0.55, middle - 0.304, z), 0, bevel=0.003)
        desk.box((0.12, 0.02, 0.012), (0.55, middle - 0.315, z), 1)
    return [desk.build("desk", white, metal)]


def make_shelf(materials: Materials) -> list[bpy.types.Object]:
    place, wood = PLACES["shelf"], materials["white"]
    deep, middle = place.back - place.front, (place.back + place.front) / 2
    shelf = Shape()
    for z in (-0.016 - COVER_DEPTH, -0.45, -0.86):
        shelf.box((2 * place.half_width, deep, 0.028), (0, middle, z), bevel=0.002)
    for x in (-0.79, 0.0, 0.79):
        shelf.box((0.024, deep - 0.01, 0.85), (x, middle + 0.005, -0.45))
    shelf.box((2 * place.half_width, 0.01, 0.9), (0, place.back - 0.005, -0.46))
    shelf.box((1.6, 0.2, 0.022), (0, place.back - 0.1, 0.46), bevel=0.002)
    for x in (-0.79, 0.79):
        shelf.box((0.022, 0.2, 0.46), (x, place.back - 0.1, 0.23))
    parts = [shelf.build("shelf", wood)]
    generator = np.random.default_rng(5)
    for x, y, z in ((-0.4, -0.3, -0.436), (0.4, -0.25, -0.436), (-0.4, -0.25, -0.846), (-0.3, 0.22, 0.471)):
        row = make_book_row(f"shelved{x}{z}", materials, 0.68, generator).model
        row.location = (x, y, z)
        parts.append(row)
    return parts


def make_sofa(materials: Materials) -> list[bpy.types.Object]:
    cloth = materials["cloth"]
    sofa = Shape().box((2.1, 0.95, 0.3), (0, 0.0, -0.3), bevel=0.03)
    for x in (-0.98, 0.98):
        sofa.box((0.22, 1.0, 0.62), (x, 0.02, -0.13), bevel=0.07, segments=5)
    for centre in SOFA_CUSHION_CENTRES:
        sofa.box(SOFA_CUSHION_SIZE, centre, bevel=0.07, segments=5)
    sofa.box((2.1, 0.15, 0.75), (0, 0.72, -0.06), bevel=0.05, segments=4)
    return [sofa.build("sofa", cloth)]


def make_covers(materials: Materials) -> dict[tuple[str, str], bpy.types.Object]:
    """What the objects lie on, by furniture and material; on a sofa wood and laminate are trays."""
    covers = {}
    for name in ("desk", "shelf"):
        place = PLACES[name]
        middle, deep = (place.back + place.front) / 2, place.back - place.front
        for surface in ("wood", "laminate", "cloth"):
            size = (2 * place.half_width + 0.002, deep + 0.002, 0.003)
            slab = Shape().box(size, (0, middle, -0.0015 - COVER_DEPTH), bevel=0.001)
            covers[name, surface] = slab.build(f"{surface} on {name}", materials[surface])
    for surface in ("wood", "laminate"):
        tray = Shape().box((1.2, 0.86, 0.02), (0, -0.04, -0.01 - COVER_DEPTH), bevel=0.004)
        tray.box((1.72, 0.9, 0.15), (0, -0.03, -0.097), 1, bevel=0.04, segments=4)
        covers["sofa", surface] = tray.build(f"{surface} tray", materials[surface], materials["cloth"])
    seat = Shape()
    for x, wide in ((0.0, 0.98), (-0.68, 0.38), (0.68, 0.38)):
        seat.box((wide, 0.96, 0.17), (x, -0.03, -0.085 - COVER_DEPTH), bevel=0.035, segments=5)
    covers["sofa", "cloth"] = seat.build("seat", materials["cloth"])
    sheet = [(-0.5, -0.5, 0.0), (0.5, -0.5, 0.0), (0.5, 0.5, 0.0), (-0.5, 0.5, 0.0)]
    board = Shape().sheet([(x, y, -0.0001) for x, y, _ in sheet])
    covers["board", "board"] = board.build("marker board", materials["board"])
    return covers


def make_distractor(distractor: DistractorModel, materials: Materials) -> bpy.types.Object:
    shape, (wide, _, tall) = Shape(), distractor.size_m
    if distractor.kind == "package":
        model = shape.box(distractor.size_m, (0, 0, 0), bevel=0.0008, segments=1)
        model_object = model.build(distractor.name, materials["print"])
    else:
        radius, half, rim = wide / 2, tall / 2, 0.0015
        ends = [(0.0, half - 0.002), (radius - 2 * rim, half - 0.002), (radius - rim, half)]
        side = [(radius, half - 2 * rim), (radius, rim - half), (radius - rim, -half), (0.0, -half)]
        shape.turned([*ends, *side]).turned([(radius + 2e-4, 0.35 * half), (radius + 2e-4, -0.6 * half)], material=1)
        model_object = shape.build(distractor.name, materials["plastic"], materials["white"])
    show(model_object, False)
    return model_object
