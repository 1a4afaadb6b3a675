"""Records (dataclasses and pydantic models) as JSON."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset
from kedro.utils import load_obj
from kedro_datasets._typing import JSONPreview
from pydantic import TypeAdapter
from pydantic_core import to_json

from autosimulate_pipeline.files.atomic import reading, replacing


class RecordDataset(AbstractDataset[Any, Any]):
    """A record of ours as a JSON file.

    Args:
        filepath: the file.
        record: import path of the record's class, such as `autosimulate_pipeline.records.EvaluationReport`.
    """

    def __init__(self, filepath: str, record: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self._record = record
        self.metadata = metadata

    def load(self) -> Any:
        adapter: TypeAdapter[Any] = TypeAdapter(load_obj(self._record))
        with reading(Path(self._filepath)):
            return adapter.validate_json(Path(self._filepath).read_bytes())

    def save(self, data: Any) -> None:
        with replacing(Path(self._filepath)) as draft:
            draft.write_bytes(to_json(data, indent=1) + b"\n")  # NaN and Infinity as such: the record takes no null

    def preview(self) -> JSONPreview:
        """What Kedro-Viz shows: the record as JSON."""
        return JSONPreview(Path(self._filepath).read_text(encoding="utf-8"))

    def _exists(self) -> bool:
        return Path(self._filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "record": self._record}
