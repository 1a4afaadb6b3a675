"""Task models: networks as functions of their weights, with per-image losses, training and prediction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import nn

from autosimulate_pipeline.task_models.base import (
    Batch,
    TaskModel,
    Weights,
    num_weights,
    ravel,
    split_frozen,
    starting_weights,
    unravel,
)
from autosimulate_pipeline.task_models.lraspp import LRASPP
from autosimulate_pipeline.task_models.segmentation import SegmentationModel
from autosimulate_pipeline.task_models.training import TrainingSettings, fit, shrunk_and_perturbed
from autosimulate_pipeline.task_models.unet import UNet

__all__ = [
    "TASK_MODELS",
    "Batch",
    "SegmentationModel",
    "TaskModel",
    "TaskModelSettings",
    "TrainingSettings",
    "Weights",
    "build_task_model",
    "fit",
    "num_weights",
    "ravel",
    "shrunk_and_perturbed",
    "split_frozen",
    "starting_weights",
    "unravel",
]

TASK_MODELS: dict[str, Callable[[int, int], nn.Module]] = {"unet": UNet, "lraspp": LRASPP}
"""Network by name: called with the number of classes (background included) and the base channels."""


class TaskModelSettings(BaseModel):
    """Which network is trained, at which resolution."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(default="unet", description="a key of TASK_MODELS")
    input_size: int = Field(default=48, ge=16, le=1024, description="side in pixels of the square the network sees")
    base_channels: int = Field(
        default=16, ge=4, le=256, multiple_of=4, description="channels at the finest level of the unet"
    )
    background_weight: float = Field(
        default=0.1, gt=0, le=1, description="weight of a background pixel in the loss; an object's pixel has 1"
    )
    frozen: tuple[str, ...] = Field(
        default=(), description="how the names of those weights begin that stay as they were before the loop"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: cuda where there is one")

    @field_validator("type")
    @classmethod
    def _type_is_known(cls, value: str) -> str:
        if value not in TASK_MODELS:
            raise ValueError(f"task_model.type must be one of {', '.join(TASK_MODELS)}, got {value!r}")
        return value


def build_task_model(categories: tuple[str, ...], settings: TaskModelSettings) -> SegmentationModel:
    """The task model that the settings ask for.

    Raises:
        ValueError: if there is no category, or cuda is asked for and missing.
    """
    if not categories:
        raise ValueError("categories must name at least one object category, got none")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("task_model.device must be auto or cpu on a machine without a CUDA device, got cuda")
    device = "cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"
    build_network = partial(TASK_MODELS[settings.type], len(categories) + 1, settings.base_channels)
    return SegmentationModel(
        build_network,
        categories,
        settings.input_size,
        settings.background_weight,
        torch.device(device),
        settings.frozen,
    )
