"""p_ψ: the independent product of the distributions of all simulator parameters.

Everything outside this package talks to the product alone. Its JSON is conf's block, `{name: {distribution: …}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self, get_args

import torch
from pydantic import ConfigDict, Field, RootModel, model_validator
from torch import Tensor

from autosimulate_pipeline.distributions.base import Distribution, LearnableDistribution
from autosimulate_pipeline.distributions.bernoulli import Bernoulli
from autosimulate_pipeline.distributions.categorical import Categorical
from autosimulate_pipeline.distributions.gaussian import Gaussian
from autosimulate_pipeline.distributions.uniform import Uniform
from autosimulate_pipeline.records import Scene

SEED_COLUMN, DRAW_SUFFIX = "seed", ".draw"
"""In tables of scenes: the column of render seeds, and what the column of a parameter's unclipped draws ends in."""

AnyDistribution = Annotated[Gaussian | Bernoulli | Categorical | Uniform, Field(discriminator="distribution")]
"""Of all kinds: the line in which a new one is added."""

DISTRIBUTIONS: dict[str, type[Distribution]] = {
    kind.model_fields["distribution"].default: kind for kind in get_args(get_args(AnyDistribution)[0])
}
"""The kinds by the name they have in conf."""


class ProductDistribution(RootModel[dict[str, AnyDistribution]]):
    """Independent parameters by name, in conf's order; a parameter that is null in conf is switched off.

    Draws have shape (K, num_dims), a column per parameter. Gradients have shape (num_parameters,): the entries of the
    learned parameters, one after the other.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, parameters: Any) -> Any:
        if isinstance(parameters, Mapping):
            return {name: settings for name, settings in parameters.items() if settings is not None}
        return parameters

    @model_validator(mode="after")
    def _has_a_parameter(self) -> Self:
        if not self.root:
            raise ValueError("at least one parameter must have a distribution, got none")
        for name in self.root:
            if name == SEED_COLUMN or name.endswith(DRAW_SUFFIX):
                raise ValueError(
                    f"a parameter's name must not be {SEED_COLUMN} and not end in {DRAW_SUFFIX}, as other columns of "
                    f"a table of scenes do, got {name}"
                )
        return self

    @property
    def parameters(self) -> dict[str, AnyDistribution]:
        """The distributions by name, one per column of the draws."""
        return self.root

    @property
    def num_parameters(self) -> int:
        """The length of a gradient; 0 where nothing is learned."""
        return sum(distribution.num_parameters for distribution in self.learned.values())

    @property
    def num_coordinates(self) -> int:
        """The length of a point of the unit cube: the dimension of ψ."""
        return sum(distribution.num_coordinates for distribution in self.learned.values())

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Unclipped draws, shape (num_samples, num_dims), float64."""
        return torch.stack([d.sample(num_samples, generator) for d in self.root.values()], dim=1)

    def scenes(self, draws: Tensor) -> list[Scene]:
        """What the simulator gets for each draw, clipped to the ranges."""
        columns = [self.root[name].to_values(column) for name, column in self._columns(draws).items()]
        return [dict(zip(self.root, values, strict=True)) for values in zip(*columns, strict=True)]

    def extremes(self) -> list[Scene]:
        """A few scenes in which every parameter takes both its ends, or every value, at least once."""
        ends = {name: distribution.extremes() for name, distribution in self.root.items()}
        num_scenes = max(map(len, ends.values()))
        return [{name: values[i % len(values)] for name, values in ends.items()} for i in range(num_scenes)]

    def log_prob(self, draws: Tensor) -> Tensor:
        """log p_ψ(s_k), shape (K,)."""
        columns = self._columns(draws)
        return torch.stack([d.log_prob(columns[name]) for name, d in self.root.items()]).sum(dim=0)

    def score(self, draws: Tensor) -> Tensor:
        """∇_ψ log p_ψ(s_k), shape (K, num_parameters)."""
        columns = self._columns(draws)
        return torch.cat([draws[:, :0], *(d.score(columns[name]) for name, d in self.learned.items())], dim=1)

    def expectation_gradient(self, influences: Tensor, draws: Tensor) -> Tensor:
        """The supplement's estimate of ∇_ψ E[f(s)], equations (2) to (4), shape (num_parameters,).

        Args:
            influences: f(s_k) for each draw and parameter, in the shape of the draws.
            draws: shape (K, num_dims).
        """
        f, columns = self._columns(influences.to(draws)), self._columns(draws)
        gradients = (d.expectation_gradient(f[name], columns[name]) for name, d in self.learned.items())
        return torch.cat([draws.new_empty(0), *gradients])

    def standardised_gradient(self, advantages: Tensor, draws: Tensor) -> Tensor:
        """Mean of a_k z_k, z the score over its standard deviation under p_ψ, shape (num_parameters,).

        Args:
            advantages: for each draw and parameter, in the shape of the draws.
            draws: shape (K, num_dims).
        """
        a, columns = self._columns(advantages.to(draws)), self._columns(draws)
        gradients = (d.standardised_gradient(a[name], columns[name]) for name, d in self.learned.items())
        return torch.cat([draws.new_empty(0), *gradients])

    def stepped(self, standardised_gradient: Tensor, step_size: float) -> Self:
        """The product after a step of `step_size` along the standardised gradient."""
        return self.with_parameters(
            {name: d.stepped(part, step_size) for name, d, part in self._parts(standardised_gradient)}
        )

    def ascended(self, expectation_gradient: Tensor, learning_rate: float) -> Self:
        """The product after ψ ← ψ + learning_rate · expectation_gradient, projected on what is allowed."""
        parts = self._parts(expectation_gradient)
        return self.with_parameters(
            {name: distribution.ascended(part, learning_rate) for name, distribution, part in parts}
        )

    def at(self, point: Tensor) -> Self:
        """The product with its learned entries at a point of the unit cube, shape (num_coordinates,)."""
        learned = self.learned
        parts = torch.split(point, [distribution.num_coordinates for distribution in learned.values()])
        return self.with_parameters({name: d.at(part) for (name, d), part in zip(learned.items(), parts, strict=True)})

    def point(self) -> Tensor:
        """Where `at` has the product, shape (num_coordinates,)."""
        return torch.cat([torch.empty(0, dtype=torch.float64), *(d.point() for d in self.learned.values())])

    def near(self, num_widths: float) -> Tensor:
        """The part of the unit cube about `point` within so many widths, shape (num_coordinates, 2)."""
        return torch.cat([torch.empty(0, 2).double(), *(d.near(num_widths) for d in self.learned.values())])

    def annealed(self, factor: float) -> Self:
        """The product with the widths of its learned parameters narrowed by `factor`."""
        return self.with_parameters(
            {name: distribution.annealed(factor) for name, distribution in self.learned.items()}
        )

    def uniform(self) -> Self:
        """The domain-randomisation counterpart: what was learned covers its whole range, the rest stays as it is."""
        return self.with_parameters({name: distribution.uniform() for name, distribution in self.learned.items()})

    def widest(self) -> Self:
        """The product with its learned parameters as wide as they can be and still be learned."""
        return self.with_parameters({name: distribution.widest() for name, distribution in self.learned.items()})

    def entries(self) -> dict[str, float]:
        """The entries of ψ for logging: `ambient_light`, `cube_material/rubber`, … of the learned parameters.

        A Bernoulli shows both its probabilities: the supplement's CLEVR table then counts 19 entries.
        """
        return {
            _entry_name(name, value): entry
            for name, distribution in self.learned.items()
            for value, entry in distribution.entries().items()
        }

    def learned_entries(self) -> tuple[str, ...]:
        """The names of the numbers of a gradient: those of `entries`, but for the first value of a Bernoulli."""
        return tuple(_entry_name(name, value) for name, d in self.learned.items() for value in d.learned_entries)

    @property
    def learned(self) -> dict[str, LearnableDistribution]:
        """The distributions that the search may move, by name."""
        return {name: d for name, d in self.root.items() if isinstance(d, LearnableDistribution) and d.learned}

    def _columns(self, matrix: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.root, matrix.unbind(1), strict=True))

    def _parts(self, gradient: Tensor) -> list[tuple[str, LearnableDistribution, Tensor]]:
        learned = self.learned
        parts = torch.split(gradient.detach().cpu().double(), [d.num_parameters for d in learned.values()])
        return [(name, d, part) for (name, d), part in zip(learned.items(), parts, strict=True)]

    def with_parameters(self, changed: Mapping[str, Any]) -> Self:
        """The product with other distributions for some parameters."""
        return self.model_construct(root={name: changed.get(name, d) for name, d in self.root.items()})


def _entry_name(parameter: str, value: str) -> str:
    return f"{parameter}/{value}" if value else parameter
