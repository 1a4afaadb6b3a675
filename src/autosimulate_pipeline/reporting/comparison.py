"""Figures that compare methods over seeds; plain matplotlib, colours safe for the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from autosimulate_pipeline.evaluation.comparison import Interval
from autosimulate_pipeline.reporting.palette import LINES, STAGE_COLOURS


@dataclass(frozen=True)
class Curve:
    """What one run had to show as it went on: at each of the ascending `costs` one of `values`."""

    costs: Sequence[float]
    values: Sequence[float]


def median_curve(runs: Sequence[Curve]) -> Curve:
    """The median of the interpolated runs over the costs that all of them span; empty where they share none."""
    shared = np.unique(np.concatenate([np.asarray(run.costs, dtype=float) for run in runs]))
    shared = shared[(shared >= max(run.costs[0] for run in runs)) & (shared <= min(run.costs[-1] for run in runs))]
    medians = np.median([np.interp(shared, run.costs, run.values) for run in runs], axis=0)
    return Curve(shared.tolist(), medians.tolist())


def by_cost(curves: Mapping[str, Sequence[Curve]], cost: str, value: str) -> Figure:
    """Each method's runs as thin lines and their median as a thick one, over a logarithmic cost.

    Args:
        curves: the runs of each method.
        cost, value: what the axes are called.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for (method, runs), colour in zip(curves.items(), LINES * 2, strict=False):
        for run in runs:
            axes.plot(run.costs, run.values, color=colour, alpha=0.25, linewidth=0.8)
        median = median_curve(runs)
        if median.costs:
            axes.plot(median.costs, median.values, color=colour, linewidth=2, label=method)
    axes.set(xscale="log", xlabel=f"{cost} (logarithmic)", ylabel=value, ylim=(0, 1))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    _calm(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def at_points(intervals: Mapping[str, Mapping[float, Interval]], point: str, value: str) -> Figure:
    """Each method's mean with its 95 % interval at a few points of a logarithmic axis.

    Args:
        intervals: by method and point.
        point, value: what the axes are called.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for index, ((method, by_point), colour) in enumerate(zip(intervals.items(), LINES * 2, strict=False)):
        points = np.array(sorted(by_point)) * (1 + 0.02 * (index - len(intervals) / 2))  # apart, so that all are seen
        means, lows, highs = (
            np.array([getattr(by_point[key], end) for key in sorted(by_point)]) for end in ("mean", "low", "high")
        )
        errors = np.stack([means - lows, highs - means]).clip(min=0)
        axes.errorbar(points, means, errors, color=colour, label=method, marker="o", markersize=4, capsize=2)
    ticks = sorted({key for by_point in intervals.values() for key in by_point})
    axes.set(xscale="log", xlabel=f"{point} (logarithmic)", ylabel=value, ylim=(0, 1))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    _calm(axes)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def time_by_stage(seconds: Mapping[str, Mapping[str, float]]) -> Figure:
    """A bar for each method, its minutes parted by stage.

    Args:
        seconds: by method and stage, for one run.
    """
    figure = Figure(figsize=(6.4, 0.5 + 0.42 * len(seconds)), layout="constrained")
    axes = figure.subplots()
    methods = list(seconds)[::-1]
    left = np.zeros(len(methods))
    for stage, colour in STAGE_COLOURS.items():
        widths = np.array([seconds[method].get(stage, 0.0) / 60 for method in methods])
        axes.barh(methods, widths, left=left, color=colour, label=stage, height=0.65)
        left += widths
    axes.set_xlabel("minutes of one run")
    _calm(axes)
    axes.legend(frameon=False, fontsize=8, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def _calm(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
