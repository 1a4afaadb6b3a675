"""The pipelines that `kedro run --pipeline NAME` knows: search methods, `validation_only`, `generate`, an iteration."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from autosimulate_pipeline.configuration import current_parameters
from autosimulate_pipeline.pipelines import (
    final_evaluation,
    generate,
    iteration,
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
    is_pretrained = parameters.pretraining.num_images > 0
    sources = reference_data.create_pipeline() + (pretraining.create_pipeline() if is_pretrained else Pipeline([]))
    surroundings = (
        sources
        + final_evaluation.create_pipeline(num_iterations, is_pretrained)
        + reporting.create_pipeline(num_iterations)
    )
    methods = {
        name: iteration.create_pipeline(name, num_iterations, parameters.training.window, is_pretrained) + surroundings
        for name in SEARCH_METHODS
    }
    return {
        "__default__": methods["autosimulate"],
        **methods,
        "validation_only": sources + validation_only.create_pipeline(is_pretrained),
        "generate": generate.create_pipeline(parameters.generate),
        "iteration": iteration.create_iteration(),
    }
