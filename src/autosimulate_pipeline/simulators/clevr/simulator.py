"""The CLEVR scenes of the AutoSimulate supplement: cube, sphere and cylinder on a plain ground, by Blender Cycles.

Differences from facebookresearch/clevr-dataset-gen: the camera stands farther back, so that locations of -10 to 10
reach the edges of the view; the ambient light is the sky and not a sun; `num_bounces` sets every kind of bounce of
Cycles' light paths, not the transparent ones alone. World units are metres, z is up, the ground is z = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Progress, Scene, visible_instances
from autosimulate_pipeline.simulators.base import owners_by_prefix, parse_scene
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers

CATEGORIES = ("cube", "sphere", "cylinder")
OBJECT_RADIUS = 0.95
"""Half of each object's width, depth and height."""

COLOURS_SRGB = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}

CAMERA_POSITION = np.array([0.0, -19.0, 15.0])
CAMERA_TARGET = np.array([0.0, 0.0, 0.5])
FOCAL_LENGTH_MM = 43.0
SENSOR_WIDTH_MM = 36.0

LocationX = Annotated[float, Field(ge=-10, le=10, description="centre, to the right", json_schema_extra={"unit": "m"})]
LocationY = Annotated[float, Field(ge=-10, le=10, description="centre, away", json_schema_extra={"unit": "m"})]
Percent = Annotated[float, Field(ge=0, le=100, json_schema_extra={"unit": "%"})]
Material = Annotated[Literal["rubber", "metal"], Field(description="rubber is dull, metal mirrors")]
Colour = Annotated[
    Literal["gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"], Field(description="one of CLEVR's")
]


class ClevrScene(BaseModel):
    """One CLEVR scene, everything that the renderer can vary. The defaults are the supplement's fixed values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_samples: int = Field(
        default=32, ge=1, description="Cycles samples per pixel, without adaptive sampling or denoising"
    )
    num_bounces: int = Field(default=8, ge=0, description="light-path bounces of every kind")
    image_size: int = Field(default=96, ge=8, le=1024, description="width and height", json_schema_extra={"unit": "px"})
    ambient_light: Percent = Field(default=50, description="strength of the sky")
    back_light: Percent = Field(default=50, description="strength of the lamp behind the objects")
    cube_x: LocationX = -4.0
    cube_y: LocationY = 0.0
    cube_material: Material = "rubber"
    cube_colour: Colour = "blue"
    sphere_x: LocationX = 0.0
    sphere_y: LocationY = 0.0
    sphere_material: Material = "rubber"
    sphere_colour: Colour = "green"
    cylinder_x: LocationX = 4.0
    cylinder_y: LocationY = 0.0
    cylinder_material: Material = "rubber"
    cylinder_colour: Colour = "yellow"

    def centre(self, category: str) -> NDArray[np.float64]:
        """Centre of the object in the world, shape (3,)."""
        return np.array([getattr(self, f"{category}_x"), getattr(self, f"{category}_y"), OBJECT_RADIUS])


class Clevr:
    """Renders `ClevrScene`s in worker processes, each on a core of its own."""

    categories = CATEGORIES
    owners = owners_by_prefix(ClevrScene, CATEGORIES)
    object_ids = None

    def __init__(self, parallel: ParallelSettings | None = None) -> None:
        self.parallel = parallel or ParallelSettings()

    def check(self, scene: Scene) -> None:
        parse_scene(ClevrScene, scene)

    def render(self, scenes: Sequence[Scene], seeds: Sequence[int], progress: Progress) -> AnnotatedDataset:
        if len(scenes) != len(seeds):
            raise ValueError(f"seeds must hold one seed for each of the {len(scenes)} scenes, got {len(seeds)}")
        jobs = [(parse_scene(ClevrScene, scene), seed) for scene, seed in zip(scenes, seeds, strict=True)]
        worker = "autosimulate_pipeline.simulators.clevr.worker:render"
        rendered = run_in_workers(worker, jobs, self.parallel, progress)
        return AnnotatedDataset(
            CATEGORIES, tuple(AnnotatedImage(image, *visible_instances(owners)) for image, owners in rendered)
        )


def camera_axes() -> NDArray[np.float64]:
    """Unit vectors to the right, up and forwards of the camera in the world, the rows of a (3, 3) rotation."""
    forward = CAMERA_TARGET - CAMERA_POSITION
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, forward), forward])
