"""What conf says about inference."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class InferenceSettings(BaseModel):
    """How the labelled images are asked for the scenes that they could have come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    statistics: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="a function of yours, `package.module:function`, that adds statistics: called with an image "
        "(AnnotatedImage) and the categories, it returns numbers by name",
    )
    num_trees: int = Field(200, ge=50, le=5000, description="trees of each forest")
