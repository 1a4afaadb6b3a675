"""Learning To Simulate (Ruiz, Schulter and Chandraker, ICLR 2019): REINFORCE on the validation reward.

A Gaussian policy over ψ gives several ψ_m; each renders a dataset, trains a network from scratch and earns a reward
R_m. The policy's mean, in the coordinates in which every distribution steps, moves along E[(R_m − b) ∇ log π(ψ_m)].

Differences: rewards are divided by their standard deviation, so that one step size suits every reward, and the policy's
width is that of p_ψ times a factor. The paper normalises by a moving-average baseline alone; both baselines are here.
Where the search ends between two steps, the trials left over make a last one: their images have been paid for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.hypergradient import normalised_advantages
from autosimulate_pipeline.hypergradient.advantages import scaled
from autosimulate_pipeline.randomness import derive_generator
from autosimulate_pipeline.search.base import SearchState, Trial
from autosimulate_pipeline.search.trials import TrialSearch

BASELINE_MOMENTUM = 0.9
"""How much of the moving-average baseline each policy step keeps."""


class LearningToSimulate(TrialSearch):
    """A point is the policy's noise ε_m ~ N(0, I): ψ_m lies `policy_width · ε_m` away from the policy's mean ψ."""

    name = "lts"

    def suggest(self, state: SearchState) -> tuple[float, ...]:
        generator = derive_generator(state.seed, self.name, state.iteration)
        noise = torch.randn(state.distribution.num_parameters, generator=generator, dtype=torch.float64)
        return tuple(noise.tolist())

    def at(self, state: SearchState, point: Tensor) -> ProductDistribution:
        return state.distribution.stepped(point, self.search.lts.policy_width)

    def learned(self, state: SearchState) -> ProductDistribution:
        """The policy's mean: moved after every `num_datasets` trials, and at the end by those left over."""
        settings = self.search.lts
        is_over = state.is_finished or state.iteration >= self.loop.num_iterations
        if len(state.trials) % settings.num_datasets and not is_over:
            return state.distribution
        *earlier, latest = [
            [trial for trial in state.trials[first : first + settings.num_datasets] if trial.reward is not None]
            for first in range(0, len(state.trials), settings.num_datasets)
        ]
        if len(latest) < 2:
            return state.distribution
        noise = torch.stack([trial.as_tensor() for trial in latest])
        advantages = self._advantages(_rewards(latest), [_rewards(trials).mean() for trials in earlier if trials])
        direction = (advantages.unsqueeze(1) * noise).mean(dim=0)
        return state.distribution.stepped(direction, settings.step_size * settings.policy_width)

    def _advantages(self, latest: Tensor, earlier_means: Sequence[Tensor]) -> Tensor:
        if self.search.lts.baseline == "leave_one_out" or not earlier_means:
            return normalised_advantages(latest)
        baseline = earlier_means[0]
        for mean in earlier_means[1:]:
            baseline = BASELINE_MOMENTUM * baseline + (1 - BASELINE_MOMENTUM) * mean
        return scaled(latest - baseline, latest.std(correction=0), latest)


def _rewards(trials: Sequence[Trial]) -> Tensor:
    return torch.tensor([trial.reward for trial in trials], dtype=torch.float64)
