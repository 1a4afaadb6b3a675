"""A run that trained on the labelled images alone, on one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass

from autosimulate_pipeline.reporting.frames import Retrained
from autosimulate_pipeline.reporting.lessons import duration, lessons_without_simulator
from autosimulate_pipeline.reporting.pages import render_page
from autosimulate_pipeline.reporting.report import EvaluatedRun, stage_shares
from autosimulate_pipeline.reporting.summary import headline, test_metrics


@dataclass(frozen=True, eq=False)
class ValidationOnlyRun(EvaluatedRun):
    """A run without a simulator.

    Attributes:
        retrained: labelled images and variants of them, and what the network finds in a few test images.
    """

    retrained: Retrained


def render_validation_only_report(run: ValidationOnlyRun) -> str:
    """The page."""
    test = test_metrics(run.summary)
    (values,) = test.values()
    metric = headline(values)
    return render_page(
        "validation_only.html.jinja",
        run=run,
        lessons=lessons_without_simulator(run.summary, run.images),
        tiles={
            f"test {metric}": f"{values[metric]:.3f}",
            "labelled images": run.images["labelled"],
            "images rendered": run.summary["images_rendered"],
            "time in all": duration(run.summary["seconds"]["total"]),
        },
        metric=metric,
        test=test,
        stages=stage_shares(run.summary["seconds"]),
    )
