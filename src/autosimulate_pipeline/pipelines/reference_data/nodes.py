"""Where the validation and test images come from: folders of the user's, or a simulator hidden from the search."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autosimulate_pipeline.annotations import (
    OtherCategories,
    check_disjoint,
    check_no_links,
    lack_of_masks,
    read_bop,
    read_labelled_folder,
    scene_image_ids,
    split_by_blocks,
    unlabelled_categories,
)
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.files.user_paths import existing_folder, expanded
from autosimulate_pipeline.loop.scenes import draw_scenes
from autosimulate_pipeline.loop.simulation import SimulatorSettings, render_scenes
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.simulators import ParallelSettings, Simulator
from autosimulate_pipeline.simulators.camera_effects import CameraEffects
from autosimulate_pipeline.task_models import SEGMENTATION_NETWORKS, TaskModelSettings

logger = logging.getLogger(__name__)


class HiddenSimulatorSettings(BaseModel):
    """What renders the reference images: the simulator in a configuration that the search never sees.

    `options` and `camera` make a gap that no ψ closes, as between renders and photographs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(2020, ge=0, description="apart from the run's seed: every run is judged by the same images")
    num_validation_images: int = Field(30, ge=1, description="images that the search is steered by")
    num_test_images: int = Field(100, ge=1, description="images for one look at the end")
    options: dict[str, Any] = Field(
        {}, description="in the place of the same in simulator.options: a gap that no ψ closes"
    )
    parameters: ProductDistribution | None = Field(
        None, description="stands for reality; needed where there are no labelled images"
    )
    camera: CameraEffects = CameraEffects.model_validate({})


class BopSceneSettings(BaseModel):
    """One scene of a BOP dataset, such as the test scene of LineMOD-Occluded, split into validation and test images.

    Its images are the frames of a video: they are split by blocks of neighbours, see `split_by_blocks`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(description="the scene's, with scene_gt.json and rgb/")
    num_validation_images: int = Field(40, ge=1, description="the others are test images")
    num_blocks: int = Field(10, ge=2, description="of neighbouring frames")


class ReferenceDataSettings(BaseModel):
    """A BOP scene to be split, or two folders; where there are none, the hidden simulator renders both sets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bop_scene: BopSceneSettings | None = None
    validation_folder: Path | None = Field(None, description="labelled images of your own, COCO, YOLO or BOP")
    test_folder: Path | None = Field(None, description="others of these; both or neither; not the same folder")
    allow_links: bool = Field(True, description="whether photographs may be links to image files outside their folder")
    other_categories: OtherCategories = Field(
        "left_out",
        description="labels of categories that the simulator lacks: left out, or background that hides what it lies on",
    )
    hidden_simulator: HiddenSimulatorSettings = HiddenSimulatorSettings.model_validate({})

    @property
    def is_rendered(self) -> bool:
        """Whether the hidden simulator makes the images, for there are no others."""
        return self.bop_scene is None and self.test_folder is None

    @model_validator(mode="after")
    def _folders_come_in_pairs(self) -> ReferenceDataSettings:
        if (self.validation_folder is None) != (self.test_folder is None):
            raise ValueError("validation_folder and test_folder must be given together, or neither")
        if self.validation_folder is not None and self.validation_folder == self.test_folder:
            raise ValueError(f"test_folder must not be the validation_folder, got {self.test_folder} for both")
        if self.bop_scene is not None and self.test_folder is not None:
            raise ValueError("bop_scene must be null where validation_folder and test_folder are given")
        if self.is_rendered and self.hidden_simulator.parameters is None:
            raise ValueError(
                "reference_data.hidden_simulator.parameters is missing, and there are no labelled images in its place: "
                "no bop_scene, no validation_folder and test_folder"
            )
        return self

    @property
    def folders(self) -> dict[str, Path]:
        """The user's folders by the key that names them, `~` expanded."""
        scene = self.bop_scene.folder if self.bop_scene is not None else None
        named = {"validation_folder": self.validation_folder, "test_folder": self.test_folder, "bop_scene": scene}
        return {key: expanded(folder) for key, folder in named.items() if folder is not None}

    def check(self) -> None:
        """Raises ValueError, naming the key, if the BOP scene is not there, malformed or too small to be split.

        It also does if a folder holds links that are not allowed.
        """
        for key, folder in self.folders.items():
            try:
                if key == "bop_scene" and self.bop_scene is not None:
                    split_scene(self.bop_scene)
                if not self.allow_links:
                    check_no_links(folder)
            except (ValueError, OSError) as failure:
                raise ValueError(f"reference_data.{key}: {failure}") from None

    def check_folders(self) -> None:
        """Raises ValueError, naming the key, if a folder is not there; a run that exists can do without its folders."""
        for key, folder in self.folders.items():
            try:
                existing_folder(folder)
            except OSError as failure:
                raise ValueError(f"reference_data.{key}: {failure}") from None

    def check_masks(self, task_model: TaskModelSettings) -> None:
        """Raises ValueError, naming the key, if the network learns from masks and a folder of the user's has none."""
        if task_model.type not in SEGMENTATION_NETWORKS:
            return
        for key, folder in self.folders.items():
            if not folder.is_dir():  # of a run that exists: its images have been copied
                continue
            try:
                lack = lack_of_masks(folder)
            except (ValueError, OSError) as failure:
                raise ValueError(f"reference_data.{key}: {failure}") from None
            if lack is not None:
                raise ValueError(
                    f"reference_data.{key} must have masks for task_model.type {task_model.type} (a detector takes "
                    f"boxes), but {lack}"
                )


