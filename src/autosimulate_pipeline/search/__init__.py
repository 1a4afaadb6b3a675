"""Search methods by name: how ψ is chosen from one iteration to the next."""

from __future__ import annotations

from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.search.autosimulate import AutoSimulate, SearchSettings
from autosimulate_pipeline.search.base import LoopSettings, SearchMethod
from autosimulate_pipeline.search.controls import DomainRandomisation, Frozen

__all__ = ["SEARCH_METHODS", "LoopSettings", "SearchMethod", "SearchSettings", "build_search_method"]

SEARCH_METHODS = ("autosimulate", "frozen", "domain_randomisation")


def build_search_method(
    name: str, loop: LoopSettings, search: SearchSettings, hypergradient: HypergradientSettings
) -> SearchMethod:
    """The search method of that name.

    Raises:
        ValueError: if there is none.
    """
    match name:
        case "autosimulate":
            return AutoSimulate.from_conf(loop, search, hypergradient)
        case "frozen":
            return Frozen(loop)
        case "domain_randomisation":
            return DomainRandomisation(loop)
    raise ValueError(f"search method must be one of {', '.join(SEARCH_METHODS)}, got {name!r}")
