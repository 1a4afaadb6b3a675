"""Inference as a node; `--pipeline inference` stops after it and its report."""

from __future__ import annotations

import pandas as pd

from autosimulate_pipeline.inference import Inference, InferenceSettings, infer
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.search.scenes import scenes_of
from autosimulate_pipeline.search.simulation import SimulatorSettings


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
