"""What conf says about the network that is trained: a block of keys for each kind of network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from autosimulate_pipeline.task_models.weights_sources import COCO, EXTRA_NETWORK, IMAGENET, NONE, weights_file


class TaskModelSettings(BaseModel):
    """What every network has: its type, the resolution, what stays frozen, and where it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(description="the network")
    input_size: int = Field(
        default=48,
        ge=16,
        le=1024,
        description="side of the square that the network reads; detectors pad images to it",
        json_schema_extra={"unit": "px"},
    )
    frozen: tuple[str, ...] = Field(
        default=(), description="name prefixes of weights that stay frozen during the loop and are no part of θ"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: cuda where there is one")

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """The settings of the network that `obj` names: Kedro asks the class in a node's signature for them."""
        if cls is TaskModelSettings:
            settings: Self = _ANY_TASK_MODEL.validate_python(obj, **options)
            return settings
        return super().model_validate(obj, **options)

    @property
    def uses_cuda(self) -> bool:
        """Whether the networks are trained on a GPU here."""
        return self.device != "cpu" and torch.cuda.is_available()

    @property
    def starting_file(self) -> Path | None:
        """The file with the weights to start from, which may be missing; None where the network starts from nothing.

        Raises:
            FileNotFoundError, ValueError: as `weights_file`.
        """
        return None


class DetectorSettings(TaskModelSettings):
    """What detectors have besides: weights to start from."""

    weights: str = NONE

    @property
    def starting_file(self) -> Path | None:
        """The file with the weights to start from, which may be missing; None where the network starts from nothing.

        Raises:
            FileNotFoundError, ValueError: as `weights_file`.
        """
        return weights_file(self.weights, self.type, allow_download=False)

    @property
    def names_a_file(self) -> bool:
        """Whether the weights are a file of the user's."""
        return self.weights not in (NONE, IMAGENET, COCO)

    def starting_from(self, file: Path) -> Self:
        """These settings with that file in the place of the weights that the network starts from, if there are any."""
        return self if self.weights == NONE else self.model_copy(update={"weights": str(file)})


_BACKGROUND = "weight of background in the loss; an object has 1"


class UNetSettings(TaskModelSettings):
    """A small U-Net, which segments; it starts from nothing."""

    type: Literal["unet"] = "unet"
    base_channels: int = Field(default=16, ge=4, le=256, multiple_of=4, description="channels at the finest level")
    background_weight: float = Field(default=0.1, gt=0, le=1, description=_BACKGROUND)


class YoloSettings(DetectorSettings):
    """YOLOv3-SPP, which detects; `input_size` is a multiple of 32."""

    type: Literal["yolov3_spp"] = "yolov3_spp"
    width: float = Field(default=1, gt=0, le=2, description="filters, relative to the published ones")
    background_weight: float = Field(default=1, gt=0, le=1, description=_BACKGROUND)
    weights: str = Field(
        default=NONE,
        min_length=1,
        description="what to start from: `none`, or a file (Darknet's `yolov3-spp.weights` or `darknet53.conv.74`, or "
        "the .safetensors of an earlier run)",
    )


class FasterRCNNSettings(DetectorSettings):
    """Faster R-CNN with a feature pyramid, which detects, on one of several bodies."""

    type: Literal[
        "faster_rcnn_efficientnet_lite0_fpn",
        "faster_rcnn_mobilenet_v2_fpn",
        "faster_rcnn_mobilenet_v3_large_fpn",
        "faster_rcnn_resnet50_fpn",
    ]
    num_regions: int = Field(
        default=64, ge=4, multiple_of=4, description="regions of an image that the second stage is trained on"
    )
    weights: str = Field(
        default_factory=lambda known: IMAGENET if known.get("type") == EXTRA_NETWORK else NONE,
        min_length=1,
        json_schema_extra={"default": NONE},
        description="what to start from: `none`; `imagenet` (the body: for `faster_rcnn_efficientnet_lite0_fpn` its "
        "default, which comes with the extra `pretrained`, for the others torchvision's); `coco` (torchvision's "
        "`faster_rcnn_resnet50_fpn`); or a file: the state_dict of a detector or of its body alone, such as "
        "torchvision's `mobilenet_v2`, or the .safetensors of an earlier run",
    )
    allow_download: bool = Field(
        default=False, description="download torchvision's weights where torch.hub's folder lacks them"
    )

    @property
    def starting_file(self) -> Path | None:
        """As for any detector; torchvision's weights are downloaded where that is allowed."""
        return weights_file(self.weights, self.type, self.allow_download)


AnyTaskModel = Annotated[UNetSettings | YoloSettings | FasterRCNNSettings, Field(discriminator="type")]
"""Of all networks: the line in which settings of a new kind are added."""

_ANY_TASK_MODEL: TypeAdapter[Any] = TypeAdapter(AnyTaskModel)

SETTINGS_BY_TYPE: dict[str, type[TaskModelSettings]] = {
    name: kind
    for kind in get_args(get_args(AnyTaskModel)[0])
    for name in get_args(kind.model_fields["type"].annotation)
}
"""The kind of settings for each network."""

SEGMENTATION_NETWORKS = get_args(UNetSettings.model_fields["type"].annotation)
"""The networks that learn from masks; the others are detectors."""
