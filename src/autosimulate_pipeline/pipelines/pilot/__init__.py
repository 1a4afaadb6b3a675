"""The pilot images: drawn uniformly, rendered once, for inference, pretraining and domain randomisation."""

from autosimulate_pipeline.pipelines.pilot.pipeline import create_pipeline

__all__ = ["create_pipeline"]
