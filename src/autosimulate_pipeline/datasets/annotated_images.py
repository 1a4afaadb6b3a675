"""Annotated images as a COCO folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from autosimulate_pipeline.annotations import coco
from autosimulate_pipeline.datasets.atomic import replacing
from autosimulate_pipeline.records import AnnotatedDataset


class AnnotatedImagesDataset(AbstractDataset[AnnotatedDataset, AnnotatedDataset]):
    """A folder with `annotations.json` (COCO) and `images/*.png`, renamed into place when it is complete.

    Args:
        filepath: the folder.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> AnnotatedDataset:
        return coco.read_coco(Path(self._filepath), allow_empty=True)

    def save(self, data: AnnotatedDataset) -> None:
        with replacing(Path(self._filepath)) as draft:
            coco.write_coco(data, draft)

    def _exists(self) -> bool:
        return (Path(self._filepath) / "annotations.json").is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
