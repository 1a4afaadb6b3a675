"""What conf says of a simulator that is a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autosimulate_pipeline.files.checked_files import Name
from autosimulate_pipeline.records import MAX_LABELS

Text = Annotated[str, Field(min_length=1)]


class ExternalSettings(BaseModel):
    """`simulator.options` of the type `external`. How long a command may take, and how often it is tried, is what
    `parallel` says: a run that exists can go on with other limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: tuple[Text, ...] = Field(
        min_length=1,
        description="program and arguments, without a shell, though words may begin with `~`; the path of the request "
        "is added as the last argument",
    )
    categories: tuple[Name, ...] = Field(
        min_length=1, max_length=MAX_LABELS, description="object categories, in the order of their COCO ids"
    )
    owners: Mapping[str, str] = Field(
        default={},
        description="category of the object that a scene parameter belongs to; those left out act on the whole image",
    )

    @model_validator(mode="after")
    def _categories_differ_and_own(self) -> ExternalSettings:
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"categories must differ, got {', '.join(self.categories)}")
        for parameter, category in self.owners.items():
            if category not in self.categories:
                raise ValueError(f"owners.{parameter} must be one of {', '.join(self.categories)}, got {category!r}")
        return self
