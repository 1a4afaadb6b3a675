"""Search methods by name: how ψ is chosen from one iteration to the next."""

from __future__ import annotations

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.search.autosimulate import AutoSimulate
from autosimulate_pipeline.search.base import SearchMethod
from autosimulate_pipeline.search.black_box import Bayesian, Random
from autosimulate_pipeline.search.controls import DomainRandomisation, Frozen
from autosimulate_pipeline.search.lts import LearningToSimulate
from autosimulate_pipeline.search.settings import (
    LoopSettings,
    LoopTrainingSettings,
    SearchSettings,
    hypergradient_in_mode,
)

__all__ = [
    "SEARCH_METHODS",
    "LoopSettings",
    "LoopTrainingSettings",
    "SearchMethod",
    "SearchSettings",
    "build_search_method",
    "hypergradient_in_mode",
    "starting_distribution",
]

SEARCH_METHODS: dict[str, type[SearchMethod]] = {
    method.name: method for method in (AutoSimulate, LearningToSimulate, Bayesian, Random, Frozen, DomainRandomisation)
}


def starting_distribution(
    settings: SearchSettings, configured: ProductDistribution, inferred: ProductDistribution | None
) -> ProductDistribution:
    """p_ψ before the first iteration, as `search.start` says.

    Raises:
        ValueError: if it says inferred, and nothing was.
    """
    if settings.start == "configured":
        return configured
    if settings.start == "uniform":
        return configured.widest()
    if inferred is None:
        raise ValueError("search.start must be configured or uniform where nothing was inferred, got inferred")
    return inferred


def build_search_method(
    name: str, loop: LoopSettings, search: SearchSettings, hypergradient: HypergradientSettings
) -> SearchMethod:
    """The search method of that name; its `search` and `hypergradient` hold what the mode fills in.

    Raises:
        ValueError: if there is none.
    """
    if name not in SEARCH_METHODS:
        raise ValueError(f"search method must be one of {', '.join(SEARCH_METHODS)}, got {name!r}")
    given = hypergradient.model_dump(exclude_unset=True)
    filled = HypergradientSettings.model_validate(hypergradient_in_mode(search.mode, given))
    return SEARCH_METHODS[name](loop, search, filled)
