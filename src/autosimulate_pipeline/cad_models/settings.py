"""How files of CAD models that carry no scale and no direction are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.files.checked_files import Name

Unit = Literal["mm", "cm", "m", "in"]
Axis = Literal["x", "y", "z"]


class ModelFileSettings(BaseModel):
    """How the files of a `models_folder` that is not BOP's are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Unit | None = Field(
        default=None, description="of the files' coordinates; null: metres in GLB, as the format says, else millimetres"
    )
    up_axis: Axis | None = Field(
        default=None,
        description="axis of the files that points up, on which `upright_fraction` acts; null: y in GLB, as the format "
        "says, else z",
    )
    names: Mapping[str, Name] = Field(
        default={}, description="category by file, without .obj and the like; a file that is not named is its own"
    )
