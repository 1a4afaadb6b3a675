"""What every search method is: pure functions over a state that can be saved, and what it is told.

state = method.init(start, seed)
while not method.is_finished(state):
    distribution = method.propose(state)            # p_ψ to draw the next scenes from
    ...                                             # render, train, evaluate
    state, report = method.update(state, observation)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.records import EvaluationReport, HypergradientReport
from autosimulate_pipeline.task_models import TrainingSettings


class LoopSettings(BaseModel):
    """How long the loop runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_iterations: int = Field(25, ge=1, le=999, description="iterations unrolled into the pipeline")
    num_images: int = Field(30, ge=2, description="K: images rendered in an iteration")
    max_images: int | None = Field(None, ge=2, description="stop before the loop has rendered more images than this")
    patience: int | None = Field(
        None, ge=1, description="stop after so many iterations in a row without a better validation loss"
    )


class LoopTrainingSettings(TrainingSettings):
    """How θ is trained in the loop, warm-started from the iteration before."""

    first_epochs: int = Field(60, ge=1, description="epochs of iteration 0: f means little far from an optimum")
    window: int = Field(3, ge=1, description="train on the images of so many latest iterations; the supplement's is 1")

    def at(self, iteration: int) -> TrainingSettings:
        """The settings of one iteration's fit."""
        return self if iteration else self.model_copy(update={"epochs": self.first_epochs})


class SearchState(BaseModel):
    """All that a search knows; saved after each iteration, and enough to go on from.

    Attributes:
        method: name in SEARCH_METHODS.
        seed: the run's seed.
        iteration: iterations finished.
        distribution: p_ψ.
        images_rendered: images the loop has rendered.
        validation_losses: L_val after each iteration.
        stopped: why the search is over, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    seed: int
    iteration: int = 0
    distribution: ProductDistribution
    images_rendered: int = 0
    validation_losses: tuple[float, ...] = ()
    stopped: str | None = None


@dataclass(frozen=True, eq=False)
class Influences:
    """f(s_k) of each image of the batch and how the linear solve behind it went; see `hypergradient.implicit`."""

    values: Tensor
    validation_gradient_norm: float
    solver_outcome: str
    solver_steps: int
    solver_residual: float


@dataclass(frozen=True, eq=False)
class Observation:
    """What one iteration showed.

    Attributes:
        draws: the scenes as drawn, unclipped, shape (K, num_dimensions).
        validation: how the task model does after training on them.
        influences: computes f with the weights before (True) or after (False) training on this batch; called only by
            methods that need it, for it costs a linear solve.
    """

    draws: Tensor
    validation: EvaluationReport
    influences: Callable[[bool, HypergradientSettings], Influences]


class SearchMethod(Protocol):
    """A way to choose the simulator's distribution; values in, values out."""

    @property
    def name(self) -> str:
        """Its key among the search methods."""
        ...

    def init(self, start: ProductDistribution, seed: int) -> SearchState:
        """The state before the first iteration, at ψ = `start`."""
        ...

    def propose(self, state: SearchState) -> ProductDistribution:
        """The distribution to draw the next scenes from."""
        ...

    def update(self, state: SearchState, observation: Observation) -> tuple[SearchState, HypergradientReport]:
        """The next state, and the hypergradient (an empty report if none was computed)."""
        ...


def advanced(state: SearchState, observation: Observation, loop: LoopSettings) -> SearchState:
    """`state` one iteration further, ψ unmoved, stopped if the budget is used up or the validation loss has stalled."""
    losses = (*state.validation_losses, observation.validation.loss)
    images_rendered = state.images_rendered + len(observation.draws)
    stopped = None
    if loop.max_images is not None and images_rendered + loop.num_images > loop.max_images:
        stopped = f"image budget: {images_rendered} of {loop.max_images} images rendered"
    elif loop.patience is not None and len(losses) - 1 - losses.index(min(losses)) >= loop.patience:
        stopped = f"plateau: no better validation loss for {loop.patience} iterations"
    return state.model_copy(
        update={
            "iteration": state.iteration + 1,
            "images_rendered": images_rendered,
            "validation_losses": losses,
            "stopped": stopped,
        }
    )
