"""What conf says about the search: how long the loop runs, how θ is trained in it, how ψ moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autosimulate_pipeline.task_models import TrainingSettings

PAPER_SEARCH: dict[str, Any] = {
    "start": "configured",
    "width_decay": 1.0,
    "score_before_fit": False,
    "credit": "image",
    "standardised": False,
}
INFERRED_SEARCH: dict[str, Any] = {"step_size": 0.5}
"""What `start: inferred` puts there: a ψ that is nearly right is spoilt by the steps that a far one needs."""

PAPER_HYPERGRADIENT: dict[str, Any] = {"curvature": "hessian", "solver": "newton_cg"}
"""What `mode: paper` puts in the place of the defaults, where conf gives no value."""


class LoopSettings(BaseModel):
    """How long the loop runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_iterations: int = Field(25, ge=1, le=999, description="iterations in the pipeline")
    num_images: int = Field(30, ge=2, description="K: images rendered in an iteration")
    max_images: int | None = Field(
        None, ge=2, description="stop before the run has rendered more images than this, pilot images included"
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        description="stop after the iteration in which the run has taken so long",
        json_schema_extra={"unit": "min"},
    )
    patience: int | None = Field(
        None, ge=1, description="stop after so many iterations in a row without a better validation loss"
    )

    @model_validator(mode="after")
    def _budget_pays_an_iteration(self) -> LoopSettings:
        if self.max_images is not None and self.max_images < self.num_images:
            raise ValueError(
                f"loop.max_images must be at least loop.num_images ({self.num_images}), got {self.max_images}"
            )
        return self


class LoopTrainingSettings(TrainingSettings):
    """How θ is trained in the loop."""

    first_epochs: int = Field(40, ge=1, description="epochs of a training from scratch: iteration 0, or every one")
    retained: float = Field(
        0.4,
        ge=0,
        le=1,
        description="share of θ that an iteration starts from, the rest being fresh initial weights; 1: warm start",
    )
    window: int = Field(3, ge=1, description="train on the images of so many latest iterations; the supplement's is 1")


class LTSSettings(BaseModel):
    """Learning To Simulate (Ruiz et al., ICLR 2019): a policy over ψ, one reward for each dataset drawn from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_datasets: int = Field(
        5, ge=2, description="datasets, and trainings, before each step of the policy; the last step may have fewer"
    )
    policy_width: float = Field(1.0, gt=0, description="standard deviation of the policy, in widths of p_ψ")
    step_size: float = Field(1.0, gt=0, description="step of the policy's mean, in its standard deviations")
    baseline: Literal["leave_one_out", "moving_average"] = Field(
        "leave_one_out", description="what is taken off the rewards"
    )


class TrialSettings(BaseModel):
    """What the methods have in common that judge whole datasets: lts, bayesian and random."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["miou", "map", "loss"] = Field(
        "miou",
        description="what a dataset earns on the validation images; loss: its negative; detectors have no miou",
    )
    width_factor: float = Field(
        0.5, gt=0, le=1, description="narrows p_ψ's widths from the start on: nothing else anneals them"
    )


class SearchSettings(BaseModel):
    """How ψ moves: AutoSimulate's step, and the blocks of the methods it is compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["recommended", "paper"] = Field(
        "recommended", description="the method: fills in what conf leaves open"
    )
    start: Literal["inferred", "configured", "uniform"] = Field(
        "inferred",
        description="p_ψ before the first iteration: what the labelled images show (pilot images); "
        "simulator.parameters; or as wide as the ranges",
    )
    step_size: float = Field(
        2.0, gt=0, description="η, in units of a distribution's width (standardised steps); from an inferred start 0.5"
    )
    step_decay: float = Field(0.96, gt=0, le=1, description="η ← η · step_decay after each step")
    width_decay: float = Field(0.97, gt=0, le=1, description="σ ← σ · width_decay after each step")
    learning_rate: float = Field(0.1, gt=0, description="α of plain gradient steps on ψ in unit ranges")
    score_before_fit: bool = Field(
        True, description="f with the weights before they are trained on the batch, not after"
    )
    credit: Literal["category", "image"] = Field(
        "category", description="f that moves an object's own parameters: without other objects' pixels, or the image's"
    )
    standardised: bool = Field(True, description="standardised steps (step_size), not plain ones (learning_rate)")
    trials: TrialSettings = Field(default=TrialSettings.model_validate({}))
    lts: LTSSettings = Field(default=LTSSettings.model_validate({}))

    @model_validator(mode="before")
    @classmethod
    def _mode_fills_in(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        given = {**PAPER_SEARCH, **given} if given.get("mode") == "paper" else given
        return {**INFERRED_SEARCH, **given} if given.get("start", "inferred") == "inferred" else given


def hypergradient_in_mode(mode: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The block `hypergradient` with what the search's mode fills in where `given` is silent."""
    return {**PAPER_HYPERGRADIENT, **given} if mode == "paper" else dict(given)
