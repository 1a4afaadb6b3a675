"""A training set as a folder, written part by part."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from autosimulate_pipeline.annotations.training_sets import TrainingSet, write_training_set
from autosimulate_pipeline.files.atomic import replacing


class TrainingSetDataset(AbstractDataset[TrainingSet, Path]):
    """A folder in COCO's, BOP's or YOLO's layout; loaded as its path, for other programs read what is in it.

    Args:
        filepath: the folder.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        return Path(self._filepath)

    def save(self, data: TrainingSet) -> None:
        with replacing(Path(self._filepath)) as draft:
            write_training_set(data, draft)

    def _exists(self) -> bool:
        return Path(self._filepath).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
