"""Annotated images that are too many to be loaded with all others of their kind."""

from __future__ import annotations

from collections.abc import Callable

from kedro.io import AbstractDataset

from autosimulate_pipeline.datasets.annotated_images import AnnotatedImagesDataset
from autosimulate_pipeline.records import AnnotatedDataset


class ShardDataset(AbstractDataset[AnnotatedDataset, Callable[[], AnnotatedDataset]]):
    """The folder of an `AnnotatedImagesDataset`; loaded as a function that reads it.

    Args:
        filepath: the folder.
    """

    def __init__(self, filepath: str) -> None:
        self._images = AnnotatedImagesDataset(filepath)

    def load(self) -> Callable[[], AnnotatedDataset]:
        return self._images.load

    def save(self, data: AnnotatedDataset) -> None:
        self._images.save(data)

    def _exists(self) -> bool:
        return self._images.exists()

    def _describe(self) -> dict[str, str]:
        return {"images": str(self._images)}
