"""Controls that a claim needs: the same loop, warm start and budget, with a distribution that never learns."""

from __future__ import annotations

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.records import HypergradientReport
from autosimulate_pipeline.search.base import Observation, SearchMethod, SearchState, advanced


class Frozen(SearchMethod):
    """ψ stays at the start: what warm-started training on more images gives by itself."""

    name = "frozen"

    def update(self, state: SearchState, observation: Observation) -> tuple[SearchState, HypergradientReport]:
        """The next state; never a hypergradient."""
        return advanced(state, observation, self.loop), HypergradientReport()


class DomainRandomisation(Frozen):
    """Every learned parameter uniform over its range: the strongest control, for it needs no search."""

    name = "domain_randomisation"

    def init(self, start: ProductDistribution, seed: int, num_pilot_images: int = 0) -> SearchState:
        """The state before the first iteration, at the widest distribution."""
        return super().init(start.uniform(), seed, num_pilot_images)
