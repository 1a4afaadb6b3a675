"""What a network knows before the first search: the part that weights trained on other people's photographs play."""

from autosimulate_pipeline.pipelines.pretraining.pipeline import create_pipeline

__all__ = ["create_pipeline"]
