"""ψ from the pilot images and the labelled ones, before any search."""

from autosimulate_pipeline.pipelines.inference.pipeline import create_inference, create_pipeline

__all__ = ["create_inference", "create_pipeline"]
