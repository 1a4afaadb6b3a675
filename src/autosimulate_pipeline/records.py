"""The values that travel between stages. Reading this file tells the data flow.

distributions draw scenes → a simulator renders an `AnnotatedDataset` → a task model trains on it → its `Prediction`s on
the validation images become an `EvaluationReport` → the hypergradient becomes a `HypergradientReport` and moves ψ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MIN_VISIBLE_FRACTION = 0.1
"""Instances of which less can be seen count neither in training nor in evaluation, as in the BOP benchmark."""

Scene = Mapping[str, float | int | str]
"""One draw from p_ψ as the simulator gets it: simulator parameter by name, in its own units, inside its range."""

MAX_LABELS = 255
"""Categories of a dataset at most: semantic masks are uint8."""

MAX_INSTANCES = 65535
"""Instances of an image at most: instance masks are uint8, or uint16 where there are more than 255."""

Numbers = NDArray[np.unsignedinteger[Any]]
"""Numbers of instances at pixels, 0 for none; uint8 or uint16."""

Progress = Callable[[int], None]
"""Called with the number of units (images, epochs) finished since the last call."""


def ignore_progress(_num_finished: int) -> None:
    """The progress callback of a caller that does not watch."""


def enclosing_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """x, y, width and height around the pixels of a mask, of which there must be one; in whole pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1] + 1 - columns[0]), int(rows[-1] + 1 - rows[0])


def number_type(num_instances: int) -> type[np.unsignedinteger[Any]]:
    """The smallest type that can number so many instances from 1."""
    return np.uint8 if num_instances <= MAX_LABELS else np.uint16


