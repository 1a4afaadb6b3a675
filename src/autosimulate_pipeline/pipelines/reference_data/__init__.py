"""The validation and test images that stand for reality."""

from autosimulate_pipeline.pipelines.reference_data.pipeline import create_pipeline

__all__ = ["create_pipeline"]
