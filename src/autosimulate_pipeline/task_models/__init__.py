"""Task models: networks as functions of their weights, with per-image losses, training and prediction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from autosimulate_pipeline.task_models import faster_rcnn_networks
from autosimulate_pipeline.task_models.augmentation import training_batch
from autosimulate_pipeline.task_models.base import (
    Batch,
    TaskModel,
    Weights,
    num_weights,
    on_device,
    ravel,
    split_frozen,
    starting_weights,
    unravel,
)
from autosimulate_pipeline.task_models.darknet_weights import load_darknet_weights
from autosimulate_pipeline.task_models.faster_rcnn import FasterRCNNModel
from autosimulate_pipeline.task_models.lraspp import LRASPP
from autosimulate_pipeline.task_models.segmentation import SegmentationModel
from autosimulate_pipeline.task_models.training import TrainingSettings, fit, shrunk_and_perturbed
from autosimulate_pipeline.task_models.unet import UNet
from autosimulate_pipeline.task_models.weights_files import read_state_dict
from autosimulate_pipeline.task_models.yolo import YoloModel
from autosimulate_pipeline.task_models.yolov3_spp import DARKNET_53, YOLOV3_SPP
from autosimulate_pipeline.user_paths import expanded

__all__ = [
    "SEGMENTATION_NETWORKS",
    "TASK_MODELS",
    "Batch",
    "SegmentationModel",
    "TaskModel",
    "TaskModelSettings",
    "TrainingSettings",
    "Weights",
    "build_task_model",
    "check_task_model",
    "fit",
    "num_weights",
    "on_device",
    "ravel",
    "shrunk_and_perturbed",
    "split_frozen",
    "starting_weights",
    "training_batch",
    "unravel",
]


class TaskModelSettings(BaseModel):
    """Which network is trained, at which resolution; keys that are for another type change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(
        default="unet",
        description="the network",
        json_schema_extra=lambda schema: schema.update(enum=[*TASK_MODELS]),
    )
    input_size: int = Field(
        default=48,
        ge=16,
        le=1024,
        description="side of the square the network sees; detectors pad to it; yolov3_spp: a multiple of 32",
        json_schema_extra={"unit": "px"},
    )
    base_channels: int = Field(
        default=16, ge=4, le=256, multiple_of=4, description="of unet: channels at the finest level; lraspp: 16"
    )
    width: float = Field(default=1, gt=0, le=2, description="of yolov3_spp: filters, relative to the published ones")
    num_regions: int = Field(
        default=64,
        ge=4,
        multiple_of=4,
        description="of faster_rcnn_…: regions of an image that the second stage is trained on",
    )
    background_weight: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="of all but faster_rcnn_…: weight of background in the loss; an object has 1",
    )
    weights_file: Path | None = Field(
        default=None,
        description="of detectors, weights of yours to start from: a state_dict of torchvision's for faster_rcnn_…, "
        "Darknet's `yolov3-spp.weights` or `darknet53.conv.74` for yolov3_spp, or the .safetensors of an earlier run",
    )
    frozen: tuple[str, ...] = Field(
        default=(),
        description="how the names of those weights begin that stay as they were before the loop, and are no part of θ",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: cuda where there is one")

    @property
    def weights_path(self) -> Path | None:
        """The weights file with `~` expanded."""
        return None if self.weights_file is None else expanded(self.weights_file)

    @property
    def uses_cuda(self) -> bool:
        """Whether the networks are trained on a GPU here."""
        return self.device != "cpu" and torch.cuda.is_available()

    @field_validator("type")
    @classmethod
    def _type_is_known(cls, value: str) -> str:
        if value not in TASK_MODELS:
            raise ValueError(f"task_model.type must be one of {', '.join(TASK_MODELS)}, got {value!r}")
        return value


BuildTaskModel = Callable[[tuple[str, ...], TaskModelSettings, torch.device], TaskModel]

SEGMENTATION_NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {"unet": UNet, "lraspp": LRASPP}
"""Called with the number of classes (background included) and the base channels."""


def _segmentation(
    network: Callable[[int, int], nn.Module],
    categories: tuple[str, ...],
    settings: TaskModelSettings,
    device: torch.device,
) -> TaskModel:
    build_network = partial(network, len(categories) + 1, settings.base_channels)
    size, weight = settings.input_size, settings.background_weight
    return SegmentationModel(build_network, categories, size, weight, device, settings.frozen)


def _yolov3_spp(categories: tuple[str, ...], settings: TaskModelSettings, device: torch.device) -> TaskModel:
    pretrained: dict[str, Tensor] = {}
    file = settings.weights_path
    if file is not None and file.suffix == ".safetensors":
        pretrained = read_state_dict(file)
    elif file is not None:
        layers = DARKNET_53 if file.name.startswith("darknet53") else YOLOV3_SPP
        pretrained = load_darknet_weights(file, layers, len(categories), width=settings.width)
    return YoloModel(
        categories,
        settings.input_size,
        device,
        width=settings.width,
        background_weight=settings.background_weight,
        pretrained=pretrained,
        frozen=settings.frozen,
    )


def _faster_rcnn(
    network: str, categories: tuple[str, ...], settings: TaskModelSettings, device: torch.device
) -> TaskModel:
    file = settings.weights_path
    return FasterRCNNModel(
        partial(faster_rcnn_networks.NETWORKS[network], len(categories) + 1, settings.input_size),
        categories,
        settings.input_size,
        device,
        settings.num_regions,
        pretrained=None if file is None else read_state_dict(file),
        frozen=settings.frozen,
    )


TASK_MODELS: dict[str, BuildTaskModel] = {
    **{name: partial(_segmentation, network) for name, network in SEGMENTATION_NETWORKS.items()},
    "yolov3_spp": _yolov3_spp,
    **{f"faster_rcnn_{name}": partial(_faster_rcnn, name) for name in faster_rcnn_networks.NETWORKS},
}


def build_task_model(categories: tuple[str, ...], settings: TaskModelSettings) -> TaskModel:
    """The task model that the settings ask for; on a CUDA device the process convolves in full float32 from then on.

    Raises:
        FileNotFoundError: if `weights_file` is missing.
        ValueError: if there is no category, cuda is asked for and missing, a setting does not suit the type, or the
            weights in the file are of another network.
    """
    if not categories:
        raise ValueError("categories must name at least one object category, got none")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("task_model.device must be auto or cpu on a machine without a CUDA device, got cuda")
    if settings.uses_cuda:
        torch.backends.cudnn.allow_tf32 = False  # its short mantissas put 7 % of noise into f, for no time saved
    return TASK_MODELS[settings.type](categories, settings, torch.device("cuda" if settings.uses_cuda else "cpu"))


def check_task_model(settings: TaskModelSettings, categories: tuple[str, ...]) -> None:
    """Nothing, if the task model can be built and has weights to train.

    Raises:
        FileNotFoundError, ValueError: as `build_task_model`; or if `frozen` names no weights, or all.
    """
    task_model = build_task_model(categories, settings)
    if settings.frozen:
        split_frozen(task_model, task_model.initial_weights(0))
