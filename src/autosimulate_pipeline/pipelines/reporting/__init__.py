"""What a person looks at when a run has ended."""

from autosimulate_pipeline.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
