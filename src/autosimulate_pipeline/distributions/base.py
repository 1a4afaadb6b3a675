"""What every distribution over one simulator parameter can do.

A distribution is a frozen model that is at once what conf says and what the search state stores as JSON. The entries
of ψ it stands for are its learnable numbers; how they are parametrised and moved stays inside the distribution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

Value = float | int | str
"""What a simulator gets for one parameter."""


class Distribution(BaseModel, ABC):
    """A distribution of one simulator parameter: draws are float64, one number per scene."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws, not clipped to the range, shape (num_samples,), float64; a category is its index."""

    @abstractmethod
    def to_values(self, draws: Tensor) -> Sequence[Value]:
        """What the simulator gets for each draw: the number clipped to its range, or the category's value."""

    @abstractmethod
    def log_prob(self, draws: Tensor) -> Tensor:
        """Log density (of draws in the unit range) or log probability, shape (K,): what `score` is the gradient of."""

    @abstractmethod
    def extremes(self) -> Sequence[Value]:
        """The ends of the range and a number between that is not whole, or every value."""

    @abstractmethod
    def uniform(self) -> Distribution:
        """The domain-randomisation counterpart: the whole range or all values alike, nothing learned."""

    def in_words(self) -> str:
        """What is drawn, for people."""
        return f"{type(self).__name__}: {', '.join(map(str, self.extremes()))}"


class LearnableDistribution(Distribution):
    """A distribution with entries of ψ, called `num_parameters` numbers in the gradients below.

    Gradients are those of what is to be maximised; the caller owns the sign (ψ moves along +E[f · score]).
    """

    learned: bool = Field(default=True, description="whether the search may move it")

    @property
    @abstractmethod
    def learned_entries(self) -> tuple[str, ...]:
        """Which of `entries` the numbers of a gradient belong to, in their order."""

    @property
    def num_parameters(self) -> int:
        """The length of a gradient."""
        return len(self.learned_entries)

    @property
    def num_coordinates(self) -> int:
        """The length of a point of the unit cube: the dimension of ψ."""
        return self.num_parameters

    @abstractmethod
    def score(self, draws: Tensor) -> Tensor:
        """∇_ψ log p_ψ(s_k) of the unclipped draws, shape (K, num_parameters); its mean under p_ψ is 0."""

    @abstractmethod
    def expectation_gradient(self, influences: Tensor, draws: Tensor) -> Tensor:
        """The supplement's estimate of ∇_ψ E[f(s)] from f(s_k), shape (num_parameters,)."""

    @abstractmethod
    def standardised_gradient(self, advantages: Tensor, draws: Tensor) -> Tensor:
        """Mean of a_k z_k, shape (num_parameters,): z is the score over its own standard deviation under p_ψ.

        It has neither the unit nor the scale of the parameter. A number without information is 0.
        """

    @abstractmethod
    def stepped(self, standardised_gradient: Tensor, step_size: float) -> Self:
        """Itself after a step along `standardised_gradient`, kept in its range or above the probability floor."""

    @abstractmethod
    def ascended(self, expectation_gradient: Tensor, learning_rate: float) -> Self:
        """Itself after ψ ← ψ + learning_rate · expectation_gradient, projected on what is allowed."""

    @abstractmethod
    def at(self, point: Tensor) -> Self:
        """Itself with its entries at a point of the unit cube, shape (num_coordinates,): every ψ the search may reach.

        A uniform point gives a uniform mean and uniform probabilities.
        """

    @abstractmethod
    def point(self) -> Tensor:
        """Where `at` has it, shape (num_coordinates,): probabilities below the floor count as the floor."""

    def near(self, num_widths: float) -> Tensor:
        """The part of the unit cube about `point` that is worth a look, shape (num_coordinates, 2); by default all."""
        return torch.tensor([[0.0, 1.0]] * self.num_coordinates, dtype=torch.float64)

    @abstractmethod
    def widest(self) -> Self:
        """Itself as wide as it can be and still be learned: moments as those of `uniform`."""

    @abstractmethod
    def entries(self) -> dict[str, float]:
        """The entries of ψ for logging, by category value, or under "" where there is one number only."""

    def annealed(self, factor: float) -> Self:
        """Itself with its exploration narrowed by `factor`; a distribution without a width stays as it is."""
        return self
