"""Several runs on one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from autosimulate_pipeline.distributions import Gaussian, ProductDistribution
from autosimulate_pipeline.evaluation.comparison import bootstrap_interval
from autosimulate_pipeline.records import EvaluationReport
from autosimulate_pipeline.reporting.comparison import Curve, median_curve
from autosimulate_pipeline.reporting.pages import render_page
from autosimulate_pipeline.reporting.palette import LINES
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, metrics, test_metrics
from autosimulate_pipeline.reporting.svg import Line, line_chart, number
from autosimulate_pipeline.search.base import SearchState

CURVES = ("mIoU", "mAP", "mAP50")
"""Metrics in the order in which they are preferred; the first two that all runs have get curves."""

SEED_KEYS = ("run", "seed")
"""Settings that may differ between the runs of a group."""


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """What a run has left on disk.

    Attributes:
        settings: `pipeline` and all parameters by dotted key, as the run recorded them.
        states: before the first iteration and after each; none of a run that searches nothing.
        validation: of each iteration that was not left out.
        seconds: what the run had taken when each iteration's network was evaluated; empty if that is not known.
        summary: None if the run has not come to its end.
    """

    name: str
    settings: Mapping[str, Any]
    states: Sequence[SearchState]
    validation: Sequence[EvaluationReport]
    seconds: Sequence[float]
    summary: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ by their seed alone."""

    label: str
    runs: Sequence[ComparedRun]


def render_comparison(runs: Sequence[ComparedRun]) -> str:
    """The page."""
    groups = grouped(runs)
    return render_page(
        "comparison.html.jinja",
        groups=groups,
        num_runs=len(runs),
        charts=curve_charts(groups),
        network_rows=network_rows(groups),
        metric_names=_shared_metrics([of_one for run in runs for of_one in _tested(run).values()]),
        parameters=parameters_side_by_side(groups),
        differences=differing_settings(groups),
    )


def grouped(runs: Sequence[ComparedRun]) -> list[Group]:
    """The runs by their settings but the seed, in the order given; called after method and what tells them apart."""
    by_settings: dict[str, list[ComparedRun]] = {}
    for run in runs:
        key = repr(sorted((key, value) for key, value in run.settings.items() if key not in SEED_KEYS))
        by_settings.setdefault(key, []).append(run)
    methods = [str(members[0].settings["pipeline"]) for members in by_settings.values()]
    groups = []
    for method, members in zip(methods, by_settings.values(), strict=True):
        is_told_apart = methods.count(method) == 1
        label = method if is_told_apart else (members[0].name if len(members) == 1 else f"{members[0].name} and others")
        groups.append(Group(label, members))
    return groups


def curve_charts(groups: Sequence[Group]) -> list[Markup]:
    """Validation metrics and loss by images and by minutes; of several seeds each thin, their median thick."""
    reports = [metrics(report) for group in groups for run in group.runs for report in run.validation]
    if not reports:
        return []
    values: dict[str, Callable[[EvaluationReport], float]] = {
        f"validation {METRIC_LABELS[metric]}": lambda report, metric=metric: metrics(report)[metric]  # type: ignore[misc]
        for metric in sorted(_shared_metrics(reports), key=CURVES.index)[:2]
    }
    costs: dict[str, Callable[[ComparedRun], Sequence[float]]] = {"images": _images, "minutes": _minutes}
    charts = [
        line_chart(f"{title[0].upper()}{title[1:]} by {cost}", _lines(groups, at, value), cost, y_limits=(0, None))
        for title, value in values.items()
        for cost, at in costs.items()
    ]
    loss = [
        line_chart(
            f"Validation loss by {cost}", _lines(groups, at, lambda report: report.loss), cost, y_limits=(0, None)
        )
        for cost, at in costs.items()
    ]
    return [chart for chart in charts + loss if chart]


def network_rows(groups: Sequence[Group]) -> list[tuple[str, str, int, dict[str, str]]]:
    """Group, network, number of runs, and the mean of each metric, with its 95 % interval where there are several."""
    rows = []
    for group in groups:
        tested = [_tested(run) for run in group.runs]
        for where in dict.fromkeys(where for of_run in tested for where in of_run):
            of_network = [of_run[where] for of_run in tested if where in of_run]
            told = {}
            for metric in of_network[0]:
                interval = bootstrap_interval([of_one[metric] for of_one in of_network])
                told[metric] = str(interval) if len(of_network) > 1 else f"{interval.mean:.3f}"
            rows.append((group.label, where, len(of_network), told))
    return rows


def parameters_side_by_side(groups: Sequence[Group]) -> dict[str, list[str]]:
    """For each entry of ψ and each group what it was at the end: a value, or the mean over seeds and their range."""
    ends = [[run.states[-1].distribution for run in group.runs if run.states] for group in groups]
    names = dict.fromkeys(name for of_group in ends for end in of_group for name in end.entries())
    units = {
        name: distribution.unit
        for of_group in ends
        for end in of_group
        for name, distribution in end.parameters.items()
        if isinstance(distribution, Gaussian)
    }
    return {
        f"{name}, {units[name]}" if units.get(name) else name: [_entry_in_words(name, of_group) for of_group in ends]
        for name in names
    }


def differing_settings(groups: Sequence[Group]) -> dict[str, list[str]]:
    """By dotted key the values of each group, for settings that are not the same in all; the runs' names left out."""
    keys = dict.fromkeys(key for group in groups for run in group.runs for key in run.settings if key != "run")
    by_key = {
        key: [list(dict.fromkeys(str(run.settings.get(key, "–")) for run in group.runs)) for group in groups]
        for key in keys
    }
    return {
        key: [", ".join(values) for values in of_groups]
        for key, of_groups in by_key.items()
        if len({value for values in of_groups for value in values}) > 1
    }


def _tested(run: ComparedRun) -> dict[str, dict[str, float]]:
    return test_metrics(run.summary) if run.summary else {}


def _shared_metrics(reports: Sequence[Mapping[str, float]]) -> list[str]:
    """The metrics that all of them have."""
    return [metric for metric in METRIC_LABELS if reports and all(metric in report for report in reports)]


def _images(run: ComparedRun) -> Sequence[float]:
    return [float(state.images_rendered) for state in run.states[1 : len(run.validation) + 1]]


def _minutes(run: ComparedRun) -> Sequence[float]:
    return [seconds / 60 for seconds in run.seconds[: len(run.validation)]]


def _lines(
    groups: Sequence[Group],
    costs: Callable[[ComparedRun], Sequence[float]],
    value: Callable[[EvaluationReport], float],
) -> list[Line]:
    lines = []
    for index, group in enumerate(groups):
        colour = index % len(LINES)
        curves = [
            Curve(costs(run), [value(report) for report in run.validation][: len(costs(run))])
            for run in group.runs
            if costs(run) and run.validation
        ]
        if len(curves) > 1:
            lines += [Line("", curve.costs, curve.values, colour, "thin") for curve in curves]
            median = median_curve(curves)
            lines.append(Line(group.label, median.costs, median.values, colour, "plain"))
        else:
            lines += [Line(group.label, curve.costs, curve.values, colour) for curve in curves]
    return lines


def _entry_in_words(name: str, ends: Sequence[ProductDistribution]) -> str:
    values = [end.entries()[name] for end in ends if name in end.entries()]
    if not values:
        return "–"
    told = number(float(f"{sum(values) / len(values):.3g}"))
    if len(values) == 1:
        return told
    return f"{told} ({number(float(f'{min(values):.3g}'))} to {number(float(f'{max(values):.3g}'))})"
