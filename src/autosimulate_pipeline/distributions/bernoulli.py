"""Bernoulli over two values."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from autosimulate_pipeline.distributions.base import Value
from autosimulate_pipeline.distributions.discrete import PROBABILITY_FLOOR, Discrete, centred_means, over


class Bernoulli(Discrete):
    """The second value with `probability`, else the first; the entry of ψ is `probability`."""

    distribution: Literal["bernoulli"] = "bernoulli"
    values: tuple[Value, Value] = Field(description="the two values")
    probability: float = Field(ge=0, le=1, description="probability of the second value")

    @property
    def learned_entries(self) -> tuple[str]:
        return (str(self.values[1]),)

    def weights(self) -> Tensor:
        return torch.tensor([1 - self.probability, self.probability], dtype=torch.float64)

    def score(self, draws: Tensor) -> Tensor:
        """(s − p) / (p(1 − p)), shape (K, 1)."""
        return over(draws - self.probability, self._variance()).unsqueeze(1)

    def expectation_gradient(self, influences: Tensor, draws: Tensor) -> Tensor:
        """f̄(1) − f̄(0), shape (1,): equation (3) of the supplement; 0 where one value was not drawn."""
        return centred_means(influences, draws, 2).diff()

    def standardised_gradient(self, advantages: Tensor, draws: Tensor) -> Tensor:
        """Mean of a_k (s_k − p) over √(p(1 − p)), shape (1,); 0 where one value was not drawn."""
        if draws.min() == draws.max():
            return torch.zeros(1, dtype=torch.float64)
        return (advantages * over(draws - self.probability, self._variance().sqrt())).mean().unsqueeze(0)

    def stepped(self, standardised_gradient: Tensor, step_size: float) -> Self:
        """Itself after a step of the logit, p kept off 0 and 1 by the floor."""
        logit = torch.tensor(self.probability, dtype=torch.float64).logit()
        return self._at(torch.sigmoid(logit + step_size * standardised_gradient.squeeze()).item())

    def ascended(self, expectation_gradient: Tensor, learning_rate: float) -> Self:
        return self._at(self.probability + learning_rate * expectation_gradient.item())

    def at(self, point: Tensor) -> Self:
        return self._at(PROBABILITY_FLOOR + point.clamp(0, 1).item() * (1 - 2 * PROBABILITY_FLOOR))

    def point(self) -> Tensor:
        share = (self.probability - PROBABILITY_FLOOR) / (1 - 2 * PROBABILITY_FLOOR)
        return torch.tensor([share], dtype=torch.float64).clamp(0, 1)

    def widest(self) -> Self:
        return self.model_copy(update={"probability": 0.5})

    def with_probabilities(self, probabilities: Tensor) -> Self:
        return self._at(probabilities[1].item())

    def uniform(self) -> Bernoulli:
        return self.widest().model_copy(update={"learned": False})

    def _variance(self) -> Tensor:
        return self.weights().prod()

    def _at(self, probability: float) -> Self:
        floored = min(max(probability, PROBABILITY_FLOOR), 1 - PROBABILITY_FLOOR)
        return self.model_copy(update={"probability": floored})
