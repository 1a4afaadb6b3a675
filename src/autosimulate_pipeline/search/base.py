"""What every search method is: pure functions over a state that can be saved, and what it is told.

state = method.init(start, seed)
for _ in range(loop.num_iterations):
    if state.is_finished:                           # stopped before
        break
    distribution = method.propose(state)            # p_ψ to draw the next scenes from
    ...                                             # render, train, evaluate
    state, report = method.update(state, observation)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.records import EvaluationReport, HypergradientReport
from autosimulate_pipeline.search.settings import LoopSettings, SearchSettings


class Trial(BaseModel):
    """A ψ that was tried, and what it earned.

    Attributes:
        point: the ψ, in the coordinates of the method that chose it.
        reward: what the method maximises; None where it was not a number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    point: tuple[float, ...]
    reward: float | None

    def as_tensor(self) -> Tensor:
        """The point, shape (num_coordinates,), float64; `lts` has one of shape (num_parameters,)."""
        return torch.tensor(self.point, dtype=torch.float64)


class SearchState(BaseModel):
    """All that a search knows; saved after each iteration, and enough to go on from.

    Attributes:
        method: name in SEARCH_METHODS.
        seed: the run's seed.
        iteration: iterations finished; each is one training.
        distribution: p_ψ, the method's answer so far.
        images_rendered: images rendered so far: those of the loop, and the pilot images before it.
        validation_losses: L_val after each iteration.
        stopped: why the search is over, or None.
        candidate, trials: the next point and the past ones of methods that judge whole datasets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    method: str
    seed: int
    iteration: int = 0
    distribution: ProductDistribution
    images_rendered: int = 0
    validation_losses: tuple[float, ...] = ()
    stopped: str | None = None
    candidate: tuple[float, ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether the search has stopped before the last iteration."""
        return self.stopped is not None


@dataclass(frozen=True, eq=False)
class Influences:
    """f(s_k) of each image of the batch and how the linear solve behind it went; see `hypergradient.implicit`.

    Attributes:
        parts: what the pixels of the background (column 0) and of each category add to f, shape (K, 1 + categories).
    """

    parts: Tensor
    validation_gradient_norm: float
    solver_outcome: str
    solver_steps: int
    solver_residual: float

    @property
    def values(self) -> Tensor:
        """f(s_k), shape (K,)."""
        return self.parts.sum(dim=1)

    def credited_to(self, category: int | None) -> Tensor:
        """f(s_k) less what the pixels of objects of other categories add to it; all of it for None; shape (K,)."""
        return self.values if category is None else self.parts[:, 0] + self.parts[:, category]


@dataclass(frozen=True, eq=False)
class Observation:
    """What one iteration showed.

    Attributes:
        draws: the scenes as drawn, unclipped, shape (K, num_dimensions).
        validation: how the task model does after training on them.
        influences: computes f with the weights before (True) or after (False) training on this batch; called only by
            methods that need it, for it costs a linear solve.
        owners: the category, from 1, of the object that a simulator parameter belongs to, where it belongs to one.
        minutes: how long the run has taken so far.
    """

    draws: Tensor
    validation: EvaluationReport
    influences: Callable[[bool, HypergradientSettings], Influences]
    owners: Mapping[str, int] = field(default_factory=dict)
    minutes: float = 0.0


@dataclass(frozen=True)
class SearchMethod(ABC):
    """A way to choose the simulator's distribution; values in, values out.

    Attributes:
        name: its key in SEARCH_METHODS.
        trains_from_scratch: whether each iteration trains a new network on its own images alone; otherwise θ goes on
            from the iteration before.
    """

    loop: LoopSettings
    search: SearchSettings
    hypergradient: HypergradientSettings

    name: ClassVar[str]
    trains_from_scratch: ClassVar[bool] = False

    def init(self, start: ProductDistribution, seed: int, num_pilot_images: int = 0) -> SearchState:
        """The state before the first iteration; the pilot images have been rendered before it."""
        return SearchState(method=self.name, seed=seed, distribution=start, images_rendered=num_pilot_images)

    def propose(self, state: SearchState) -> ProductDistribution:
        """The distribution to draw the next scenes from."""
        return state.distribution

    @abstractmethod
    def update(self, state: SearchState, observation: Observation) -> tuple[SearchState, HypergradientReport]:
        """The next state, and the hypergradient (an empty report if none was computed)."""


def advanced(state: SearchState, observation: Observation, loop: LoopSettings) -> SearchState:
    """`state` one iteration further, ψ unmoved, stopped if a budget is used up or the validation loss has stalled."""
    losses = (*state.validation_losses, observation.validation.loss)
    images_rendered = state.images_rendered + len(observation.draws)
    return state.model_copy(
        update={
            "iteration": state.iteration + 1,
            "images_rendered": images_rendered,
            "validation_losses": losses,
            "stopped": _reason_to_stop(loop, images_rendered, observation.minutes, losses),
        }
    )


def _reason_to_stop(loop: LoopSettings, images_rendered: int, minutes: float, losses: tuple[float, ...]) -> str | None:
    if loop.max_images is not None and images_rendered + loop.num_images > loop.max_images:
        return f"image budget: {images_rendered} of {loop.max_images} images rendered"
    if loop.max_minutes is not None and minutes >= loop.max_minutes:
        return f"time budget: {minutes:.1f} of {loop.max_minutes:g} minutes used"
    comparable = [loss if math.isfinite(loss) else math.inf for loss in losses]
    if loop.patience is not None and len(losses) - 1 - comparable.index(min(comparable)) >= loop.patience:
        return f"plateau: no better validation loss for {loop.patience} iterations"
    return None
