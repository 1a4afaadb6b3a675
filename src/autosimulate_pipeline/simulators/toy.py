"""A simulator that draws in a millisecond: soft-shaded shapes on a ground, for tests, docs and notebooks.

It has the parts of the CLEVR simulator that matter to the method (light, noise, placement, materials, a random colour
for each object) and none of its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.records import (
    AnnotatedDataset,
    AnnotatedImage,
    Progress,
    Scene,
    ignore_progress,
    visible_instances,
)
from autosimulate_pipeline.simulators.base import owners_by_prefix, parse_scene

_EDGE = 10.0  # ground coordinate at the edge of the view
_RADIUS = 2.6  # of every shape, in ground units
_NOISE_OF_ONE_SAMPLE = 0.4  # standard deviation of a pixel, in units of white
_OBJECT_COLORS = (0.15, 0.95)  # range of each linear colour channel
_GROUND_COLOR = 0.45

Material = Literal["rubber", "metal"]


class ToyScene(BaseModel):
    """The parameters of one scene. Positions are of shape centres on the ground, ±10 at the edges of the view."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ambient_light: float = Field(
        default=50.0, ge=0, le=100, description="0 is dark and 50 well lit", json_schema_extra={"unit": "%"}
    )
    num_samples: int = Field(default=16, ge=1, le=64, description="samples a pixel: noise falls with the square root")
    square_x: float = Field(default=-5.0, ge=-_EDGE, le=_EDGE)
    square_y: float = Field(default=0.0, ge=-_EDGE, le=_EDGE)
    square_material: Material = "rubber"
    disc_x: float = Field(default=0.0, ge=-_EDGE, le=_EDGE)
    disc_y: float = Field(default=0.0, ge=-_EDGE, le=_EDGE)
    disc_material: Material = "rubber"
    triangle_x: float = Field(default=5.0, ge=-_EDGE, le=_EDGE)
    triangle_y: float = Field(default=0.0, ge=-_EDGE, le=_EDGE)
    triangle_material: Material = "rubber"


@dataclass(frozen=True)
class ToySimulator:
    """Renders `ToyScene`s to square images of `image_size` pixels. A seed fixes object colours and noise."""

    image_size: int = 32
    categories: ClassVar[tuple[str, ...]] = ("square", "disc", "triangle")
    owners: ClassVar[dict[str, str]] = owners_by_prefix(ToyScene, categories)
    object_ids = None

    def check(self, scene: Scene) -> None:
        """Nothing, for a scene that `render` takes; parameters left out have defaults.

        Raises:
            ValueError: naming the first wrong parameter, in one line.
        """
        parse_scene(ToyScene, scene)

    def render(
        self, scenes: Sequence[Scene], seeds: Sequence[int], progress: Progress = ignore_progress
    ) -> AnnotatedDataset:
        """One annotated image for each scene and its seed: equal scenes and seeds give equal bytes.

        An object nearer to the camera (lower y) hides what is behind it; one hidden wholly is not annotated.

        Raises:
            ValueError: if a scene is wrong, or there are not as many seeds as scenes.
        """
        if len(scenes) != len(seeds):
            raise ValueError(f"seeds must be as many as scenes ({len(scenes)}), got {len(seeds)}")
        images = []
        for scene, seed in [(parse_scene(ToyScene, scene), seed) for scene, seed in zip(scenes, seeds, strict=True)]:
            images.append(self._render_one(scene, np.random.default_rng(seed)))
            progress(1)
        return AnnotatedDataset(self.categories, tuple(images))

    def _render_one(self, scene: ToyScene, generator: np.random.Generator) -> AnnotatedImage:
        axis = ((np.arange(self.image_size) + 0.5) / self.image_size * 2 - 1) * _EDGE
        x, y = axis[None, :], -axis[:, None]
        color = np.full((self.image_size, self.image_size, 3), _GROUND_COLOR)
        color *= (1 - 0.015 * y)[..., None]
        category_mask = np.zeros((self.image_size, self.image_size), dtype=np.uint8)
        object_colors = generator.uniform(*_OBJECT_COLORS, (len(self.categories), 3))
        far_to_near = sorted(enumerate(self.categories), key=lambda item: -getattr(scene, f"{item[1]}_y"))
        for index, shape in far_to_near:
            u = (x - getattr(scene, f"{shape}_x")) / _RADIUS
            v = (y - getattr(scene, f"{shape}_y")) / _RADIUS
            inside = _inside(shape, u, v)
            is_metal = getattr(scene, f"{shape}_material") == "metal"
            color[inside] = _shade(object_colors[index], u, v, is_metal)[inside]
            category_mask[inside] = index + 1
        light = 0.05 + 0.95 * scene.ambient_light / 50
        noise = generator.normal(0, _NOISE_OF_ONE_SAMPLE / np.sqrt(scene.num_samples), color.shape)
        pixels = np.clip(color * light + noise, 0, 1) ** (1 / 2.2) * 255
        return AnnotatedImage(pixels.round().astype(np.uint8), *visible_instances(category_mask))


def _inside(shape: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the unit shape is, for coordinates u to the right and v up from its centre."""
    if shape == "square":
        inside = np.maximum(np.abs(u), np.abs(v)) <= 0.85
    elif shape == "disc":
        inside = u**2 + v**2 <= 1
    else:
        inside = (v >= -0.8) & (v <= 1 - 1.8 * np.abs(u))
    return np.asarray(inside, dtype=np.bool_)


def _shade(
    color: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64], is_metal: bool
) -> NDArray[np.float64]:
    """Colour at each pixel, lit softly from the upper left; metal is darker with a highlight."""
    shaded: NDArray[np.float64] = np.clip(0.8 + 0.2 * (v - u), 0, 1.2)[..., None] * color
    if not is_metal:
        return shaded
    highlight: NDArray[np.float64] = np.exp(-6 * ((u + 0.35) ** 2 + (v - 0.35) ** 2))
    return 0.6 * shaded + 0.8 * highlight[..., None]
