"""A training set from what a run has learned."""

from autosimulate_pipeline.pipelines.generate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
