"""Task models: networks as functions of their weights, with per-image losses, training and prediction."""

from __future__ import annotations

import logging
from functools import partial

import torch
from torch import Tensor

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
from autosimulate_pipeline.task_models.faster_rcnn_networks import NETWORKS
from autosimulate_pipeline.task_models.segmentation import SegmentationModel
from autosimulate_pipeline.task_models.settings import (
    SEGMENTATION_NETWORKS,
    SETTINGS_BY_TYPE,
    AnyTaskModel,
    DetectorSettings,
    FasterRCNNSettings,
    TaskModelSettings,
    UNetSettings,
    YoloSettings,
)
from autosimulate_pipeline.task_models.training import TrainingSettings, fit, shrunk_and_perturbed
from autosimulate_pipeline.task_models.unet import UNet
from autosimulate_pipeline.task_models.weights_files import read_state_dict
from autosimulate_pipeline.task_models.yolo import YoloModel
from autosimulate_pipeline.task_models.yolov3_spp import DARKNET_53, YOLOV3_SPP

__all__ = [
    "SEGMENTATION_NETWORKS",
    "SETTINGS_BY_TYPE",
    "AnyTaskModel",
    "Batch",
    "DetectorSettings",
    "FasterRCNNSettings",
    "SegmentationModel",
    "TaskModel",
    "TaskModelSettings",
    "TrainingSettings",
    "UNetSettings",
    "Weights",
    "YoloSettings",
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

logger = logging.getLogger(__name__)


def _unet(categories: tuple[str, ...], settings: UNetSettings, device: torch.device) -> TaskModel:
    build_network = partial(UNet, len(categories) + 1, settings.base_channels)
    size, weight = settings.input_size, settings.background_weight
    return SegmentationModel(build_network, categories, size, weight, device, settings.frozen)


def _yolov3_spp(categories: tuple[str, ...], settings: YoloSettings, device: torch.device) -> TaskModel:
    pretrained: dict[str, Tensor] = {}
    file = settings.starting_file
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


def _faster_rcnn(categories: tuple[str, ...], settings: FasterRCNNSettings, device: torch.device) -> FasterRCNNModel:
    file = settings.starting_file
    network = NETWORKS[settings.type.removeprefix("faster_rcnn_")]
    return FasterRCNNModel(
        partial(network, len(categories) + 1, settings.input_size),
        categories,
        settings.input_size,
        device,
        settings.num_regions,
        pretrained=None if file is None else read_state_dict(file),
        frozen=settings.frozen,
    )


def build_task_model(categories: tuple[str, ...], settings: TaskModelSettings) -> TaskModel:
    """The task model that the settings ask for; on a CUDA device the process convolves in full float32 from then on.

    Raises:
        FileNotFoundError: if the file that `weights` stands for is missing.
        ValueError: if there is no category, cuda is asked for and missing, a setting does not suit the network, or the
            weights in the file are of another one.
    """
    if not categories:
        raise ValueError("categories must name at least one object category, got none")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("task_model.device must be auto or cpu on a machine without a CUDA device, got cuda")
    if settings.uses_cuda:
        torch.backends.cudnn.allow_tf32 = False  # its short mantissas put 7 % of noise into f, for no time saved
    device = torch.device("cuda" if settings.uses_cuda else "cpu")
    if isinstance(settings, UNetSettings):
        return _unet(categories, settings, device)
    if isinstance(settings, YoloSettings):
        return _yolov3_spp(categories, settings, device)
    if isinstance(settings, FasterRCNNSettings):
        return _faster_rcnn(categories, settings, device)
    raise TypeError(f"settings must be of a network, got {type(settings).__name__}")


def check_task_model(settings: TaskModelSettings, categories: tuple[str, ...]) -> None:
    """Nothing, if the task model can be built and has weights to train.

    Raises:
        FileNotFoundError, ValueError: as `build_task_model`; or if `frozen` names no weights, or all.
    """
    task_model = build_task_model(categories, settings)
    is_body = isinstance(task_model, FasterRCNNModel) and task_model.starts_from_body_alone
    if is_body and isinstance(settings, DetectorSettings) and settings.names_a_file:
        logger.warning(
            "task_model.weights: %s holds the body of the network alone; pyramid and heads start fresh",
            settings.starting_file,
        )
    if settings.frozen:
        split_frozen(task_model, task_model.initial_weights(0))
