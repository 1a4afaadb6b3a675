"""Task-model weights as safetensors: no pickle is ever read."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from autosimulate_pipeline.files.atomic import reading, replacing


class WeightsDataset(AbstractDataset[dict[str, Tensor], dict[str, Tensor]]):
    """Weights by name, on the CPU when loaded.

    Args:
        filepath: the .safetensors file.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Tensor]:
        with reading(Path(self._filepath), SafetensorError):
            return load_file(Path(self._filepath))

    def save(self, data: dict[str, Tensor]) -> None:
        with replacing(Path(self._filepath)) as draft:
            draft.write_bytes(save({name: value.detach().cpu().contiguous() for name, value in data.items()}))

    def _exists(self) -> bool:
        return Path(self._filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
