"""Comparisons over seeds: intervals, costs of a level, and their figures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from autosimulate_pipeline.evaluation.comparison import Interval, bootstrap_interval, cost_to_reach, median_cost
from autosimulate_pipeline.reporting.comparison import Curve, at_points, by_cost, time_by_stage


def test_bootstrap_interval_is_that_of_the_normal_approximation_for_many_values() -> None:
    """Mean ± 1.96 standard errors, to a tenth of the interval's half-width: 10,000 resamples give its ends to 2 %."""
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    interval = bootstrap_interval(list(values))
    half_width = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)
    assert bootstrap_interval(list(values)) == interval


def test_bootstrap_interval_of_one_value_is_that_value() -> None:
    assert bootstrap_interval([0.25]) == Interval(0.25, 0.25, 0.25)
    assert str(bootstrap_interval([0.25])) == "0.250 [0.250, 0.250]"


@pytest.mark.parametrize("values", [[], [0.5, math.nan]])
def test_bootstrap_interval_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values must be finite and at least one"):
        bootstrap_interval(values)


def test_cost_of_a_level_is_the_first_at_which_it_is_reached() -> None:
    assert cost_to_reach(0.5, [0.1, 0.5, 0.4, 0.9], [30, 60, 90, 120]) == 60
    assert cost_to_reach(0.95, [0.1, 0.5, 0.4, 0.9], [30, 60, 90, 120]) is None


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ([60.0, 90.0, 300.0], "90"),
        ([60.0, None, 90.0], "90"),
        ([None, 60.0, None], ">750"),
        ([60.0, None], ">380"),  # between 60 and more than 700
        ([100.0, 900.0, None], ">800"),
        ([None, 900.0, 950.0], ">900"),  # the first run may have needed 930
    ],
)
def test_median_cost_keeps_censored_runs_apart(reached: list[float | None], told: str) -> None:
    assert median_cost(reached, [750.0, 700.0, 800.0][: len(reached)]) == told


def test_figures_are_drawn_whatever_the_runs_have_in_common(tmp_path: Path) -> None:
    """Runs of different lengths, even without a common cost; a method with one point."""
    curves = {
        "ours": [Curve([30, 60, 90], [0.1, 0.4, 0.6]), Curve([30, 60], [0.2, 0.3])],
        "other": [Curve([30], [0.1]), Curve([500], [0.2])],
    }
    intervals = {
        "ours": {100.0: Interval(0.5, 0.4, 0.6), 200.0: Interval(0.6, 0.6, 0.6)},
        "other": {100.0: Interval(0.3, 0.2, 0.4)},
    }
    figures = [
        by_cost(curves, "images", "mIoU"),
        at_points(intervals, "images", "mIoU"),
        time_by_stage({"ours": {"render": 60, "train": 120, "other": 5}, "other": {"train": 30}}),
    ]
    for number, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{number}.png")
    (costs,), (points,), (stages,) = (figure.axes for figure in figures)
    drawn = [(line.get_label(), [*line.get_xdata()], [*line.get_ydata()]) for line in costs.lines]
    assert [line[1:] for line in drawn if line[0].startswith("_")] == [
        (list(curve.costs), list(curve.values)) for runs in curves.values() for curve in runs
    ]
    ((label, shared, medians),) = (line for line in drawn if not line[0].startswith("_"))
    assert (label, shared) == ("ours", [30, 60]), "the others share no cost"
    assert medians == pytest.approx([0.15, 0.35])
    for container, by_point in zip(points.containers, intervals.values(), strict=True):
        means, _, (bars,) = container.lines
        assert list(means.get_ydata()) == [interval.mean for interval in by_point.values()]
        ends = [sorted(segment[:, 1]) for segment in bars.get_segments()]
        assert ends == [pytest.approx([interval.low, interval.high]) for interval in by_point.values()]
    assert [text.get_text() for text in points.get_legend().get_texts()] == ["ours", "other"]
    minutes = {bar.get_label(): [patch.get_width() for patch in bar] for bar in stages.containers}
    for stage, expected in {"render": [0, 1], "train": [0.5, 2], "other": [0, 5 / 60]}.items():
        assert minutes[stage] == pytest.approx(expected)
    assert [tick.get_text() for tick in stages.get_yticklabels()] == ["other", "ours"]
