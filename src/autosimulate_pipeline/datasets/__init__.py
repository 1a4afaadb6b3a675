"""Kedro datasets of our own: each writes beside its target and renames, so that what exists is whole."""

from autosimulate_pipeline.datasets.annotated_images import AnnotatedImagesDataset
from autosimulate_pipeline.datasets.figure import FigureDataset
from autosimulate_pipeline.datasets.record import RecordDataset
from autosimulate_pipeline.datasets.scenes import ScenesDataset
from autosimulate_pipeline.datasets.shard import ShardDataset
from autosimulate_pipeline.datasets.training_set import TrainingSetDataset
from autosimulate_pipeline.datasets.weights import WeightsDataset

__all__ = [
    "AnnotatedImagesDataset",
    "FigureDataset",
    "RecordDataset",
    "ScenesDataset",
    "ShardDataset",
    "TrainingSetDataset",
    "WeightsDataset",
]
