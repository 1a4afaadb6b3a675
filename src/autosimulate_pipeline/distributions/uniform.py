"""Uniform distribution over a range: domain randomisation and nuisance parameters."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, FiniteFloat, model_validator
from torch import Tensor

from autosimulate_pipeline.distributions.base import Distribution


class Uniform(Distribution):
    """Every number of [low, high] alike; nothing is learned."""

    distribution: Literal["uniform"] = "uniform"
    low: FiniteFloat = Field(description="lower end of the range, in `unit`")
    high: FiniteFloat = Field(description="upper end of the range, in `unit`")
    unit: str = Field(default="", description="physical unit, for people")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got low={self.low:g}, high={self.high:g}")
        return self

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        unit_draws = torch.rand(num_samples, generator=generator, dtype=torch.float64)
        return self.low + (self.high - self.low) * unit_draws

    def to_values(self, draws: Tensor) -> list[float]:
        return draws.clamp(self.low, self.high).tolist()

    def log_prob(self, draws: Tensor) -> Tensor:
        """0 inside the range, −∞ outside, shape (K,): the density of the unit range is 1."""
        is_inside = (draws >= self.low) & (draws <= self.high)
        return torch.zeros_like(draws).masked_fill(~is_inside, -math.inf)

    def extremes(self) -> tuple[float, float, float]:
        return self.low, self.high, self.low + (self.high - self.low) / math.e

    def in_words(self) -> str:
        """As in `0 to 100 %`."""
        return f"{self.low:g} to {self.high:g} {self.unit}".rstrip()

    def uniform(self) -> Uniform:
        return self
