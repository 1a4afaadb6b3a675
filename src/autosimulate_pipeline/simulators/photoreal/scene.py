"""What the photorealistic simulator can vary, and what stays as it is for a whole run.

Distances, elevations and roll of the camera cover those of the LineMOD-Occluded test photographs, from the board's
normal and the objects' centre in their ground truth: 0.71 to 1.16 m, 11° to 85°.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from autosimulate_pipeline.cad_models.settings import ModelFileSettings
from autosimulate_pipeline.files.checked_files import Name
from autosimulate_pipeline.files.user_paths import expanded

Percent = Annotated[float, Field(ge=0, le=100, json_schema_extra={"unit": "%"})]
Place = Literal["desk", "shelf", "sofa"]
Surface = Literal["board", "wood", "laminate", "cloth", "magazines"]
Background = Literal["screens", "books", "boxes", "wall"]
Clutter = Literal["none", "sparse", "dense"]
Environment = Literal["city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset"]

LINEMOD_OCCLUDED = {1: "ape", 5: "can", 6: "cat", 8: "driller", 9: "duck", 10: "eggbox", 11: "glue", 12: "holepuncher"}
"""Names of the benchmark's objects by their BOP object id."""


class PhotorealScene(BaseModel):
    """One photorealistic scene: the simulator parameters. What they leave open comes from the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_samples: int = Field(
        default=32, ge=1, le=4096, description="Cycles samples per pixel, without adaptive sampling or denoising"
    )
    num_bounces: int = Field(default=4, ge=0, le=64, description="light-path bounces of every kind")
    scene: Place = Field(default="desk", description="furniture on which the objects lie")
    surface: Surface = Field(default="board", description="what covers it; board: LineMOD's board of markers")
    background: Background = Field(default="screens", description="what stands behind the objects")
    clutter: Clutter = Field(default="dense", description="other things that stand and lie around the objects")
    environment: Environment = Field(default="interior", description="panorama that lights the room from outside")
    window_light: Percent = Field(default=50, description="sun and sky through the window, of their greatest strength")
    lamp_light: Percent = Field(default=50, description="ceiling lamps, of their greatest strength")
    environment_light: Percent = Field(default=50, description="panorama, of its greatest strength")
    colour_temperature: float = Field(
        default=4500,
        ge=2500,
        le=9000,
        description="of the ceiling lamps; the camera's white is 5500 K",
        json_schema_extra={"unit": "K"},
    )
    exposure: float = Field(
        default=0, ge=-2, le=2, description="of the camera, factors of two", json_schema_extra={"unit": "stops"}
    )
    camera_distance: float = Field(
        default=0.95, ge=0.5, le=1.5, description="to the objects' centre", json_schema_extra={"unit": "m"}
    )
    camera_elevation: float = Field(
        default=35, ge=5, le=88, description="above the support", json_schema_extra={"unit": "°"}
    )
    camera_roll: float = Field(
        default=0, ge=-45, le=45, description="about the line of sight", json_schema_extra={"unit": "°"}
    )
    object_spread: float = Field(
        default=0.15,
        ge=0.05,
        le=0.3,
        description="standard deviation, along both edges, of where the objects fall; in steps of 1 cm",
        json_schema_extra={"unit": "m"},
    )


class PhotorealSettings(BaseModel):
    """What is the same in every image of a run; no simulator parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models_folder: Path | None = Field(
        default=None,
        description="CAD models: a folder of OBJ, PLY and GLB files, or a BOP folder (models_info.json, obj_000001.ply "
        "and so on, millimetres); null: a set that is made here",
    )
    objects: Mapping[int, Name] = Field(
        default=LINEMOD_OCCLUDED,
        min_length=1,
        description="of BOP models: category name of each object id that may be seen",
    )
    model_files: ModelFileSettings = ModelFileSettings()
    image_width: int = Field(
        default=320,
        ge=32,
        le=1280,
        multiple_of=4,
        description="the height is ¾ of it",
        json_schema_extra={"unit": "px"},
    )
    num_objects: int | None = Field(default=None, ge=1, description="objects in an image; null: one of each")
    num_distractors: int = Field(default=4, ge=0, le=12, description="packages and cans that fall among the objects")
    upright_fraction: float = Field(default=0.8, ge=0, le=1, description="share of objects let go on their feet")
    num_arrangements: int = Field(
        default=200, ge=1, description="settled arrangements from which images draw, for each support and spread"
    )
    cache_folder: Path | None = Field(
        default=None,
        description="where convex parts and arrangements are kept; null: parts are made again in each process, and "
        "arrangements for each iteration's images",
    )

    @field_validator("models_folder", "cache_folder")
    @classmethod
    def _home_is_known(cls, folder: Path | None) -> Path | None:
        return None if folder is None else expanded(folder)

    @field_validator("objects")
    @classmethod
    def _names_differ(cls, objects: Mapping[int, str]) -> Mapping[int, str]:
        if len(set(objects.values())) < len(objects):
            raise ValueError(f"every object needs a name of its own, got {list(objects.values())}")
        return objects

    @model_validator(mode="after")
    def _models_are_somewhere(self) -> PhotorealSettings:
        if self.models_folder is None and self.cache_folder is None:
            raise ValueError("cache_folder must be a folder, for models to be made in it, or models_folder")
        return self

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image_width, self.image_width * 3 // 4
