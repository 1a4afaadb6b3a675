"""Figures, summary and report of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, StageSeconds
from autosimulate_pipeline.reporting import figures
from autosimulate_pipeline.reporting.report import render_report
from autosimulate_pipeline.reporting.summary import summarise
from autosimulate_pipeline.search import SearchSettings
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.task_models import TaskModelSettings, Weights, build_task_model

NUM_VALIDATION_IMAGES = 3
"""How many validation images the evolution figure shows, as the supplement's Figure 1."""


def evolution_drawer(iterations: list[int]) -> Callable[..., Figure]:
    """The node function that draws these iterations as rows."""

    def draw_evolution(
        validation_set: AnnotatedDataset, task_model: TaskModelSettings, *datasets_then_weights: Any
    ) -> Figure:
        """Rows are iterations; columns samples of their ψ, then what the network makes of validation images."""
        datasets: tuple[AnnotatedDataset, ...] = datasets_then_weights[: len(iterations)]
        weights: tuple[Weights, ...] = datasets_then_weights[len(iterations) :]
        shown = AnnotatedDataset(validation_set.categories, validation_set.images[:NUM_VALIDATION_IMAGES])
        model = build_task_model(shown.categories, task_model)
        rows = [
            figures.EvolutionRow(iteration, dataset, model.predict(theta, shown))
            for iteration, dataset, theta in zip(iterations, datasets, weights, strict=True)
            if len(dataset)
        ]
        return figures.evolution(rows, shown)

    return draw_evolution


def draw_curves(*reports_then_states: Any) -> Figure:
    """Validation curves and the path of every ψ entry."""
    num_reports = (len(reports_then_states) - 1) // 2
    reports: tuple[EvaluationReport, ...] = reports_then_states[:num_reports]
    states: tuple[SearchState, ...] = reports_then_states[num_reports:]
    return figures.curves(
        [report for report in reports if report.num_images], [state.distribution.entries() for state in states]
    )


def write_report(
    run: str,
    experiment: str,
    search: SearchSettings,
    start: SearchState,
    learned: SearchState,
    start_test: EvaluationReport,
    learned_test: EvaluationReport,
    polished_test: EvaluationReport,
    evolution: bytes,
    curves: bytes,
    stage_seconds: StageSeconds,
    *validation_reports: EvaluationReport,
) -> tuple[dict[str, Any], str]:
    """The run in numbers, and on one HTML page. The last node, so that the seconds are whole."""
    summary = summarise(
        run=run,
        experiment=experiment,
        mode=search.mode,
        start=start,
        learned=learned,
        validation=[report for report in validation_reports if report.num_images],
        test={"start": start_test, "learned": learned_test, "polished": polished_test},
        seconds=stage_seconds,
    )
    return summary, render_report(summary, evolution, curves)
