"""Bodies without a category that fall among the objects: packages and cans, as PhysX and Blender both know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autosimulate_pipeline.simulators.photoreal.physics.bodies import DistractorShape, box_piece, cylinder_piece


@dataclass(frozen=True)
class DistractorModel:
    """A box of full extents `size_m`, or an upright cylinder as wide as it is deep; its origin is its middle."""

    name: str
    kind: Literal["package", "can"]
    size_m: tuple[float, float, float]

    @property
    def body(self) -> DistractorShape:
        """What falls."""
        wide, deep, tall = (500 * length for length in self.size_m)
        if self.kind == "package":
            piece = box_piece((0.0, 0.0, 0.0), (wide, deep, tall))
        else:
            piece = cylinder_piece((0.0, 0.0, 0.0), wide, tall)
        return DistractorShape(self.name, (piece,))


DISTRACTORS = (
    DistractorModel("tea", "package", (0.085, 0.065, 0.15)),
    DistractorModel("soap", "package", (0.09, 0.06, 0.035)),
    DistractorModel("paperback", "package", (0.115, 0.18, 0.024)),
    DistractorModel("cereal", "package", (0.14, 0.05, 0.19)),
    DistractorModel("screws", "package", (0.07, 0.07, 0.05)),
    DistractorModel("bulb", "package", (0.06, 0.06, 0.11)),
    DistractorModel("tin", "can", (0.075, 0.075, 0.105)),
    DistractorModel("drink", "can", (0.066, 0.066, 0.115)),
    DistractorModel("tuna", "can", (0.085, 0.085, 0.04)),
    DistractorModel("film", "can", (0.034, 0.034, 0.05)),
    DistractorModel("candle", "can", (0.05, 0.05, 0.085)),
    DistractorModel("puck", "can", (0.06, 0.06, 0.02)),
)
