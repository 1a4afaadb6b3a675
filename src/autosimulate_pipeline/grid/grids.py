"""Grids of conf/*/grids.yml, as trials that are known to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sklearn.model_selection import ParameterGrid

from autosimulate_pipeline.configuration import (
    ConfigurationError,
    Parameters,
    check_parameters,
    default_run_name,
    load_project,
    read_overrides,
    run_folder,
    validated,
)
from autosimulate_pipeline.runs.record import check_run
from autosimulate_pipeline.search import SEARCH_METHODS


def _single(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str) or "," in str(value):
        raise ValueError(f"must be a number, true, false or a text without commas (for --params), got {value!r}")
    return value


ONE_CORE = {"parallel.backend": "loky", "parallel.address": "null", "parallel.num_workers": 1}
"""How a trial renders: in an engine's worker, one that asked the engine for workers could wait for itself."""

Value = Annotated[Any, AfterValidator(_single)]


class Grid(BaseModel):
    """A block of grids.yml; parameters go by dotted key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str = Field("autosimulate", description="the search method")
    parameters: dict[str, Value] = Field({}, description="what all trials have in common")
    grid: dict[str, Annotated[list[Value], Field(min_length=1)]] = Field(
        min_length=1, description="values to try: a trial for each combination"
    )

    @model_validator(mode="after")
    def _can_be_expanded(self) -> Grid:
        if self.pipeline not in SEARCH_METHODS:
            raise ValueError(f"pipeline must be one of {', '.join(SEARCH_METHODS)}, got {self.pipeline!r}")
        if twice := self.parameters.keys() & self.grid.keys():
            raise ValueError(f"{min(twice)} must be in parameters or in grid, got both")
        if "run" in self.parameters | self.grid:
            raise ValueError("run must be left out: each trial is named after its values")
        return self


@dataclass(frozen=True, eq=False)
class Trial:
    """A point of a grid, as a run.

    Attributes:
        project: the folder that has the run's data.
        pipeline: the search method.
        point: the values that the grid varies, by dotted key.
        arguments: what `kedro run` gets.
        parameters: all the run's, checked.
    """

    project: Path
    pipeline: str
    point: dict[str, Any]
    arguments: list[str]
    parameters: Parameters

    @property
    def run(self) -> str:
        """The run's name."""
        return self.parameters.run

    @property
    def label(self) -> str:
        """The point in words."""
        return " ".join(f"{key}={value}" for key, value in self.point.items())

    @property
    def last_state(self) -> str:
        """The dataset that the search ends with."""
        return f"state_{self.parameters.loop.num_iterations:03d}"

    @property
    def num_done(self) -> int:
        """How many iterations are finished."""
        numbers = range(1, self.parameters.loop.num_iterations + 1)
        return sum(self.file("07_model_output", f"state_{number:03d}.json").exists() for number in numbers)

    @property
    def is_finished(self) -> bool:
        """Whether the search has ended and all its reports are there; what comes after it is not a trial's."""
        names = [self.last_state, *(f"validation_report_{k:03d}" for k in range(self.parameters.loop.num_iterations))]
        return all(self.file("07_model_output", f"{name}.json").exists() for name in names)

    def file(self, layer: str, name: str) -> Path:
        """A file of the run's."""
        return run_folder(self.project, layer, self.run) / name


def load_conf(project: Path, env: str | None, kind: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `kedro run` would read of this kind (parameters, mlflow, grids) with these overrides by dotted key."""
    loader = load_project(project, env, read_overrides(_override(*item) for item in (overrides or {}).items()))
    loader.config_patterns["grids"] = ["grids*"]
    return loader[kind]


def load_grid(project: Path, name: str, env: str | None) -> Grid:
    """The grid of that name.

    Raises:
        ConfigurationError: if there is none, or it is malformed; one line for each complaint.
    """
    grids = load_conf(project, env, "grids")
    if name not in grids:
        raise ConfigurationError(f"grid must be one of {', '.join(grids)} (conf/base/grids.yml), got {name!r}")
    return validated(Grid, grids[name], f"grids.{name}")


def expand(project: Path, name: str, grid: Grid, env: str | None) -> list[Trial]:
    """The grid's trials in order. A budget of images sets `loop.num_iterations`, where the grid does not.

    Raises:
        ConfigurationError: if one cannot be run, was made with other settings, or would be another's run.
    """
    trials: dict[str, Trial] = {}
    for combination in ParameterGrid(grid.grid):
        point = {key: combination[key] for key in grid.grid}  # in conf's order
        run = default_run_name(f"grid-{name}", env, point)
        if run in trials:
            raise ConfigurationError(f"grids.{name}.grid must make each trial another run, got {run} twice")
        overrides = ONE_CORE | grid.parameters | point | {"run": run}
        parameters = check_parameters(load_conf(project, env, "parameters", overrides))
        loop = parameters.loop
        if loop.max_images is not None and "loop.num_iterations" not in overrides:
            num_pilot_images = parameters.pilot.num_images if parameters.has_pilot else 0
            overrides["loop.num_iterations"] = max(1, (loop.max_images - num_pilot_images) // loop.num_images)
            parameters = check_parameters(load_conf(project, env, "parameters", overrides))
        check_run(run_folder(project, "08_reporting", run), grid.pipeline, parameters)
        params = ",".join(_override(*item) for item in overrides.items())
        arguments = ["--pipeline", grid.pipeline, "--params", params, *(["--env", env] if env else [])]
        trials[run] = Trial(project, grid.pipeline, point, arguments, parameters)
    return list(trials.values())


def _override(key: str, value: Any) -> str:
    return f"{key}={value}"
