"""Search over ψ that knows nothing but rewards: Bayesian optimisation and random search, by Optuna.

A point is ψ in the unit cube, with as many coordinates as ψ has dimensions (`ProductDistribution.at`). Optuna's study
is built anew from the trials in the search state before each suggestion, with a seed of the iteration's own: the state
is all the storage there is, and a resumed search continues at the same points. The first trial is the start itself.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.search.trials import TrialSearch

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

NUM_WIDTHS = 3.0
"""How far from an inferred mean these methods look, in widths: all of a range again would waste what was inferred."""


class OptunaSearch(TrialSearch):
    """Asks an Optuna sampler for the next ψ; its answer is the best one tried."""

    @abstractmethod
    def sampler(self, seed: int) -> BaseSampler:
        """The sampler that makes one suggestion."""

    def suggest(self, state: SearchState) -> tuple[float, ...]:
        import optuna  # takes a second, and only these methods need it

        if not state.trials:
            return tuple(state.distribution.point().tolist())
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        cube: dict[str, optuna.distributions.BaseDistribution] = {
            f"{axis:03d}": optuna.distributions.FloatDistribution(low, high)
            for axis, (low, high) in enumerate(self._searched(state).tolist())
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = self.sampler(derive_seed(state.seed, self.name, state.iteration))
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for trial in state.trials:
                if trial.reward is not None:
                    params = dict(zip(cube, trial.point, strict=True))
                    study.add_trial(optuna.trial.create_trial(params=params, distributions=cube, value=trial.reward))
            suggested = study.ask(cube).params
        return tuple(suggested[axis] for axis in cube)

    def _searched(self, state: SearchState) -> Tensor:
        """The part of the unit cube that is searched, shape (num_coordinates, 2): about an inferred start, or all."""
        if self.search.start != "inferred":
            return torch.tensor([[0.0, 1.0]] * state.distribution.num_coordinates, dtype=torch.float64)
        start = self.at(state, state.trials[0].as_tensor())
        return start.near(NUM_WIDTHS)

    def at(self, state: SearchState, point: Tensor) -> ProductDistribution:
        """ψ at the point.

        Raises:
            ValueError: if the state comes from a version whose points had other coordinates.
        """
        wanted = state.distribution.num_coordinates
        if len(point) != wanted:
            raise ValueError(
                f"a point of {self.name}'s search state must have {wanted} coordinates, got {len(point)}: "
                f"another version of the code saved it; start another run"
            )
        return state.distribution.at(point)

    def learned(self, state: SearchState) -> ProductDistribution:
        finished = [trial for trial in state.trials if trial.reward is not None]
        if not finished:
            return state.distribution
        best = max(finished, key=lambda trial: trial.reward or 0.0)
        return self.at(state, best.as_tensor())


class Bayesian(OptunaSearch):
    """Gaussian process with log expected improvement; noise is part of the model, for a trial is noisy."""

    name = "bayesian"

    def sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, deterministic_objective=False)


class Random(OptunaSearch):
    """ψ drawn uniformly from all there are."""

    name = "random"

    def sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)
