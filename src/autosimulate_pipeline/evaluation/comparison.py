"""Methods compared over seeds: means with intervals, and what it costs to reach a level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_interval(values: Sequence[float]) -> Interval:
    """The mean of `values`, one for each seed, with its 95 % percentile interval by bootstrap over seeds.

    Few seeds make it too narrow: with five it covers about 85 %. The resampling has a seed of its own, so that equal
    values give equal intervals.

    Raises:
        ValueError: if there is no value, or one is not finite.
    """
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values must be finite and at least one, got {list(values)}")
    resampled = np.random.default_rng(0).choice(values, (NUM_RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(np.mean(values)), float(low), float(high))


def cost_to_reach(level: float, values: Sequence[float], costs: Sequence[float]) -> float | None:
    """The first of the ascending `costs` at which a value is at least `level`; None where none is."""
    return next((cost for value, cost in zip(values, costs, strict=True) if value >= level), None)


def median_cost(reached: Sequence[float | None], spent: Sequence[float]) -> str:
    """The median over runs of what a level cost, as text; `>N` where it is known to be more than N alone.

    Args:
        reached: the cost of each run, or None where it ended without reaching the level (a censored run).
        spent: what each run had spent at its end: a censored run's cost is more.

    Raises:
        ValueError: if there is no run.
    """
    if not reached:
        raise ValueError("reached must have at least one run, got none")
    at_least = [end if cost is None else cost for cost, end in zip(reached, spent, strict=True)]
    middle = float(np.median(at_least))
    highest = sorted(at_least)[len(at_least) // 2]
    is_censored = any(cost is None and end <= highest for cost, end in zip(reached, spent, strict=True))
    return f"{'>' if is_censored else ''}{middle:.0f}"
