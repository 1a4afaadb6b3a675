"""AutoSimulate: ψ moves along the hypergradient through one Newton step of the task model's training.

`mode: paper` is the AutoSimulate supplement's: the Hessian, scipy's fmin_ncg, f on the images just trained on, and
plain gradient descent on ψ. `mode: recommended` differs in four ways:

- curvature: the generalised Gauss-Newton matrix, which stays positive definite away from the optimum, by CG;
- order: each batch is scored with the weights of the iterations before, for samples trained on give a shrunken f;
- step: advantages (f − mean f) / std f times the standardised score, a step in units of the distribution's own width;
- annealing: step size and width decay, or the end of the search is a random walk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.hypergradient import (
    leave_one_out_baseline,
    normalised_advantages,
    score_function_gradient,
)
from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.records import HypergradientReport
from autosimulate_pipeline.search.base import LoopSettings, Observation, SearchState, advanced

Settings = TypeVar("Settings", bound=BaseModel)


class SearchSettings(BaseModel):
    """How ψ moves. What conf does not set follows the mode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["recommended", "paper"] = "recommended"
    step_size: float = Field(2.0, gt=0, description="η, in units of a distribution's width (standardised steps)")
    step_decay: float = Field(0.96, gt=0, le=1, description="η ← η · step_decay after each step")
    width_decay: float = Field(0.97, gt=0, le=1, description="σ ← σ · width_decay after each step; paper: 1")
    learning_rate: float = Field(0.1, gt=0, description="α of plain gradient steps on ψ in unit ranges")
    score_before_fit: bool = Field(True, description="f with the weights before they see the batch; paper: false")
    standardised: bool = Field(True, description="standardised steps, not the plain gradient; paper: false")


PAPER_SEARCH = {"width_decay": 1.0, "score_before_fit": False, "standardised": False}
PAPER_HYPERGRADIENT = {"curvature": "hessian", "solver": "newton_cg"}


def _filled(settings: Settings, defaults: dict[str, Any]) -> Settings:
    return settings.model_copy(update={k: v for k, v in defaults.items() if k not in settings.model_fields_set})


@dataclass(frozen=True)
class AutoSimulate:
    """The method of the paper; see the module's text for the two modes."""

    loop: LoopSettings
    search: SearchSettings
    hypergradient: HypergradientSettings
    name: str = "autosimulate"

    @classmethod
    def from_conf(cls, loop: LoopSettings, search: SearchSettings, hypergradient: HypergradientSettings) -> Self:
        """The method with what conf leaves open filled in by the mode."""
        if search.mode == "paper":
            return cls(loop, _filled(search, PAPER_SEARCH), _filled(hypergradient, PAPER_HYPERGRADIENT))
        return cls(loop, search, hypergradient)

    def init(self, start: ProductDistribution, seed: int) -> SearchState:
        """The state before the first iteration, at ψ = `start`."""
        return SearchState(method=self.name, seed=seed, distribution=start)

    def propose(self, state: SearchState) -> ProductDistribution:
        """p_ψ as it stands."""
        return state.distribution

    def update(self, state: SearchState, observation: Observation) -> tuple[SearchState, HypergradientReport]:
        """ψ one step along +E[f · ∇_ψ log p_ψ] = −dL_val/dψ, equations (1) to (4) of the AutoSimulate supplement.

        With f scored before the fit, iteration 0 has no trained weights to score with: ψ stays, the report is empty.
        """
        next_state = advanced(state, observation, self.loop)
        before_fit = self.search.score_before_fit
        if before_fit and state.iteration == 0:
            return next_state, HypergradientReport()
        influences = observation.influences(before_fit, self.hypergradient)
        distribution = state.distribution
        if self.search.standardised:
            baseline = leave_one_out_baseline(influences.values)
            gradient = score_function_gradient(distribution.score(observation.draws), influences.values, baseline)
            direction = distribution.standardised_gradient(normalised_advantages(influences.values), observation.draws)
            num_steps_taken = state.iteration - int(before_fit)
            moved = distribution.stepped(direction, self.search.step_size * self.search.step_decay**num_steps_taken)
        else:
            gradient = distribution.expectation_gradient(influences.values, observation.draws)
            moved = distribution.ascended(gradient, self.search.learning_rate)
        report = HypergradientReport(
            gradient=dict(zip(distribution.learned_entries(), gradient.tolist(), strict=True)),
            influences=tuple(influences.values.tolist()),
            validation_gradient_norm=influences.validation_gradient_norm,
            norm=math.hypot(*gradient.tolist()),
            solver_outcome=influences.solver_outcome,
            solver_steps=influences.solver_steps,
            solver_residual=influences.solver_residual,
        )
        return next_state.model_copy(update={"distribution": moved.annealed(self.search.width_decay)}), report
