"""What every simulator is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from autosimulate_pipeline.records import AnnotatedDataset, Progress, Scene

SceneModel = TypeVar("SceneModel", bound=BaseModel)

MAX_COMPLAINTS = 2
"""Said of a scene; each may list all parameters that there are."""


class Simulator(Protocol):
    """Turns scenes into images with exact annotations."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Object categories, in the order that instance categories count them (from 1)."""

    @property
    def owners(self) -> Mapping[str, str]:
        """The category of the object that a scene parameter belongs to; those left out act on the whole image."""

    @property
    def object_ids(self) -> tuple[int, ...] | None:
        """The BOP object id of each category; None: the categories are no BOP objects."""

    def check(self, scene: Scene) -> None:
        """Raises ValueError, in one line, if the scene cannot be rendered: unknown name, wrong type, out of bounds."""

    def render(self, scenes: Sequence[Scene], seeds: Sequence[int], progress: Progress) -> AnnotatedDataset:
        """One image per scene, in their order; the same scene and seed give the same bytes.

        Raises:
            ValueError: before anything is rendered, if a scene fails `check` or there is not one seed per scene.
        """


def parse_scene(model: type[SceneModel], scene: Scene) -> SceneModel:
    """The scene as the simulator's own model, with its defaults filled in.

    Raises:
        ValueError: names each bad parameter, the value seen and the value wanted, in one line.
    """
    try:
        return model.model_validate(dict(scene))
    except ValidationError as failure:
        complaints = [_complaint(error, model) for error in failure.errors()]
        more = [f"and {len(complaints) - MAX_COMPLAINTS} more"] if len(complaints) > MAX_COMPLAINTS else []
        raise ValueError(" ".join("; ".join(complaints[:MAX_COMPLAINTS] + more).split())) from None


def _complaint(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with one parameter, or with several together, where the model has a validator for that."""
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    parameter = f"scene parameter {error['loc'][0]!r} is"
    if error["type"] == "extra_forbidden":
        return f"{parameter} unknown, wanted one of {', '.join(sorted(model.model_fields))}"
    return f"{parameter} {error['input']!r}: {error['msg'].lower()}"


def owners_by_prefix(model: type[BaseModel], categories: Sequence[str]) -> dict[str, str]:
    """`Simulator.owners` of a scene whose parameters are called `<category>_…`; of two that fit, the longer."""
    by_length = sorted(categories, key=len)
    return {name: category for name in model.model_fields for category in by_length if name.startswith(f"{category}_")}
