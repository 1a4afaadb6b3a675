"""Training on the validation images alone, with the usual augmentation, and its summary."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from autosimulate_pipeline.pipelines.final_evaluation.nodes import FinalEvaluationSettings, retrain_task_model
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, StageSeconds
from autosimulate_pipeline.reporting.summary import metrics
from autosimulate_pipeline.task_models import TaskModelSettings, Weights
from autosimulate_pipeline.task_models.augmentation import augmented


def train_on_validation(
    seed: int,
    validation_set: AnnotatedDataset,
    task_model: TaskModelSettings,
    settings: FinalEvaluationSettings,
    pretrained_weights: Weights | None = None,
) -> Weights:
    """Weights trained from scratch on variants of the validation images, as many as a loop's network is polished on."""
    num_copies = max(1, -(-settings.num_polish_images // len(validation_set)))
    dataset = augmented(validation_set, num_copies, derive_seed(seed, "augmentation"))
    return retrain_task_model(seed, dataset, task_model, settings, pretrained_weights)


def write_summary(
    run: str, experiment: str, seed: int, test_report: EvaluationReport, stage_seconds: StageSeconds
) -> dict[str, Any]:
    """The run in numbers: no image rendered, nothing searched."""
    values = metrics(test_report)
    return {
        "run": run,
        "method": "validation_only",
        "experiment": experiment,
        "seed": seed,
        "images_rendered": 0,
        "seconds": {stage: round(value, 2) for stage, value in asdict(stage_seconds).items()},
        "test_map": {"validation_only": values["mAP"]},
        "test_map50": {"validation_only": values["mAP50"]},
        "test_miou": {"validation_only": values.get("mIoU")},
    }
