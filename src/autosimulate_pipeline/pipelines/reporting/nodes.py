"""What is drawn while a run goes on, and summary and report at its end."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.inference import Inference
from autosimulate_pipeline.loop.scenes import draw_scenes, draws_of
from autosimulate_pipeline.loop.simulation import SimulatorSettings
from autosimulate_pipeline.pipelines.final_evaluation.nodes import FinalEvaluationSettings
from autosimulate_pipeline.pipelines.pilot.nodes import PilotSettings
from autosimulate_pipeline.pipelines.pretraining.nodes import PretrainingSettings
from autosimulate_pipeline.provenance import History
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, HypergradientReport, StageSeconds
from autosimulate_pipeline.reporting import contact_sheet, figures, frames
from autosimulate_pipeline.reporting.report import FinishedRun, render_report
from autosimulate_pipeline.reporting.summary import summarise
from autosimulate_pipeline.search import LoopSettings, LoopTrainingSettings, SearchSettings
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.task_models import TaskModelSettings, Weights, build_task_model

NUM_VALIDATION_IMAGES = 3
"""How many validation images are shown, as in the supplement's Figure 1."""


def sheet_drawer(iteration: int) -> Callable[[AnnotatedDataset], Figure]:
    """The node function that draws this iteration's contact sheet."""

    def draw_contact_sheet(rendered_dataset: AnnotatedDataset) -> Figure:
        """The first images of the iteration with masks, and where there are any, boxes and depth."""
        return contact_sheet.contact_sheet(rendered_dataset, f"iteration {iteration + 1}")

    return draw_contact_sheet


def frame_drawer(iteration: int) -> Callable[..., frames.Frame]:
    """The node function that draws this iteration for the report's slider."""

    def draw_frame(
        rendered_dataset: AnnotatedDataset,
        weights: Weights,
        validation_set: AnnotatedDataset,
        task_model: TaskModelSettings,
    ) -> frames.Frame:
        """Samples of the iteration's ψ, and what the network makes of validation images."""
        if not len(rendered_dataset):
            return frames.Frame(iteration)
        shown = first_images(validation_set, NUM_VALIDATION_IMAGES)
        predictions = build_task_model(shown.categories, task_model).predict(weights, shown)
        return frames.frame(iteration, rendered_dataset, shown, predictions)

    return draw_frame


def evolution_drawer(iterations: list[int]) -> Callable[..., Figure]:
    """The node function that draws these iterations as rows."""

    def draw_evolution(
        validation_set: AnnotatedDataset, task_model: TaskModelSettings, *datasets_then_weights: Any
    ) -> Figure:
        """Rows are iterations; columns samples of their ψ, then what the network makes of validation images."""
        datasets: tuple[AnnotatedDataset, ...] = datasets_then_weights[: len(iterations)]
        weights: tuple[Weights, ...] = datasets_then_weights[len(iterations) :]
        shown = first_images(validation_set, NUM_VALIDATION_IMAGES)
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


def draw_retrained(
    rendered_dataset: AnnotatedDataset, weights: Weights, test_set: AnnotatedDataset, task_model: TaskModelSettings
) -> frames.Retrained:
    """Fresh images, and what the network trained on them finds in a few test images."""
    shown = first_images(test_set, frames.NUM_SHEET_IMAGES)
    model = build_task_model(shown.categories, task_model)
    return frames.retrained(rendered_dataset, shown, model.predict(weights, shown))


