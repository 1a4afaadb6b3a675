"""Annotated images as a folder: in COCO's layout, or in BOP's where there are poses."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from autosimulate_pipeline.annotations import read_bop, read_coco, read_objects, write_bop, write_coco
from autosimulate_pipeline.annotations.bop_files import OBJECTS
from autosimulate_pipeline.files.atomic import reading, replacing
from autosimulate_pipeline.records import AnnotatedDataset


class AnnotatedImagesDataset(AbstractDataset[AnnotatedDataset, AnnotatedDataset]):
    """A folder with `annotations.json` (COCO) and `images/*.png`, renamed into place when it is complete.

    Images of BOP objects come as a BOP scene (`000000/`) with `objects.json` instead.

    Args:
        filepath: the folder.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> AnnotatedDataset:
        folder = Path(self._filepath)
        with reading(folder):
            if (folder / OBJECTS).is_file():
                return read_bop(folder, read_objects(folder), allow_empty=True)
            return read_coco(folder, allow_empty=True)

    def save(self, data: AnnotatedDataset) -> None:
        with replacing(Path(self._filepath)) as draft:
            write = write_coco if data.object_ids is None else write_bop
            write(data, draft)

    def _exists(self) -> bool:
        return any((Path(self._filepath) / name).is_file() for name in ("annotations.json", OBJECTS))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
