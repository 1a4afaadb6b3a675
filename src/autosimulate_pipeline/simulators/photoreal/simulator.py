"""CAD models on a desk, a shelf or a sofa as a photograph would show them: dropped by PhysX, path-traced by Cycles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autosimulate_pipeline.cad_models.model_files import read_folder
from autosimulate_pipeline.cad_models.models import INFO_NAME
from autosimulate_pipeline.cad_models.settings import ModelFileSettings
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, Progress, Scene
from autosimulate_pipeline.simulators.base import parse_scene
from autosimulate_pipeline.simulators.photoreal.distractors import DISTRACTORS, DistractorModel
from autosimulate_pipeline.simulators.photoreal.furniture import SUPPORTS
from autosimulate_pipeline.simulators.photoreal.job import ModelSource, PlacedDistractor, PlacedModel, RenderJob
from autosimulate_pipeline.simulators.photoreal.physics.arrangement import Arrangement, arrange
from autosimulate_pipeline.simulators.photoreal.physics.drops import ArrangementRequest
from autosimulate_pipeline.simulators.photoreal.procedural_models import made_models
from autosimulate_pipeline.simulators.photoreal.scene import (
    LINEMOD_OCCLUDED,
    PhotorealScene,
    PhotorealSettings,
)
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers

WORKER = "autosimulate_pipeline.simulators.photoreal.worker.images:render"


class Photoreal:
    """Renders `PhotorealScene`s in worker processes, each on a core of its own.

    Raises:
        FileNotFoundError, ValueError: if the models cannot be read.
    """

    def __init__(self, settings: PhotorealSettings, parallel: ParallelSettings | None = None) -> None:
        self.settings = settings
        self.parallel = parallel or ParallelSettings()
        folder, files = _folder(settings)
        self.models = read_folder(folder, settings.objects, files)
        self.categories = tuple(model.name for model in self.models)
        self.object_ids = tuple(model.object_id for model in self.models)
        self.owners: dict[str, str] = {}  # every parameter acts on the whole image
        self._arrangements: dict[ArrangementRequest, Arrangement] = {}
        self._source = ModelSource(
            folder.resolve(),
            tuple((model.object_id, model.name) for model in self.models),
            tuple(model.digest() for model in self.models),
            files,
        )

    def check(self, scene: Scene) -> None:
        parse_scene(PhotorealScene, scene)

    def render(self, scenes: Sequence[Scene], seeds: Sequence[int], progress: Progress) -> AnnotatedDataset:
        if len(scenes) != len(seeds):
            raise ValueError(f"seeds must hold one seed for each of the {len(scenes)} scenes, got {len(seeds)}")
        jobs = self.jobs([parse_scene(PhotorealScene, scene) for scene in scenes], seeds)
        images = run_in_workers(WORKER, jobs, self.parallel, progress)
        return AnnotatedDataset(self.categories, tuple(images), self.object_ids)

    def jobs(self, scenes: Sequence[PhotorealScene], seeds: Sequence[int]) -> list[RenderJob]:
        """Everything that a worker needs for each image, the objects arranged."""
        drawn = [self._request(scene, seed) for scene, seed in zip(scenes, seeds, strict=True)]
        new = list(dict.fromkeys(request for request, _ in drawn if request not in self._arrangements))
        arranged = arrange(self.models, new, self.parallel, self.settings.cache_folder)
        self._arrangements.update(zip(new, arranged, strict=True))
        return [
            self._job(scene, seed, self._arrangements[request], shapes)
            for scene, seed, (request, shapes) in zip(scenes, seeds, drawn, strict=True)
        ]

    def _request(self, scene: PhotorealScene, seed: int) -> tuple[ArrangementRequest, tuple[DistractorModel, ...]]:
        """One of the `num_arrangements` arrangements for this support and spread, drawn by the seed."""
        number = derive_seed(seed, "arrangement") % self.settings.num_arrangements
        generator = np.random.default_rng(derive_seed(number, "distractors"))
        chosen = generator.permutation(len(DISTRACTORS))[: self.settings.num_distractors]
        shapes = tuple(DISTRACTORS[index] for index in chosen)
        request = ArrangementRequest(
            seed=number,
            objects=self.settings.num_objects or self.object_ids,
            spread_m=round(scene.object_spread, 2),
            support=SUPPORTS[scene.scene],
            distractors=tuple(shape.body for shape in shapes),
            upright_fraction=self.settings.upright_fraction,
        )
        return request, shapes

    def _job(
        self, scene: PhotorealScene, seed: int, arrangement: Arrangement, shapes: Sequence[DistractorModel]
    ) -> RenderJob:
        placed = zip(arrangement.object_ids, arrangement.object_poses, strict=True)
        return RenderJob(
            scene,
            seed,
            self.settings.image_size,
            self._source,
            tuple(PlacedModel(object_id, pose) for object_id, pose in placed),
            tuple(
                PlacedDistractor(shape, pose) for shape, pose in zip(shapes, arrangement.distractor_poses, strict=True)
            ),
        )


def _folder(settings: PhotorealSettings) -> tuple[Path, ModelFileSettings | None]:
    """The folder of the models, and how its files are read; None: as BOP's.

    Raises:
        FileNotFoundError: if the folder is missing.
        ValueError: if an option is given that is for folders of the other kind.
    """
    folder = settings.models_folder
    if folder is None:
        assert settings.cache_folder is not None  # one of the two is given
        return made_models(settings.cache_folder), None
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} {'must be a folder, got a file' if folder.exists() else 'is missing'}; wanted CAD models there: "
            f"OBJ, PLY or GLB files, or BOP's ({INFO_NAME}, …)"
        )
    is_bop = (folder / INFO_NAME).exists()
    if is_bop and settings.model_files != ModelFileSettings():
        raise ValueError(f"model_files must be left out for BOP models, got a folder with {INFO_NAME}: {folder}")
    if not is_bop and settings.objects != LINEMOD_OCCLUDED:
        raise ValueError(
            f"objects must be left out for files of one's own, which model_files.names names, got {folder}: as BOP "
            f"models it lacks {INFO_NAME}"
        )
    return folder, None if is_bop else settings.model_files
