"""The furniture as PhysX and Blender share it: what objects lie on and what stands behind them. Metres, z up.

The support that the objects lie on is z = 0, centred at the origin; its open side looks towards −y.
"""

from __future__ import annotations

from autosimulate_pipeline.simulators.photoreal.physics.bodies import Point, Support, box_piece

SHELF_WALL_Y = 0.45
"""Of the wall's face behind the shelf."""

SOFA_CUSHION_SIZE = (0.86, 0.2, 0.5)
SOFA_CUSHION_CENTRES: tuple[Point, ...] = ((-0.44, 0.56, 0.2), (0.44, 0.56, 0.2))
"""Of the two that the sofa's back is made of."""

_WALL_EXTENTS = (1.0, 0.05, 0.5)  # half of each side
_WALL = box_piece((0.0, SHELF_WALL_Y + _WALL_EXTENTS[1], 0.5), _WALL_EXTENTS)
_width, _depth, _height = SOFA_CUSHION_SIZE
_CUSHIONS = tuple(box_piece(centre, (_width / 2, _depth / 2, _height / 2)) for centre in SOFA_CUSHION_CENTRES)

SUPPORTS = {
    "desk": Support((0.7, 0.42)),
    "shelf": Support((0.7, 0.38), (_WALL,)),
    "sofa": Support((0.45, 0.4), _CUSHIONS),
}
"""Where objects may come to lie on each piece of furniture; it is flat there and reaches further."""
