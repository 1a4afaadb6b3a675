"""Figures as PNG files."""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure

from autosimulate_pipeline.files.atomic import replacing
from autosimulate_pipeline.reporting.contact_sheet import DOTS_PER_INCH


class FigureDataset(AbstractDataset[Figure, bytes]):
    """Saves a matplotlib figure; loads the bytes of its PNG file.

    Args:
        filepath: the .png file.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> bytes:
        return Path(self._filepath).read_bytes()

    def save(self, data: Figure) -> None:
        with replacing(Path(self._filepath)) as draft:
            data.savefig(draft, dpi=DOTS_PER_INCH, bbox_inches="tight", format="png")

    def preview(self) -> ImagePreview:
        """What Kedro-Viz shows: the picture."""
        return ImagePreview(base64.b64encode(self.load()).decode())

    def _exists(self) -> bool:
        return Path(self._filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