def write_report(
    run: str,
    experiment: str,
    simulator: SimulatorSettings,
    task_model: TaskModelSettings,
    pretraining: PretrainingSettings,
    training: LoopTrainingSettings,
    loop: LoopSettings,
    search: SearchSettings,
    hypergradient: HypergradientSettings,
    final_evaluation: FinalEvaluationSettings,
    validation_set: AnnotatedDataset,
    test_set: AnnotatedDataset,
    test_report_start: EvaluationReport,
    test_report_learned: EvaluationReport,
    test_report_own: EvaluationReport,
    retrained_start: frames.Retrained,
    retrained_learned: frames.Retrained,
    provenance: History,
    stage_seconds: StageSeconds,
    test_report_pilot: EvaluationReport | None = None,
    pilot: PilotSettings | None = None,
    inference: Inference | None = None,
    pilot_dataset: AnnotatedDataset | None = None,
    **by_iteration: Any,
) -> tuple[dict[str, Any], str]:
    """The run in numbers, and on one HTML page. The last node, so that the seconds are whole.

    Args:
        by_iteration: `state_000`, `validation_report_000`, `hypergradient_report_000`, `frame_000`, …
    """
    states: list[SearchState] = _series(by_iteration, "state_")
    hypergradients: list[HypergradientReport] = _series(by_iteration, "hypergradient_report_")
    validation = [report for report in _series(by_iteration, "validation_report_") if report.num_images]
    test = {} if test_report_pilot is None else {"pilot": test_report_pilot}
    test |= {"start": test_report_start, "learned": test_report_learned, "own": test_report_own}
    summary = summarise(
        run=run,
        experiment=experiment,
        mode=search.mode,
        start=states[0],
        learned=states[-1],
        validation=validation,
        test=test,
        seconds=stage_seconds,
        provenance=provenance,
        inference=inference,
    )
    blocks = {
        "simulator": simulator,
        **({} if pilot is None else {"pilot": pilot}),
        "task_model": task_model,
        "pretraining": pretraining,
        "training": training,
        "loop": loop,
        "search": search,
        "hypergradient": hypergradient,
        "final_evaluation": final_evaluation,
    }
    images = {
        "pilot": states[0].images_rendered,
        "loop": states[-1].images_rendered - states[0].images_rendered,
        "retraining, each": final_evaluation.num_images,
        "validation": len(validation_set),
        "test": len(test_set),
    }
    finished = FinishedRun(
        summary=summary,
        categories=validation_set.categories,
        settings={name: settings.model_dump(mode="json") for name, settings in blocks.items()},
        command=typed_command(),
        images=images,
        states=states,
        validation=validation,
        hypergradients=hypergradients,
        draws=[
            draws_of(draw_scenes(state.distribution, len(report.influences), state.seed, state.iteration))
            for state, report in zip(states, hypergradients, strict=False)
        ],
        test=test,
        frames=_series(by_iteration, "frame_"),
        validation_sheet=frames.sheet(first_images(validation_set, NUM_VALIDATION_IMAGES)),
        test_sheet=frames.sheet(test_set),
        retrained={"start": retrained_start, "learned": retrained_learned},
        inference=inference,
        pilot_sheet=None if pilot_dataset is None else frames.sheet(pilot_dataset),
    )
    return summary, render_report(finished)


def first_images(dataset: AnnotatedDataset, num_images: int) -> AnnotatedDataset:
    """The dataset with no more than so many of its images."""
    return AnnotatedDataset(dataset.categories, dataset.images[:num_images], dataset.object_ids)


def _series(by_iteration: Mapping[str, Any], prefix: str) -> list[Any]:
    """The values whose names are the prefix and a number, in its order."""
    return [by_iteration[name] for name in sorted(by_iteration) if name.removeprefix(prefix).isdigit()]


def typed_command() -> str:
    """The `kedro run` that was typed; empty where the run was not started from a terminal.

    An environment that KEDRO_ENV names is written as `--env`.
    """
    if "run" in sys.argv[1:2]:
        arguments = sys.argv[2:]
    elif Path(sys.argv[0]).name == "autosimulate-pipeline" or Path(sys.argv[0]).parent.name == "autosimulate_pipeline":
        arguments = sys.argv[1:]
    else:
        return ""
    env = os.environ.get("KEDRO_ENV")
    if env and not any(argument.startswith(("--env", "-e")) for argument in arguments):
        arguments = ["--env", env, *arguments]
    return shlex.join(["kedro", "run", *arguments])
