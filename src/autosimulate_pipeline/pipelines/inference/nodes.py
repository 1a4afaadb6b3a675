"""Inference as a node; `--pipeline inference` stops after it and its report."""

from __future__ import annotations

from typing import Any

import pandas as pd

from autosimulate_pipeline.inference import Inference, InferenceSettings, infer
from autosimulate_pipeline.loop.scenes import scenes_of
from autosimulate_pipeline.loop.simulation import SimulatorSettings
from autosimulate_pipeline.pipelines.pilot.nodes import PilotSettings
from autosimulate_pipeline.pipelines.reporting.nodes import typed_command
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.provenance import History
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, StageSeconds
from autosimulate_pipeline.reporting.frames import sheet
from autosimulate_pipeline.reporting.inference_report import InferenceRun, render_inference_report
from autosimulate_pipeline.reporting.summary import summarise_inference
from autosimulate_pipeline.search.base import SearchState


def infer_parameters(
    pilot_scenes: pd.DataFrame,
    pilot_dataset: AnnotatedDataset,
    validation_set: AnnotatedDataset,
    simulator: SimulatorSettings,
    settings: InferenceSettings,
    seed: int,
) -> Inference:
    """The ψ that the validation images could have come from."""
    prior = simulator.parameters
    with watched("inference", len(prior.learned), "parameters") as progress:
        return infer(
            prior,
            scenes_of(pilot_scenes),
            pilot_dataset,
            validation_set,
            settings,
            derive_seed(seed, "inference"),
            progress,
        )


def inferred_state(inference: Inference, seed: int) -> SearchState:
    """The inferred ψ as a search that has not begun: what `generate` renders from."""
    return SearchState(
        method="inference",
        seed=seed,
        distribution=inference.distribution,
        images_rendered=inference.num_pilot_images,
    )


def write_report(
    run: str,
    experiment: str,
    seed: int,
    simulator: SimulatorSettings,
    pilot: PilotSettings,
    inference: Inference,
    pilot_dataset: AnnotatedDataset,
    validation_set: AnnotatedDataset,
    provenance: History,
    stage_seconds: StageSeconds,
) -> tuple[dict[str, Any], str]:
    """The inference in numbers, and on one HTML page. The last node, so that the seconds are whole."""
    summary = summarise_inference(run, experiment, seed, inference, stage_seconds, provenance)
    finished = InferenceRun(
        summary=summary,
        categories=validation_set.categories,
        settings={"simulator": simulator.model_dump(mode="json"), "pilot": pilot.model_dump(mode="json")},
        command=typed_command(),
        images={"pilot": len(pilot_dataset), "labelled": len(validation_set)},
        inference=inference,
        pilot_sheet=sheet(pilot_dataset),
        labelled_sheet=sheet(validation_set),
    )
    return summary, render_inference_report(finished)
