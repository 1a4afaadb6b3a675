"""Scene tables as Parquet, written whole or not at all."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview
from pyarrow import ArrowException

from autosimulate_pipeline.files.atomic import reading, replacing


class ScenesDataset(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """One row a scene: its seed, what was drawn and what is rendered (see `search.scenes`).

    Args:
        filepath: the .parquet file.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        with reading(Path(self._filepath), ArrowException):
            return pd.read_parquet(Path(self._filepath))

    def save(self, data: pd.DataFrame) -> None:
        with replacing(Path(self._filepath)) as draft:
            data.to_parquet(draft)

    def preview(self, num_rows: int = 5) -> TablePreview:
        """What Kedro-Viz shows: the first rows."""
        return TablePreview(self.load().head(num_rows).to_dict(orient="split"))

    def _exists(self) -> bool:
        return Path(self._filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
