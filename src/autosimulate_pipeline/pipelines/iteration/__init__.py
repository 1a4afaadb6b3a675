"""One iteration of the loop: five nodes."""

from autosimulate_pipeline.pipelines.iteration.pipeline import create_iteration, create_pipeline

__all__ = ["create_iteration", "create_pipeline"]
