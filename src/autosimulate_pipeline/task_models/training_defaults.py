"""How each network is trained where the configuration leaves it open: epochs and learning rates that suit it.

Detectors are trained on variants of every image, and so for fewer epochs. A learning rate ten times as high kills the
second stage of Faster R-CNN: its loss still falls, and it never finds an object again.
"""

from __future__ import annotations

from typing import Any

from autosimulate_pipeline.task_models.settings import SETTINGS_BY_TYPE

PRETRAINING, LOOP = "pretraining.training", "training"
RETRAINING, OWN = "final_evaluation.retraining", "final_evaluation.own_network"

Trainings = dict[str, dict[str, Any]]
"""Keys of a training by the dotted key of its block."""

_SEGMENTATION: Trainings = {
    PRETRAINING: {"epochs": 40, "learning_rate": 3e-3},
    LOOP: {"first_epochs": 40, "epochs": 12, "learning_rate": 3e-3},
    RETRAINING: {"epochs": 40, "learning_rate": 3e-3},
    OWN: {"epochs": 30, "learning_rate": 3e-3},
}


def _detection(learning_rate: float, of_pretraining: float) -> Trainings:
    return {
        PRETRAINING: {"epochs": 8, "num_variants": 8, "learning_rate": of_pretraining},
        LOOP: {"first_epochs": 4, "epochs": 4, "num_variants": 4, "learning_rate": learning_rate},
        RETRAINING: {"epochs": 6, "num_variants": 8, "learning_rate": learning_rate},
        OWN: {"epochs": 3, "num_variants": 4, "learning_rate": learning_rate},
    }


TRAINING_DEFAULTS: dict[str, Trainings] = {
    "unet": _SEGMENTATION,
    "yolov3_spp": _detection(1e-3, 3e-3),
    "faster_rcnn_efficientnet_lite0_fpn": _detection(5e-4, 5e-4),
    "faster_rcnn_mobilenet_v2_fpn": _detection(5e-4, 5e-4),
    "faster_rcnn_mobilenet_v3_large_fpn": _detection(3e-4, 3e-4),
    "faster_rcnn_resnet50_fpn": _detection(3e-4, 3e-4),
}
"""For each network in SETTINGS_BY_TYPE."""


def fill_in_trainings(parameters: dict[str, Any]) -> None:
    """Adds to the trainings in `parameters` what they leave open, as suits the network in `task_model.type`."""
    task_model = parameters.get("task_model")
    network = task_model.get("type") if isinstance(task_model, dict) else None
    if network not in SETTINGS_BY_TYPE:
        return  # refused where the parameters are checked
    for dotted_key, defaults in TRAINING_DEFAULTS[network].items():
        block: Any = parameters
        for key in dotted_key.split("."):
            block = block.setdefault(key, {}) if isinstance(block, dict) else None
        if isinstance(block, dict):
            block.update({key: value for key, value in defaults.items() if key not in block})
