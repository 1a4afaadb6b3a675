"""What is rendered from: the simulator of a run that exists, at the ψ that it has learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autosimulate_pipeline.loop.simulation import SimulatorSettings
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.simulators import ParallelSettings

States = Mapping[str, Callable[[], Any]]
"""What loads the records of a run's search, by file name without .json; `state_003` is after three iterations."""


class GenerateSettings(BaseModel):
    """The training set that is wanted of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(1000, ge=2, le=100_000, description="images of the whole set")
    format: Literal["coco", "bop", "yolo"] = Field("coco", description="bop: where the simulator has poses")
    validation_share: float = Field(0.1, gt=0, lt=1, description="of the images, for the training's own validation")
    seed: int = Field(0, ge=0, description="of scenes and renders; apart from the run's seed")

    @property
    def name(self) -> str:
        """The folder's: every choice is in it, so that sets do not mix, and no dot, which Kedro has for namespaces."""
        percent = f"{100 * self.validation_share:g}".replace(".", "_")
        return f"{self.format}-{self.num_images}-val{percent}-seed{self.seed}"


class GenerationPlan(BaseModel):
    """Where the images come from; kept with the first of them.

    Attributes:
        run, method, iterations, images_rendered: the search, how it was made and how far it was.
        simulator: the run's, with the learned distribution in the place of the start.
        categories, object_ids: the simulator's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    method: str
    iterations: int
    images_rendered: int
    seed: int
    simulator: SimulatorSettings
    categories: tuple[str, ...]
    object_ids: tuple[int, ...] | None


def plan_generation(
    run: str, recorded: Mapping[str, Any], states: States, settings: GenerateSettings
) -> GenerationPlan:
    """The plan for the run as it is now.

    Args:
        recorded: the run's parameters by dotted key, from its record.

    Raises:
        ValueError: if the run has learned no ψ, or its simulator cannot be built or has no poses for `format` bop.
    """
    last = max((name for name in states if name.startswith("state_")), default=None)
    if last is None:
        raise ValueError(f"run {run!r} must have searched for simulator parameters, got a run without any")
    state: SearchState = states[last]()
    try:
        recorded_simulator = SimulatorSettings.model_validate(_block(recorded, "simulator"))
    except ValidationError as failure:  # of a record by another version of the code
        error = failure.errors()[0]
        key = ".".join(["simulator", *map(str, error["loc"])])
        raise ValueError(
            f"the record of run {run!r} must have a simulator that is known, got {key}: {error['msg']}"
        ) from None
    simulator = recorded_simulator.model_copy(update={"parameters": state.distribution})
    simulator.check(f"run {run!r}: simulator")
    built = simulator.build(ParallelSettings())
    if settings.format == "bop" and built.object_ids is None:
        raise ValueError(f"generate.format must be coco or yolo for {simulator.type}, which has no poses, got 'bop'")
    return GenerationPlan(
        run=run,
        method=state.method,
        iterations=state.iteration,
        images_rendered=state.images_rendered,
        seed=settings.seed,
        simulator=simulator,
        categories=tuple(built.categories),
        object_ids=None if built.object_ids is None else tuple(built.object_ids),
    )


def check_plan(kept: GenerationPlan, wanted: GenerationPlan) -> None:
    """Raises ValueError if images were rendered from another ψ of the run than it has now."""
    if kept != wanted:
        raise ValueError(
            f"images with generate.seed={kept.seed} were rendered from run {kept.run!r} after iteration "
            f"{kept.iterations}, which is not what it has now (iteration {wanted.iterations}); choose another "
            f"generate.seed"
        )


def _block(recorded: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The nested block of that name from values by dotted key."""
    block: dict[str, Any] = {}
    for key, value in recorded.items():
        first, *path = key.split(".")
        if first == name:
            *outer, last = path
            if outer[:1] == ["parameters"] and len(outer) > 1:  # a scene parameter's own name may have dots
                outer = ["parameters", ".".join(outer[1:])]
            inner = block
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[last] = value
    return block
