"""What the methods share that judge a whole dataset by one number: its trials, and the distribution they start from."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.records import EvaluationReport, HypergradientReport
from autosimulate_pipeline.search.base import Observation, SearchMethod, SearchState, Trial, advanced
from autosimulate_pipeline.search.settings import TrialSettings


class TrialSearch(SearchMethod):
    """Each iteration is a trial: a ψ, K images drawn from it, a network trained on them from scratch, its reward.

    `SearchState.candidate` is the point that is tried next; what a point means is the method's own.
    """

    trains_from_scratch = True

    def init(self, start: ProductDistribution, seed: int, num_pilot_images: int = 0) -> SearchState:
        """The state before the first trial; inferred widths stay as they are."""
        is_inferred = self.search.start == "inferred"
        state = super().init(
            start if is_inferred else start.annealed(self.search.trials.width_factor), seed, num_pilot_images
        )
        return state.model_copy(update={"candidate": self.suggest(state)})

    def propose(self, state: SearchState) -> ProductDistribution:
        """The distribution of the trial that comes next."""
        return self.at(state, torch.tensor(state.candidate, dtype=torch.float64))

    def update(self, state: SearchState, observation: Observation) -> tuple[SearchState, HypergradientReport]:
        """The state after the trial; never a hypergradient. A reward that is not finite counts as a failed trial."""
        trial = Trial(point=state.candidate, reward=reward(observation.validation, self.search.trials))
        tried = advanced(state, observation, self.loop).model_copy(update={"trials": (*state.trials, trial)})
        learned = tried.model_copy(update={"distribution": self.learned(tried)})
        return learned.model_copy(update={"candidate": self.suggest(learned)}), HypergradientReport()

    @abstractmethod
    def suggest(self, state: SearchState) -> tuple[float, ...]:
        """The next point to try."""

    @abstractmethod
    def at(self, state: SearchState, point: Tensor) -> ProductDistribution:
        """The distribution that a point stands for."""

    @abstractmethod
    def learned(self, state: SearchState) -> ProductDistribution:
        """The method's answer after the trials so far."""


def reward(report: EvaluationReport, settings: TrialSettings) -> float | None:
    """What is maximised, or None where it is not a number."""
    value = -report.loss if settings.objective == "loss" else float(getattr(report, settings.objective))
    return value if math.isfinite(value) else None
