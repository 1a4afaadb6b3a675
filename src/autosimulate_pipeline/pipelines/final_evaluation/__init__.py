"""What the search was worth, on the test images."""

from autosimulate_pipeline.pipelines.final_evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