def visible_instances(overlay: NDArray[np.integer[Any]]) -> tuple[Numbers, tuple[int, ...]]:
    """What is left of instances painted over one another: their mask, numbered 1, 2, … without gaps, and their numbers.

    Args:
        overlay: 0 for background, otherwise the number of an instance; shape (height, width), or (…, height, width) of
            layers.
    """
    present = np.bincount(overlay.ravel(), minlength=1) > 0
    present[0] = False
    renumbered = (np.cumsum(present) * present).astype(number_type(np.count_nonzero(present)))
    return renumbered[overlay], tuple(np.flatnonzero(present).tolist())


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the camera and the instances of an image are: what the BOP format adds to masks.

    The camera is OpenCV's: x to the right, y down, z forwards; the pixel in row i, column j has its centre at (j, i).

    Attributes:
        camera_matrix: K in pixels, shape (3, 3).
        rotations: from each model's coordinates to the camera's, shape (num_instances, 3, 3).
        translations_mm: shape (num_instances, 3).
        depth_mm: z of the surface at each pixel, 0 where there is none, shape (height, width), float32; None: unknown.
        full_masks: each instance as if nothing hid it, shape (num_instances, height, width); None: unknown.
    """

    camera_matrix: NDArray[np.float64]
    rotations: NDArray[np.float64]
    translations_mm: NDArray[np.float64]
    depth_mm: NDArray[np.float32] | None = None
    full_masks: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with its instances.

    Attributes:
        image: sRGB, shape (height, width, 3), uint8.
        instance_mask: shape (height, width), uint8 or, for more than 255 instances, uint16; 0 is background, i belongs
            to the i-th instance. Every instance has at least one pixel here or in `masks_below`, unless the image's
            source has boxes and no masks: then it is 0 everywhere.
        instance_categories: for instance i = 1, 2, … its category, an index from 1 into the dataset's `categories`.
        instance_boxes: [x, y, width, height] of each instance's full extent in pixels, hidden parts included, shape
            (num_instances, 4); it may reach beyond the image. None: `boxes` are those around the visible pixels.
        visible_fractions: share of each instance's pixels that nothing hides, in [0, 1]; None: all count.
        geometry: camera and poses, where the image's source has them.
        masks_below: where masks lie on one another, the instances below the one of `instance_mask`, from the uppermost
            down, shape (num_layers - 1, height, width), of its type; None: no pixel belongs to two instances.
        is_crowd: whether each stands for many objects that nobody told apart (COCO's iscrowd): a region that is
            ignored, for neither to miss nor to find one in it costs anything; None: none does.
    """

    image: NDArray[np.uint8]
    instance_mask: Numbers
    instance_categories: tuple[int, ...]
    instance_boxes: NDArray[np.float64] | None = None
    visible_fractions: tuple[float, ...] | None = None
    geometry: Geometry | None = None
    masks_below: Numbers | None = None
    is_crowd: tuple[bool, ...] | None = None

    @property
    def semantic_mask(self) -> NDArray[np.uint8]:
        """The category at each pixel, the uppermost instance's; 0 for background, shape (height, width), uint8."""
        return np.array((0, *self.instance_categories), dtype=np.uint8)[self.instance_mask]

    @property
    def has_masks(self) -> bool:
        """Whether an instance has a mask; then all have."""
        return bool(self.instance_mask.any())

    @property
    def instance_layers(self) -> Numbers:
        """`instance_mask` and below it `masks_below`, shape (num_layers, height, width)."""
        top = self.instance_mask[None]
        return top if self.masks_below is None else np.concatenate([top, self.masks_below])

    @property
    def instance_masks(self) -> Iterator[NDArray[np.bool_]]:
        """The whole mask of each instance in turn, whatever lies on it, shape (height, width); empty of boxes alone."""
        layers = self.instance_layers
        for number in range(1, len(self.instance_categories) + 1):
            yield (layers == number).any(0)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """[x, y, width, height] of each instance, in pixels, shape (num_instances, 4).

        Raises:
            ValueError: if an instance has neither a box nor a pixel.
        """
        if self.instance_boxes is not None:
            return self.instance_boxes
        num_instances = len(self.instance_categories)
        low, high = np.full((num_instances, 2), 2**31), np.zeros((num_instances, 2), dtype=int)
        for layer in self.instance_layers:
            for index, place in enumerate(ndimage.find_objects(layer, num_instances) if num_instances else ()):
                if place is not None:
                    rows, columns = place
                    low[index] = np.minimum(low[index], (columns.start, rows.start))
                    high[index] = np.maximum(high[index], (columns.stop, rows.stop))
        if not high.all():
            raise ValueError(f"instance {1 + np.argmin(high.all(axis=1))} must have a box or a pixel, got neither")
        return np.concatenate([low, high - low], axis=1).astype(np.float64)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which instances are single ones that can be seen well enough to count, shape (num_instances,)."""
        num_instances = len(self.instance_categories)
        visible = np.ones(num_instances) if self.visible_fractions is None else np.array(self.visible_fractions)
        return (visible >= MIN_VISIBLE_FRACTION) & ~np.array(self.is_crowd or (False,) * num_instances, dtype=bool)

    @property
    def counted_categories(self) -> list[int]:
        """The category of each instance that counts."""
        return [category for category, counts in zip(self.instance_categories, self.counted, strict=True) if counts]


@dataclass(frozen=True, eq=False)
class AnnotatedDataset:
    """Images of any size that share their categories (background not among them).

    Attributes:
        object_ids: the BOP object id of each category; None: the categories are no BOP objects.
    """

    categories: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    object_ids: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a task model says about one image, at that image's own size.

    Attributes:
        instance_categories: category of each instance, from 1.
        instance_scores: confidence of each instance in [0, 1].
        semantic_mask: category at each pixel, 0 for background, shape (height, width), uint8; None from a detector.
        instance_masks: shape (num_instances, height, width), bool; None from a detector.
        instance_boxes: [x, y, width, height] of each instance in pixels, shape (num_instances, 4); None from a
            segmentation.
    """

    instance_categories: tuple[int, ...]
    instance_scores: tuple[float, ...]
    semantic_mask: NDArray[np.uint8] | None = None
    instance_masks: NDArray[np.bool_] | None = None
    instance_boxes: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class EvaluationReport:
    """How a task model does on a labelled dataset.

    Attributes:
        loss: mean per-image loss, that is L_val(θ).
        map: COCO AP@[.5:.95] of masks, or of boxes for a detector; mean over the object categories, in [0, 1].
        map50: the same at IoU 0.5 alone.
        miou: intersection over union, summed over images and averaged over the object categories, in [0, 1]; 0 for a
            detector.
        ap_by_category, iou_by_category: the terms of the two means, by category name.
        num_images: how many images were evaluated; 0 where there was nothing to do, for the search had stopped.
    """

    loss: float = 0.0
    map: float = 0.0
    map50: float = 0.0
    miou: float = 0.0
    ap_by_category: dict[str, float] = field(default_factory=dict)
    iou_by_category: dict[str, float] = field(default_factory=dict)
    num_images: int = 0


@dataclass(frozen=True)
class HypergradientReport:
    """One hypergradient and where it came from; as it is by default where none was computed.

    Attributes:
        gradient: E[f · ∇_ψ log p_ψ] by ψ entry, as estimated (−dL_val/dψ), of the whole f: `search.credit` and the
            standardisation of a step are not in it.
        influences: f(s_k) = vᵀ∇_θ l(s_k; θ) of each image of the batch.
        validation_gradient_norm: ‖∇_θ L_val‖.
        norm: Euclidean norm of `gradient`.
        solver_outcome, solver_steps, solver_residual: how the linear solve ended, its steps and ‖b − Av‖ / ‖b‖.
    """

    gradient: dict[str, float] = field(default_factory=dict)
    influences: tuple[float, ...] = ()
    validation_gradient_norm: float = 0.0
    norm: float = 0.0
    solver_outcome: str = "not_run"
    solver_steps: int = 0
    solver_residual: float = 0.0


STAGES = ("pretrain", "render", "train", "evaluate", "hypergradient")
"""What a run's time goes into; what is none of these is `other`."""


@dataclass(frozen=True)
class StageSeconds:
    """Wall-clock seconds of a run by stage; `other` is all the rest: start-up, Kedro, MLflow, files, figures.

    `pretrain` is rendering and training before the loop, 0 in a run that found it done.
    """

    pretrain: float = 0.0
    render: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    hypergradient: float = 0.0
    other: float = 0.0
    total: float = 0.0
