"""Controls that a claim needs: the same loop, warm start and budget, with a distribution that never learns."""

from __future__ import annotations

from dataclasses import dataclass

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.records import HypergradientReport
from autosimulate_pipeline.search.base import LoopSettings, Observation, SearchState, advanced


@dataclass(frozen=True)
class Frozen:
    """ψ stays at the start: what warm-started training on more images gives by itself."""

    loop: LoopSettings
    name: str = "frozen"

    def init(self, start: ProductDistribution, seed: int) -> SearchState:
        """The state before the first iteration."""
        return SearchState(method=self.name, seed=seed, distribution=start)

    def propose(self, state: SearchState) -> ProductDistribution:
        """Always the distribution of the start."""
        return state.distribution

    def update(self, state: SearchState, observation: Observation) -> tuple[SearchState, HypergradientReport]:
        """The next state; never a hypergradient."""
        return advanced(state, observation, self.loop), HypergradientReport()


@dataclass(frozen=True)
class DomainRandomisation(Frozen):
    """Every learned parameter uniform over its range: the strongest control, for it needs no search."""

    name: str = "domain_randomisation"

    def init(self, start: ProductDistribution, seed: int) -> SearchState:
        """The state before the first iteration, at the widest distribution."""
        return SearchState(method=self.name, seed=seed, distribution=start.uniform())
