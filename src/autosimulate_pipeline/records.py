"""The values that travel between stages. Reading this file tells the data flow.

distributions draw scenes → a simulator renders an `AnnotatedDataset` → a task model trains on it → its `Prediction`s on
the validation images become an `EvaluationReport` → the hypergradient becomes a `HypergradientReport` and moves ψ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Scene = Mapping[str, float | int | str]
"""One draw from p_ψ as the simulator gets it: simulator parameter by name, in its own units, inside its range."""

Progress = Callable[[int], None]
"""Called with the number of units (images, epochs) finished since the last call."""


def ignore_progress(_num_finished: int) -> None:
    """The progress callback of a caller that does not watch."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with its instances.

    Attributes:
        image: sRGB, shape (height, width, 3), uint8.
        instance_mask: shape (height, width), uint8; 0 is background, i belongs to the i-th instance. Every instance
            has at least one pixel.
        instance_categories: for instance i = 1, 2, … its category, an index from 1 into the dataset's `categories`.
    """

    image: NDArray[np.uint8]
    instance_mask: NDArray[np.uint8]
    instance_categories: tuple[int, ...]

    @property
    def semantic_mask(self) -> NDArray[np.uint8]:
        """The category at each pixel, 0 for background, shape (height, width), uint8."""
        return np.array((0, *self.instance_categories), dtype=np.uint8)[self.instance_mask]


@dataclass(frozen=True, eq=False)
class AnnotatedDataset:
    """Images of any size that share their categories (background not among them)."""

    categories: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a task model says about one image, at that image's own size.

    Attributes:
        semantic_mask: category at each pixel, 0 for background, shape (height, width), uint8.
        instance_masks: shape (num_instances, height, width), bool.
        instance_categories: category of each instance, from 1.
        instance_scores: confidence of each instance in [0, 1].
    """

    semantic_mask: NDArray[np.uint8]
    instance_masks: NDArray[np.bool_]
    instance_categories: tuple[int, ...]
    instance_scores: tuple[float, ...]


@dataclass(frozen=True)
class EvaluationReport:
    """How a task model does on a labelled dataset.

    Attributes:
        loss: mean per-image loss, that is L_val(θ).
        map: COCO mask AP@[.5:.95], mean over the object categories, in [0, 1].
        miou: intersection over union, summed over images and averaged over the object categories, in [0, 1].
        ap_by_category, iou_by_category: the terms of the two means, by category name.
        num_images: how many images were evaluated; 0 where there was nothing to do, for the search had stopped.
    """

    loss: float = 0.0
    map: float = 0.0
    miou: float = 0.0
    ap_by_category: dict[str, float] = field(default_factory=dict)
    iou_by_category: dict[str, float] = field(default_factory=dict)
    num_images: int = 0


@dataclass(frozen=True)
class HypergradientReport:
    """One hypergradient and what moved ψ; as it is by default where none was computed.

    Attributes:
        gradient: E[f · ∇_ψ log p_ψ] by ψ entry, as estimated (−dL_val/dψ).
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


@dataclass(frozen=True)
class StageSeconds:
    """Wall-clock seconds of a run by stage; `other` is all the rest: start-up, Kedro, MLflow, files, figures."""

    render: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    hypergradient: float = 0.0
    other: float = 0.0
    total: float = 0.0
