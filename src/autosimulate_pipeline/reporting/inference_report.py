"""A run that infers the simulator's parameters and searches nothing, on one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass

from autosimulate_pipeline.inference import Inference
from autosimulate_pipeline.reporting.frames import Sheet
from autosimulate_pipeline.reporting.inference_section import inference_section
from autosimulate_pipeline.reporting.lessons import duration, lessons_of_inference
from autosimulate_pipeline.reporting.pages import render_page
from autosimulate_pipeline.reporting.parameter_charts import fixed_parameters
from autosimulate_pipeline.reporting.report import ReportedRun, stage_shares


@dataclass(frozen=True, eq=False)
class InferenceRun(ReportedRun):
    """A run that ends with the inferred distribution; no network is trained.

    Attributes:
        pilot_sheet: a few of the renders that were learned from, with their labels.
        labelled_sheet: a few of the labelled images.
    """

    inference: Inference
    pilot_sheet: Sheet
    labelled_sheet: Sheet


def render_inference_report(run: InferenceRun) -> str:
    """The page."""
    inference = run.inference
    return render_page(
        "inference.html.jinja",
        run=run,
        lessons=lessons_of_inference(inference),
        tiles={
            "parameters identified": f"{len(inference.identified)} of {len(inference.parameters)}",
            "pilot images rendered": inference.num_pilot_images,
            "labelled images": inference.num_labelled_images,
            "time in all": duration(run.summary["seconds"]["total"]),
        },
        inferred=inference_section(inference),
        fixed_parameters=fixed_parameters(inference.distribution),
        stages=stage_shares(run.summary["seconds"]),
    )
