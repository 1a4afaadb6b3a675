"""What Bernoulli and Categorical share: draws of indices, means by category, and the floored simplex."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from pydantic import field_validator
from torch import Tensor

from autosimulate_pipeline.distributions.base import LearnableDistribution, Value

PROBABILITY_FLOOR = 0.05
"""No learned probability falls below it (many values: `probability_floor`), or a value could never prove its worth."""

_TINY = 1e-300
"""Stands in for a probability of 0 in a denominator; its numerator is 0, for such a value is never drawn."""


class Discrete(LearnableDistribution):
    """A distribution over a few values; a draw is the index of its value."""

    values: tuple[Value, ...]

    @field_validator("values")
    @classmethod
    def _values_are_distinct(cls, values: tuple[Value, ...]) -> tuple[Value, ...]:
        if len(values) < 2 or len(set(values)) < len(values):
            raise ValueError(f"values must be at least two different ones, got {list(values)}")
        return values

    @abstractmethod
    def weights(self) -> Tensor:
        """The probability of each value, shape (num_values,), float64."""

    @abstractmethod
    def with_probabilities(self, probabilities: Tensor) -> Self:
        """Itself with these probabilities, kept above the floor; shape (num_values,), summing to 1."""

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        if not num_samples:  # multinomial refuses to draw nothing
            return torch.empty(0, dtype=torch.float64)
        return torch.multinomial(self.weights(), num_samples, replacement=True, generator=generator).double()

    def to_values(self, draws: Tensor) -> list[Value]:
        return [self.values[int(index)] for index in draws.tolist()]

    def log_prob(self, draws: Tensor) -> Tensor:
        return self.weights().log()[draws.long()]

    def entries(self) -> dict[str, float]:
        return dict(zip(map(str, self.values), self.weights().tolist(), strict=True))

    def extremes(self) -> tuple[Value, ...]:
        return self.values

    def in_words(self) -> str:
        """As in `rubber 20 %, metal 80 %`."""
        return ", ".join(f"{value} {100 * share:.3g} %" for value, share in self.entries().items())


def one_hot(draws: Tensor, num_values: int) -> Tensor:
    """[s_k = i], shape (K, num_values), float64."""
    return torch.nn.functional.one_hot(draws.long(), num_values).double()


def centred_means(influences: Tensor, draws: Tensor, num_values: int) -> Tensor:
    """f̄(i), the mean influence of the draws of each value, less the mean over values, shape (num_values,).

    A value without draws has no information and gets 0. Probabilities sum to 1: what all values have in common could
    not move them, and would hide what does.
    """
    drawn = one_hot(draws, num_values)
    counts = drawn.sum(dim=0)
    means = influences.to(drawn) @ drawn / counts.clamp(min=1)
    return torch.where(counts > 0, means - means[counts > 0].mean(), 0.0)


def over(numerator: Tensor, probabilities: Tensor) -> Tensor:
    """The quotient, with 0/0 = 0 for a value whose probability is 0."""
    return numerator / probabilities.clamp(min=_TINY)


def probability_floor(num_values: int) -> float:
    """The floor of one of so many probabilities: of more than ten values it leaves half the mass to be learned."""
    return min(PROBABILITY_FLOOR, 0.5 / num_values)


def project_on_floored_simplex(point: Tensor) -> Tensor:
    """The nearest p with Σp = 1 and every p_i at its floor or above, shape (n,).

    Euclidean projection by sorting (Duchi et al., ICML 2008). Adding a constant to `point` changes nothing, so a
    gradient needs no projection on the tangent of the simplex.
    """
    floor = probability_floor(len(point))
    mass = 1 - len(point) * floor
    descending = point.sort(descending=True).values
    thresholds = (descending.cumsum(0) - mass) / torch.arange(1, len(point) + 1, dtype=point.dtype)
    num_above = int((descending > thresholds).sum().clamp(min=1))
    return floor + (point - thresholds[num_above - 1]).clamp(min=0)
