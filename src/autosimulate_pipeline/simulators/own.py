"""A simulator of the user's own in Python: a class that renders one scene, run in worker processes.

docs/own_simulator.md shows one; `kedro new-simulator NAME` writes one to start from.
"""

from __future__ import annotations

import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from autosimulate_pipeline.files.checked_files import is_name
from autosimulate_pipeline.records import (
    MAX_INSTANCES,
    MAX_LABELS,
    AnnotatedDataset,
    AnnotatedImage,
    Progress,
    Scene,
    number_type,
    visible_instances,
)
from autosimulate_pipeline.simulators.base import parse_scene
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers

ENTRY_POINTS = "autosimulate.simulators"
"""Installed packages name their simulators in this group, each an import path `package.module:Class`."""

_WORKER = f"{__name__}:render_job"


class SceneParameters(BaseModel):
    """Base of a scene's model: each field is a scene parameter with its type, default and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SceneRenderer(ABC):
    """What a user's simulator is derived from. `simulator.options` are the arguments of its constructor.

    It is built again and again, in the main process for its categories and in each worker to render: a slow start
    belongs into `render_scene`, kept for the next call.

    Attributes:
        categories: object categories, in the order that instance categories count them (from 1).
        scene_model: the scene parameters.
        owners: the category of the object that a scene parameter belongs to; one left out acts on the whole image.
    """

    categories: Sequence[str]
    scene_model: type[SceneParameters]
    owners: Mapping[str, str] = {}

    @abstractmethod
    def render_scene(self, scene: Any, generator: np.random.Generator) -> AnnotatedImage:
        """The scene, an instance of `scene_model`, as an image; all randomness is drawn from `generator`."""

    def annotated(self, image: NDArray[np.uint8], instances: Sequence[tuple[str, NDArray[np.bool_]]]) -> AnnotatedImage:
        """The image with its instances, each a category and a mask of shape (height, width), the farthest first.

        A later instance hides earlier ones; one that nothing is left of is dropped.

        Raises:
            ValueError: if a category is unknown, a mask has another shape than the image, or there are too many.
        """
        categories = list(self.categories)
        if len(instances) > MAX_INSTANCES:
            raise ValueError(f"an image must have at most {MAX_INSTANCES} instances, got {len(instances)}")
        overlay = np.zeros(image.shape[:2], dtype=number_type(len(instances)))
        for number, (category, mask) in enumerate(instances, start=1):
            if category not in categories:
                raise ValueError(f"an instance's category must be one of {', '.join(categories)}, got {category!r}")
            if mask.shape != overlay.shape or mask.dtype != bool:
                raise ValueError(
                    f"the mask of {category} must be bool of shape {overlay.shape}, got {mask.dtype} of {mask.shape}"
                )
            overlay[mask] = number
        instance_mask, visible = visible_instances(overlay)
        visible_categories = tuple(categories.index(instances[number - 1][0]) + 1 for number in visible)
        return AnnotatedImage(image, instance_mask, visible_categories)


class OwnSimulator:
    """A user's class as a `Simulator`: every scene with a generator of its own, in worker processes.

    Args:
        name: an import path `package.module:Class`, or an entry point in the group `autosimulate.simulators`.
        options: for the class's constructor.

    Raises:
        TypeError: if the class is not what a `SceneRenderer` is to be, named in one line.
        ValueError: if its constructor refuses the options.
    """

    object_ids = None

    def __init__(self, name: str, options: Mapping[str, Any], parallel: ParallelSettings | None = None) -> None:
        self._name, self._options = name, dict(options)
        self._parallel = parallel or ParallelSettings()
        renderer = _build(name, self._options)
        self.categories = tuple(renderer.categories)
        self.owners = dict(renderer.owners)
        self._scene_model = renderer.scene_model

    def check(self, scene: Scene) -> None:
        parse_scene(self._scene_model, scene)

    def render(self, scenes: Sequence[Scene], seeds: Sequence[int], progress: Progress) -> AnnotatedDataset:
        if len(scenes) != len(seeds):
            raise ValueError(f"seeds must hold one seed for each of the {len(scenes)} scenes, got {len(seeds)}")
        for scene in scenes:
            self.check(scene)
        jobs = [(self._name, self._options, dict(scene), seed) for scene, seed in zip(scenes, seeds, strict=True)]
        return AnnotatedDataset(self.categories, tuple(run_in_workers(_WORKER, jobs, self._parallel, progress)))


_renderers: dict[str, SceneRenderer] = {}  # of this worker: a class that loads models does so once


def render_job(job: tuple[str, dict[str, Any], dict[str, Any], int]) -> AnnotatedImage:
    """The image of one scene; runs in the workers.

    Raises:
        RuntimeError: naming class, seed and reason in one line, if the user's code fails or its image is malformed.
    """
    name, options, scene, seed = job
    key = repr((name, options))
    if key not in _renderers:
        _renderers[key] = _build(name, options)
    renderer = _renderers[key]
    try:
        image = renderer.render_scene(parse_scene(renderer.scene_model, scene), np.random.default_rng(seed))
        check_image(image, len(renderer.categories))
    except Exception as failure:
        raise RuntimeError(f"{name}: render_scene, with seed {seed} and {scene}: {_in_one_line(failure)}") from failure
    return image


def installed_simulators() -> dict[str, str]:
    """The import paths of the simulators of installed packages, by name."""
    return {entry_point.name: entry_point.value for entry_point in entry_points(group=ENTRY_POINTS)}


def find_class(name: str) -> type[SceneRenderer]:
    """The user's class, by its import path or its entry point.

    Raises:
        ValueError: if it cannot be imported, or is no `SceneRenderer`.
    """
    path = name if ":" in name else installed_simulators()[name]
    try:
        found = pkgutil.resolve_name(path)
    except Exception as failure:  # whatever the user's module does when it is imported
        raise ValueError(f"{path} cannot be imported: {_in_one_line(failure)}") from failure
    if not (isinstance(found, type) and issubclass(found, SceneRenderer)):
        raise ValueError(f"{path} must be a class derived from {SceneRenderer.__name__}, got {found!r}")
    if inspect.isabstract(found):
        raise ValueError(f"{path} must define {', '.join(sorted(found.__abstractmethods__))}")
    return found


def check_image(image: AnnotatedImage, num_categories: int) -> None:
    """Nothing, if the image is what `AnnotatedImage` promises.

    Raises:
        TypeError: if it is something else.
        ValueError: naming the attribute, what it must be, and what it is.
    """
    if not isinstance(image, AnnotatedImage):
        raise TypeError(f"must return an AnnotatedImage, as self.annotated(…) does, got {type(image).__name__}")
    pixels, mask, categories = image.image, image.instance_mask, image.instance_categories
    for attribute, array, num_dims in (("image", pixels, 3), ("instance_mask", mask, 2)):
        types = (np.uint8, np.uint16) if attribute == "instance_mask" and len(categories) > MAX_LABELS else (np.uint8,)
        if not (isinstance(array, np.ndarray) and array.dtype in types and array.ndim == num_dims and array.size):
            got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            wanted = "(height, width, 3)" if num_dims == 3 else "(height, width)"
            raise ValueError(f"{attribute} must be a uint8 array of shape {wanted}, got {got}")
    if pixels.shape != (*mask.shape, 3):
        raise ValueError(f"image must have shape {(*mask.shape, 3)}, as instance_mask has it, got {pixels.shape}")
    if not all(isinstance(category, int) and 1 <= category <= num_categories for category in categories):
        raise ValueError(f"instance_categories must be whole numbers from 1 to {num_categories}, got {categories}")
    numbers = set(np.unique(mask).tolist()) - {0}
    if numbers != set(range(1, len(categories) + 1)):
        raise ValueError(
            f"instance_mask must show every instance, 1 to {len(categories)}, and no other, got {sorted(numbers)}"
        )
    for attribute in ("instance_boxes", "visible_fractions", "geometry", "masks_below", "is_crowd"):
        if getattr(image, attribute) is not None:
            raise ValueError(
                f"{attribute} must be None: runs keep renders as COCO folders, with masks of what can be seen"
            )


def _build(name: str, options: dict[str, Any]) -> SceneRenderer:
    """The user's object, its facts checked."""
    renderer_class = find_class(name)
    try:
        inspect.signature(renderer_class).bind(**options)
        renderer = renderer_class(**options)
    except Exception as failure:  # whatever the user's constructor raises
        raise ValueError(f"{name}: {_in_one_line(failure)}") from failure
    categories, scene_model = getattr(renderer, "categories", None), getattr(renderer, "scene_model", None)
    if not (isinstance(categories, Sequence) and categories and all(map(is_name, categories))):
        raise TypeError(f"{name}: categories must be a tuple of one text or more, got {categories!r}")
    if isinstance(categories, str) or len(set(categories)) < len(categories):
        raise TypeError(f"{name}: categories must be a tuple of texts that differ, got {categories!r}")
    if len(categories) > MAX_LABELS:
        raise TypeError(f"{name}: categories must be at most {MAX_LABELS}, got {len(categories)}")
    if not (isinstance(scene_model, type) and issubclass(scene_model, SceneParameters)):
        raise TypeError(f"{name}: scene_model must be a class derived from SceneParameters, got {scene_model!r}")
    for parameter, category in renderer.owners.items():
        if parameter not in scene_model.model_fields or category not in categories:
            raise TypeError(
                f"{name}: owners must pair a scene parameter and a category, got {parameter!r}: {category!r}"
            )
    return renderer


def _in_one_line(failure: Exception) -> str:
    """Kind and words of an exception, line breaks taken out."""
    return " ".join(f"{type(failure).__name__}: {failure}".split())
