"""The pipelines that `kedro run --pipeline NAME` knows: search methods, inference alone, controls, `generate`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from autosimulate_pipeline.configuration import current_parameters
from autosimulate_pipeline.pipelines import (
    final_evaluation,
    generate,
    inference,
    iteration,
    pilot,
    pretraining,
    reference_data,
    reporting,
    validation_only,
)
from autosimulate_pipeline.search import SEARCH_METHODS


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by name, unrolled as far as conf says; `__default__` is AutoSimulate."""
    parameters = current_parameters()
    num_iterations = parameters.loop.num_iterations
    has_pilot, is_pretrained = parameters.has_pilot, parameters.pretraining.enabled
    is_inferred = parameters.search.start == "inferred"
    labelled = reference_data.create_pipeline()
    pretrained = pretraining.create_pipeline() if is_pretrained else Pipeline([])
    sources = Pipeline(
        [
            labelled,
            pretrained,
            pilot.create_pipeline() if has_pilot else Pipeline([]),
            inference.create_inference() if is_inferred else Pipeline([]),
        ]
    )
    surroundings = (
        sources
        + final_evaluation.create_pipeline(num_iterations, has_pilot, is_pretrained)
        + reporting.create_pipeline(num_iterations, has_pilot, is_inferred)
    )
    window = parameters.training.window
    methods = {
        name: iteration.create_pipeline(name, num_iterations, window, has_pilot, is_inferred, is_pretrained)
        + surroundings
        for name in SEARCH_METHODS
    }
    needed = pilot.create_pipeline() if is_pretrained else Pipeline([])
    return {
        "__default__": methods["autosimulate"],
        **methods,
        "inference": labelled + pilot.create_pipeline() + inference.create_pipeline(),
        "validation_only": labelled + needed + pretrained + validation_only.create_pipeline(is_pretrained),
        "generate": generate.create_pipeline(parameters.generate),
        "iteration": iteration.create_iteration(),
    }
