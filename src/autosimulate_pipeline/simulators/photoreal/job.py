"""What a rendering worker is told about one image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.cad_models.settings import ModelFileSettings
from autosimulate_pipeline.simulators.photoreal.distractors import DistractorModel
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealScene


@dataclass(frozen=True, eq=False)
class PlacedModel:
    """A CAD model by its BOP object id; `pose` takes its points, in metres, to the world, shape (4, 4)."""

    object_id: int
    pose: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlacedDistractor:
    """A distractor; `pose` takes its points, in metres, to the world, shape (4, 4)."""

    shape: DistractorModel
    pose: NDArray[np.float64]


@dataclass(frozen=True)
class ModelSource:
    """Where a worker finds the CAD models; the digests tell it when they are others than those it has read.

    Attributes:
        names: category of each object id, in the order of the models.
        files: how the folder's files are read; None: the folder is BOP's.
    """

    folder: Path
    names: tuple[tuple[int, str], ...]
    digests: tuple[str, ...]
    files: ModelFileSettings | None = field(default=None, compare=False)  # what it changes is in the digests


@dataclass(frozen=True, eq=False)
class RenderJob:
    """One image to be made.

    Attributes:
        image_size: width and height in pixels.
        models: the objects, at least one.
    """

    scene: PhotorealScene
    seed: int
    image_size: tuple[int, int]
    source: ModelSource
    models: tuple[PlacedModel, ...]
    distractors: tuple[PlacedDistractor, ...] = ()
