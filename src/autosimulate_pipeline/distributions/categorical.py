"""Categorical over two or more values."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from autosimulate_pipeline.distributions.base import Value
from autosimulate_pipeline.distributions.discrete import (
    Discrete,
    centred_means,
    one_hot,
    over,
    probability_floor,
    project_on_floored_simplex,
)


class Categorical(Discrete):
    """Value i with probability p_i; the entries of ψ are the probabilities, which sum to 1."""

    distribution: Literal["categorical"] = "categorical"
    values: tuple[Value, ...] = Field(description="the values")
    probabilities: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(description="their probabilities")

    @model_validator(mode="after")
    def _probabilities_fit(self) -> Self:
        if len(self.probabilities) != len(self.values):
            raise ValueError(f"probabilities must be {len(self.values)}, one per value, got {len(self.probabilities)}")
        if abs(sum(self.probabilities) - 1) > 1e-6:
            raise ValueError(f"probabilities must sum to 1, got {sum(self.probabilities):g}")
        return self

    @property
    def learned_entries(self) -> tuple[str, ...]:
        return tuple(map(str, self.values))

    @property
    def num_coordinates(self) -> int:
        """One less than there are values: their probabilities sum to 1."""
        return len(self.values) - 1

    def weights(self) -> Tensor:
        return torch.tensor(self.probabilities, dtype=torch.float64)

    def score(self, draws: Tensor) -> Tensor:
        """[s = i]/p_i − 1, shape (K, num_values): the gradient of log(p_s / Σ_j p_j) at Σ_j p_j = 1.

        The normalisation makes its mean 0. It subtracts the same E[f] from every entry of equation (4), a direction
        that Σ_i p_i = 1 forbids anyway.
        """
        return over(one_hot(draws, len(self.values)), self.weights()) - 1

    def expectation_gradient(self, influences: Tensor, draws: Tensor) -> Tensor:
        """f̄(i), shape (num_values,): equation (4) of the supplement, less the mean over values; 0 where not drawn."""
        return centred_means(influences, draws, len(self.values))

    def standardised_gradient(self, advantages: Tensor, draws: Tensor) -> Tensor:
        """Mean of a_k ([s_k = i] − p_i) over √(p_i(1 − p_i)), shape (num_values,); 0 for a value that was not drawn."""
        drawn, probabilities = one_hot(draws, len(self.values)), self.weights()
        covariance = (advantages.unsqueeze(1) * (drawn - probabilities)).mean(dim=0)
        deviation = (probabilities * (1 - probabilities)).sqrt()
        return torch.where(drawn.any(dim=0), over(covariance, deviation), 0.0)

    def stepped(self, standardised_gradient: Tensor, step_size: float) -> Self:
        """Itself after a step of every value's log-odds, on the floored simplex.

        A value against all others is a Bernoulli, and d log p_i = (1 − p_i) d logit p_i: the log probabilities move by
        step_size · (1 − p_i) c_i before they are normalised. Two values step exactly as a Bernoulli does.
        """
        probabilities = self.weights()
        step = step_size * (1 - probabilities) * standardised_gradient
        return self._at(torch.softmax(probabilities.log() + step, dim=0))

    def ascended(self, expectation_gradient: Tensor, learning_rate: float) -> Self:
        return self._at(self.weights() + learning_rate * expectation_gradient)

    def at(self, point: Tensor) -> Self:
        """Itself with the shares of a broken stick, above the floor: Dirichlet(1, …, 1) for a uniform u.

        Of n values, value i leaves u_i^(1/(n − 1 − i)) of the stick to those after it (Sethuraman's construction: what
        it takes is Beta(1, n − 1 − i)). Of two values, u is the probability of the second, as in a Bernoulli.
        """
        num_values = len(self.values)
        later = torch.arange(num_values - 1, 0, -1, dtype=torch.float64)
        left = point.clamp(0, 1).pow(1 / later).cumprod(dim=0)
        shares = torch.cat([left.new_ones(1), left]) - torch.cat([left, left.new_zeros(1)])
        floor = probability_floor(num_values)
        return self._at(floor + (1 - num_values * floor) * shares)

    def point(self) -> Tensor:
        num_values = len(self.values)
        shares = (self.weights() - probability_floor(num_values)).clamp(min=1e-9)
        left = 1 - (shares / shares.sum()).cumsum(dim=0)[:-1].clamp(max=1)
        before = torch.cat([left.new_ones(1), left[:-1]])
        later = torch.arange(num_values - 1, 0, -1, dtype=torch.float64)
        return (left / before.clamp(min=1e-12)).clamp(0, 1) ** later

    def widest(self) -> Self:
        num_values = len(self.values)
        return self.model_copy(update={"probabilities": (1 / num_values,) * num_values})

    def with_probabilities(self, probabilities: Tensor) -> Self:
        return self._at(probabilities)

    def uniform(self) -> Categorical:
        return self.widest().model_copy(update={"learned": False})

    def _at(self, point: Tensor) -> Self:
        return self.model_copy(update={"probabilities": tuple(project_on_floored_simplex(point).tolist())})
