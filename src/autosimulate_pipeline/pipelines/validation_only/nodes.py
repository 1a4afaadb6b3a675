"""Training on the validation images alone, with the usual augmentation, and its report."""

from __future__ import annotations

from typing import Any

from autosimulate_pipeline.pipelines.final_evaluation.nodes import FinalEvaluationSettings, retrain_task_model
from autosimulate_pipeline.pipelines.pretraining.nodes import PretrainingSettings
from autosimulate_pipeline.pipelines.reporting.nodes import draw_retrained, first_images, typed_command
from autosimulate_pipeline.provenance import History
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, StageSeconds
from autosimulate_pipeline.reporting.frames import NUM_SHEET_IMAGES, Retrained, sheet
from autosimulate_pipeline.reporting.summary import summarise_validation_only
from autosimulate_pipeline.reporting.validation_only_report import ValidationOnlyRun, render_validation_only_report
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
    dataset = augmented(validation_set, _num_copies(validation_set, settings), derive_seed(seed, "augmentation"))
    return retrain_task_model(seed, dataset, task_model, settings, pretrained_weights)


def draw_trained(
    seed: int,
    validation_set: AnnotatedDataset,
    weights: Weights,
    test_set: AnnotatedDataset,
    task_model: TaskModelSettings,
) -> Retrained:
    """Labelled images with a variant of each, and what the network finds in a few test images."""
    shown = first_images(validation_set, NUM_SHEET_IMAGES // 2)
    variants = augmented(shown, 2, derive_seed(seed, "augmentation"))
    return draw_retrained(variants, weights, test_set, task_model)


def write_report(
    run: str,
    experiment: str,
    seed: int,
    task_model: TaskModelSettings,
    pretraining: PretrainingSettings,
    final_evaluation: FinalEvaluationSettings,
    validation_set: AnnotatedDataset,
    test_set: AnnotatedDataset,
    test_report: EvaluationReport,
    retrained: Retrained,
    provenance: History,
    stage_seconds: StageSeconds,
) -> tuple[dict[str, Any], str]:
    """The run in numbers, and on one HTML page. The last node, so that the seconds are whole."""
    summary = summarise_validation_only(run, experiment, seed, test_report, stage_seconds, provenance)
    blocks = {"task_model": task_model, "pretraining": pretraining, "final_evaluation": final_evaluation}
    finished = ValidationOnlyRun(
        summary=summary,
        categories=validation_set.categories,
        settings={name: settings.model_dump(mode="json") for name, settings in blocks.items()},
        command=typed_command(),
        images={
            "pretraining": pretraining.num_images,
            "labelled": len(validation_set),
            "trained on": len(validation_set) * _num_copies(validation_set, final_evaluation),
            "test": len(test_set),
        },
        test={"validation_only": test_report},
        test_sheet=sheet(test_set),
        retrained=retrained,
    )
    return summary, render_validation_only_report(finished)


def _num_copies(validation_set: AnnotatedDataset, settings: FinalEvaluationSettings) -> int:
    return max(1, -(-settings.num_polish_images // len(validation_set)))
