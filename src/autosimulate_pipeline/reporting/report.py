"""A run on one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from torch import Tensor

from autosimulate_pipeline.inference import Inference
from autosimulate_pipeline.records import EvaluationReport, HypergradientReport
from autosimulate_pipeline.reporting.frames import Frame, Retrained, Sheet
from autosimulate_pipeline.reporting.health import Health, health
from autosimulate_pipeline.reporting.inference_section import inference_section
from autosimulate_pipeline.reporting.lessons import duration, lessons
from autosimulate_pipeline.reporting.pages import render_page
from autosimulate_pipeline.reporting.palette import STAGE_COLOURS, category_line
from autosimulate_pipeline.reporting.parameter_charts import fixed_parameters, learned_charts
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, headline, metrics, test_metrics
from autosimulate_pipeline.reporting.svg import Line, line_chart
from autosimulate_pipeline.search.base import SearchState

NUM_KEY_FRAMES = 5
"""Frames that are shown where there is no slider: on paper, and without JavaScript."""


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """What every report shows of a run; it knows nothing of the hidden parameters.

    Attributes:
        summary: as `reporting.summary` gives it.
        settings: by block, as plain values.
        command: which makes this run again; empty where it was not made by one.
        images: how many were made or used, by what for.
    """

    summary: Mapping[str, Any]
    categories: Sequence[str]
    settings: Mapping[str, Any]
    command: str
    images: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class EvaluatedRun(ReportedRun):
    """A run whose networks were tested.

    Attributes:
        test: by network.
        test_sheet: a few test images, with their labels.
    """

    test: Mapping[str, EvaluationReport]
    test_sheet: Sheet


@dataclass(frozen=True, eq=False)
class FinishedRun(EvaluatedRun):
    """A search that has come to its end.

    Attributes:
        states: before the first iteration and after each.
        validation, hypergradients, draws: by iteration; the draws are unclipped, shape (K, num_dimensions).
        frames: of the iterations on the slider.
        validation_sheet: the validation images that the frames show, with their labels.
        retrained: by "start" and "learned".
        inference: what the labelled images showed before the search; None: the search started from conf's ψ.
        pilot_sheet: a few of the renders that the inference learned from.
    """

    states: Sequence[SearchState]
    validation: Sequence[EvaluationReport]
    hypergradients: Sequence[HypergradientReport]
    draws: Sequence[Tensor]
    frames: Sequence[Frame]
    validation_sheet: Sheet
    retrained: Mapping[str, Retrained]
    inference: Inference | None = None
    pilot_sheet: Sheet | None = None


def render_report(run: FinishedRun) -> str:
    """The page."""
    num_done = run.states[-1].iteration
    distributions = [state.distribution for state in run.states[: num_done + 1]]
    frames = [frame for frame in run.frames if frame.samples]
    found = (
        health(k, report, distributions[k], draws)
        for k, (report, draws) in enumerate(zip(run.hypergradients[:num_done], run.draws[:num_done], strict=True))
    )
    healths = [of_one for of_one in found if of_one is not None]
    start, learned, test = distributions[0], distributions[-1], test_metrics(run.summary)
    metric = headline(test["learned"])
    num_fresh, num_test = run.images["retraining, each"], run.images["test"]
    return render_page(
        "report.html.jinja",
        run=run,
        lessons=lessons(run.summary, start, learned, num_fresh, num_test),
        category_lines=[category_line(index) for index in range(1, len(run.categories) + 1)],
        metric=metric,
        tiles={
            f"test {metric}, learned ψ": f"{test['learned'][metric]:.3f}",
            f"test {metric}, start ψ": f"{test['start'][metric]:.3f}",
            "images rendered": run.summary["images_rendered"],
            "time in all": duration(run.summary["seconds"]["total"]),
        },
        test=test,
        frames=frames,
        key_frames=key_frames(frames),
        validation_metrics=[metrics(report) for report in run.validation],
        validation_charts=validation_charts(run.validation, run.categories),
        inferred=inference_section(run.inference) if run.inference is not None else None,
        parameter_charts=learned_charts(distributions),
        fixed_parameters=fixed_parameters(learned),
        healths=healths,
        health_charts=health_charts(healths),
        stages=stage_shares(run.summary["seconds"]),
    )


def key_frames(frames: Sequence[Frame]) -> set[int]:
    """The iterations of up to `NUM_KEY_FRAMES` frames, evenly spread, the first and the last among them."""
    num_shown = min(NUM_KEY_FRAMES, len(frames))
    return {frames[round(index * (len(frames) - 1) / max(num_shown - 1, 1))].iteration for index in range(num_shown)}


def validation_charts(reports: Sequence[EvaluationReport], categories: Sequence[str]) -> list[Markup]:
    """Accuracy, that of each category, and loss on the validation images, by iteration."""
    iterations = range(1, len(reports) + 1)
    by_metric = {metric: [metrics(report)[metric] for report in reports] for metric in metrics(reports[0])}
    order = sorted(by_metric, key=("mIoU", "mAP", "mAP50").index)
    accuracy = [
        Line(METRIC_LABELS[metric], iterations, by_metric[metric], colour) for colour, metric in enumerate(order)
    ]
    loss = [Line("loss", iterations, [report.loss for report in reports])]
    kind = "IoU" if reports[0].iou_by_category else "AP"
    by_category = [
        Line(name, iterations, [_of_category(report)[name] for report in reports], category_line(index))
        for index, name in enumerate(categories, start=1)
        if name in _of_category(reports[0])
    ]
    return [
        line_chart("Accuracy on the validation images", accuracy, "iteration", y_limits=(0, None)),
        line_chart(f"{kind} by category", by_category, "iteration", y_limits=(0, None)),
        line_chart("Validation loss", loss, "iteration", y_limits=(0, None)),
    ]


def _of_category(report: EvaluationReport) -> Mapping[str, float]:
    return report.iou_by_category or report.ap_by_category


def health_charts(healths: Sequence[Health]) -> list[Markup]:
    """Norm, solve, and what images say, by iteration."""
    if not healths:
        return []
    iterations = [of_one.iteration + 1 for of_one in healths]
    floors = [of_one.noise_floor or float("nan") for of_one in healths]
    norm = [
        Line("norm", iterations, [of_one.norm for of_one in healths]),
        Line("noise floor", iterations, floors, 1, "dashed"),
    ]
    residual = [Line("residual", iterations, [of_one.solver_residual for of_one in healths])]
    slope = [Line("norm", iterations, [of_one.validation_gradient_norm for of_one in healths])]
    helping = [Line("share", iterations, [100 * of_one.share_helping for of_one in healths])]
    steps = [Line("steps", iterations, [float(of_one.solver_steps) for of_one in healths])]
    carried = [
        Line("effective images", iterations, [of_one.effective_images for of_one in healths]),
        Line("images rendered", iterations, [float(of_one.num_images) for of_one in healths], 7, "dashed"),
    ]
    return [
        line_chart("Hypergradient against its noise floor", norm, "iteration", is_log=True),
        line_chart("Effective sample size", carried, "iteration", y_limits=(0, None)),
        line_chart("Images that help, f > 0, in per cent", helping, "iteration", y_limits=(0, 100)),
        line_chart("Relative residual of the linear solve", residual, "iteration", is_log=True),
        line_chart("Steps of the linear solve", steps, "iteration", y_limits=(0, None)),
        line_chart("Gradient of the validation loss by θ, norm", slope, "iteration", y_limits=(0, None)),
    ]


def stage_shares(seconds: Mapping[str, float]) -> list[tuple[str, float, float, str]]:
    """Name, seconds, share of the total and colour of each stage that took any time."""
    total = max(seconds["total"], 1e-9)
    return [
        (stage, seconds[stage], seconds[stage] / total, colour)
        for stage, colour in STAGE_COLOURS.items()
        if seconds[stage] > 0
    ]
