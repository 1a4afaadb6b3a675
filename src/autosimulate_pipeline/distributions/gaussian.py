"""Gaussian with a learned mean and a width that the search anneals."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, FiniteFloat, model_validator
from torch import Tensor

from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.distributions.uniform import Uniform

UNIFORM_WIDTH = 1 / math.sqrt(12)
"""Standard deviation of a number uniform over its range, as a share of the range."""


class Gaussian(LearnableDistribution):
    """N(mean, (width · (high − low))²) over a range in physical units.

    Draws are clipped to the range only on their way to the simulator: the score of the unclipped draw is the true
    one, so clipping adds no bias. Gradients are with respect to the mean in unit-range coordinates
    u = (s − low)/(high − low), so that one learning rate suits lights of 0 to 100 and locations of ±10.
    """

    distribution: Literal["gaussian"] = "gaussian"
    low: FiniteFloat = Field(description="lower end of the range, in `unit`")
    high: FiniteFloat = Field(description="upper end of the range, in `unit`")
    mean: FiniteFloat = Field(description="mean, in `unit`: the entry of ψ")
    width: float = Field(default=0.3, gt=0, le=1, description="standard deviation as a share of high - low")
    unit: str = Field(default="", description="physical unit, for people")

    @model_validator(mode="after")
    def _mean_is_in_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got low={self.low:g}, high={self.high:g}")
        if not self.low <= self.mean <= self.high:
            raise ValueError(f"mean must be within [low, high] = [{self.low:g}, {self.high:g}], got {self.mean:g}")
        return self

    @property
    def learned_entries(self) -> tuple[str]:
        return ("",)

    @property
    def _range(self) -> float:
        return self.high - self.low

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num_samples, generator=generator, dtype=torch.float64)
        return self.mean + self.width * self._range * noise

    def to_values(self, draws: Tensor) -> list[float]:
        return draws.clamp(self.low, self.high).tolist()

    def log_prob(self, draws: Tensor) -> Tensor:
        return -0.5 * self._z(draws) ** 2 - math.log(self.width * math.sqrt(2 * math.pi))

    def score(self, draws: Tensor) -> Tensor:
        """Σ⁻¹(u − μ) in the unit range, shape (K, 1): the term after equation (1) of the supplement."""
        return (self._z(draws) / self.width).unsqueeze(1)

    def expectation_gradient(self, influences: Tensor, draws: Tensor) -> Tensor:
        """Mean of f(s_k) Σ⁻¹(u_k − μ), shape (1,): equation (2) of the supplement in the unit range."""
        return (influences.unsqueeze(1) * self.score(draws)).mean(dim=0)

    def standardised_gradient(self, advantages: Tensor, draws: Tensor) -> Tensor:
        """Mean of a_k z_k with z = (s − μ)/σ, shape (1,)."""
        return (advantages * self._z(draws)).mean().unsqueeze(0)

    def stepped(self, standardised_gradient: Tensor, step_size: float) -> Self:
        """Itself with the mean moved by `step_size · standardised_gradient` of its own widths."""
        return self._moved(step_size * self.width * standardised_gradient.item())

    def ascended(self, expectation_gradient: Tensor, learning_rate: float) -> Self:
        return self._moved(learning_rate * expectation_gradient.item())

    def at(self, point: Tensor) -> Self:
        mean = self.low + point.clamp(0, 1).item() * self._range
        return self.model_copy(update={"mean": min(mean, self.high)})  # rounding can pass the end of the range

    def point(self) -> Tensor:
        return torch.tensor([(self.mean - self.low) / self._range], dtype=torch.float64)

    def near(self, num_widths: float) -> Tensor:
        """So many widths about the mean, within the range."""
        centre = self.point()
        return torch.stack([centre - num_widths * self.width, centre + num_widths * self.width], dim=1).clamp(0, 1)

    def annealed(self, factor: float) -> Self:
        return self.model_copy(update={"width": self.width * factor})

    def entries(self) -> dict[str, float]:
        return {"": self.mean}

    def extremes(self) -> tuple[float, float, float]:
        return self.low, self.high, self.low + (self.high - self.low) / math.e

    def in_words(self) -> str:
        """As in `60 ± 5 %, within 0 to 100 %`."""
        unit = f" {self.unit}".rstrip()
        return f"{self.mean:.4g} ± {self.width * self._range:.4g}{unit}, within {self.low:g} to {self.high:g}{unit}"

    def widest(self) -> Self:
        """Mean and standard deviation of the uniform distribution over the range."""
        return self.model_copy(update={"mean": (self.low + self.high) / 2, "width": UNIFORM_WIDTH})

    def uniform(self) -> Uniform:
        return Uniform(low=self.low, high=self.high, unit=self.unit)

    def _z(self, draws: Tensor) -> Tensor:
        return (draws - self.mean) / (self.width * self._range)

    def _moved(self, unit_step: float) -> Self:
        mean = self.mean + unit_step * self._range
        return self.model_copy(update={"mean": min(max(mean, self.low), self.high)})