def split_scene(settings: BopSceneSettings) -> tuple[list[int], list[int]]:
    """The ids of the scene's validation and test images."""
    return split_by_blocks(
        scene_image_ids(expanded(settings.folder)), settings.num_validation_images, settings.num_blocks
    )


def hidden_simulator(settings: ReferenceDataSettings, simulator: SimulatorSettings) -> SimulatorSettings:
    """The simulator that stands for reality: the same program, other parameters and perhaps other options."""
    hidden = settings.hidden_simulator
    return simulator.model_copy(
        update={"parameters": hidden.parameters, "options": {**simulator.options, **hidden.options}}
    )


def load_reference_data(
    settings: ReferenceDataSettings, simulator: SimulatorSettings, parallel: ParallelSettings
) -> tuple[AnnotatedDataset, AnnotatedDataset]:
    """The validation set, all that the search sees of the reference side, and the test set, for one look at the end."""
    if settings.bop_scene is not None:
        return read_bop_scene(settings.bop_scene, simulator.build(parallel))
    if settings.validation_folder is not None and settings.test_folder is not None:
        folders = (settings.validation_folder, settings.test_folder)
        return read_folders(*folders, simulator.build(parallel), settings.other_categories)
    hidden, renderer = settings.hidden_simulator, hidden_simulator(settings, simulator)
    num_images = hidden.num_validation_images + hidden.num_test_images
    scenes = draw_scenes(renderer.parameters, num_images, hidden.seed, "reference")
    with watched("rendering validation and test images", num_images, "images") as progress:
        rendered = render_scenes(renderer, parallel, scenes, progress)
    rendered = hidden.camera.photographed(rendered, derive_seed(hidden.seed, "camera"))
    return (
        dataclasses.replace(rendered, images=rendered.images[: hidden.num_validation_images]),
        dataclasses.replace(rendered, images=rendered.images[hidden.num_validation_images :]),
    )


def read_bop_scene(settings: BopSceneSettings, simulator: Simulator) -> tuple[AnnotatedDataset, AnnotatedDataset]:
    """The scene's images for validation and for the test, with the simulator's objects.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is malformed, the simulator has no BOP objects, or the images are too few.
    """
    if simulator.object_ids is None:
        raise ValueError("reference_data.bop_scene must be null for a simulator without BOP objects")
    objects = dict(zip(simulator.object_ids, simulator.categories, strict=True))
    validation, test = split_scene(settings)
    folder = expanded(settings.folder)
    return read_bop(folder, objects, validation), read_bop(folder, objects, test)


def read_folders(
    validation_folder: Path, test_folder: Path, simulator: Simulator, others: OtherCategories = "left_out"
) -> tuple[AnnotatedDataset, AnnotatedDataset]:
    """A user's labelled images, each folder in the layout of COCO, YOLO or BOP, with the simulator's categories.

    Args:
        others: what becomes of a COCO folder's instances of other categories.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a folder is empty or malformed, shows objects of other categories alone, or both have an image.
    """
    validation_folder, test_folder = existing_folder(validation_folder), existing_folder(test_folder)
    validation, test = (
        read_labelled_folder(folder, simulator.categories, simulator.object_ids, others)
        for folder in (validation_folder, test_folder)
    )
    check_disjoint(validation, validation_folder, test, test_folder)
    for dataset, folder in ((validation, validation_folder), (test, test_folder)):
        for name in unlabelled_categories(dataset):
            logger.warning("%s shows no %s: the accuracy leaves it out, and nothing is learned for it", folder, name)
    return validation, test
