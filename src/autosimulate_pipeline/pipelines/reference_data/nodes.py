"""Where the validation and test images come from: folders of the user's, or a simulator hidden from the search."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autosimulate_pipeline.annotations import read_bop, read_coco, scene_image_ids, split_by_blocks
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.search.scenes import draw_scenes
from autosimulate_pipeline.search.simulation import SimulatorSettings, render_scenes
from autosimulate_pipeline.simulators import ParallelSettings, Simulator


class HiddenSimulatorSettings(BaseModel):
    """A configuration of the simulator that renders the reference images and that the search never sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(2020, ge=0, description="apart from the run's seed: every run is judged by the same images")
    num_validation_images: int = Field(30, ge=1)
    num_test_images: int = Field(100, ge=1)
    parameters: ProductDistribution


class BopSceneSettings(BaseModel):
    """One scene of a BOP dataset, such as the test scene of LineMOD-Occluded, split into validation and test images.

    Its images are the frames of a video: they are split by blocks of neighbours, see `split_by_blocks`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(description="the scene's, with scene_gt.json and rgb/")
    num_validation_images: int = Field(40, ge=1, description="the others are test images")
    num_blocks: int = Field(10, ge=2, description="of neighbouring frames")


class ReferenceDataSettings(BaseModel):
    """A BOP scene, or folders in COCO layout; where there are none, the hidden simulator renders both sets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bop_scene: BopSceneSettings | None = None
    validation_folder: Path | None = None
    test_folder: Path | None = None
    hidden_simulator: HiddenSimulatorSettings

    @model_validator(mode="after")
    def _folders_come_in_pairs(self) -> ReferenceDataSettings:
        if (self.validation_folder is None) != (self.test_folder is None):
            raise ValueError("validation_folder and test_folder must be given together, or neither")
        if self.validation_folder is not None and self.validation_folder == self.test_folder:
            raise ValueError(f"test_folder must not be the validation_folder, got {self.test_folder} for both")
        if self.bop_scene is not None and self.test_folder is not None:
            raise ValueError("bop_scene must be null where validation_folder and test_folder are given")
        return self

    def check(self) -> None:
        """Raises ValueError, naming the key, if the BOP scene is not there, malformed or too small to be split."""
        if self.bop_scene is not None:
            try:
                split_scene(self.bop_scene)
            except (ValueError, OSError) as failure:
                raise ValueError(f"reference_data.bop_scene: {failure}") from None


def split_scene(settings: BopSceneSettings) -> tuple[list[int], list[int]]:
    """The ids of the scene's validation and test images."""
    return split_by_blocks(scene_image_ids(settings.folder), settings.num_validation_images, settings.num_blocks)


def hidden_simulator(settings: ReferenceDataSettings, simulator: SimulatorSettings) -> SimulatorSettings:
    """The simulator that stands for reality: the same program, other parameters."""
    return simulator.model_copy(update={"parameters": settings.hidden_simulator.parameters})


def load_reference_data(
    settings: ReferenceDataSettings, simulator: SimulatorSettings, parallel: ParallelSettings
) -> tuple[AnnotatedDataset, AnnotatedDataset]:
    """The validation set, all that the search sees of the reference side, and the test set, for one look at the end."""
    if settings.bop_scene is not None:
        return read_bop_scene(settings.bop_scene, simulator.build(parallel))
    if settings.validation_folder is not None and settings.test_folder is not None:
        categories = simulator.build(parallel).categories
        return read_folder(settings.validation_folder, categories), read_folder(settings.test_folder, categories)
    hidden = settings.hidden_simulator
    num_images = hidden.num_validation_images + hidden.num_test_images
    scenes = draw_scenes(hidden.parameters, num_images, hidden.seed, "reference")
    with watched("rendering validation and test images", num_images, "images") as progress:
        rendered = render_scenes(hidden_simulator(settings, simulator), parallel, scenes, progress)
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
    return read_bop(settings.folder, objects, validation), read_bop(settings.folder, objects, test)


def read_folder(folder: Path, categories: tuple[str, ...]) -> AnnotatedDataset:
    """A user's COCO folder.

    Raises:
        ValueError: if it is empty or malformed, or its categories are not the simulator's.
    """
    dataset = read_coco(folder)
    if dataset.categories != categories:
        wanted, got = ", ".join(categories), ", ".join(dataset.categories)
        raise ValueError(f"{folder}: categories must be the simulator's, {wanted}, got {got}")
    return dataset
