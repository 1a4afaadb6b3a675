"""The first alternative to any simulator: train on the labelled images alone."""

from autosimulate_pipeline.pipelines.validation_only.pipeline import create_pipeline

__all__ = ["create_pipeline"]
