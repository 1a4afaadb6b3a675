"""Training on the validation images alone, with the usual augmentation, and its report."""

from __future__ import annotations

import dataclasses
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

NUM_VARIANTS = 12
"""Different variants of a labelled image that are trained on, where the epochs allow so many."""


def train_on_validation(
    seed: int,
    validation_set: AnnotatedDataset,
    task_model: TaskModelSettings,
    settings: FinalEvaluationSettings,
    pretrained_weights: Weights | None = None,
) -> Weights:
    """Weights trained from scratch on the validation images and variants of them.

    As many optimiser steps as the networks take that are retrained on rendered images.
    """
    num_images, epochs = equal_training(len(validation_set), settings)
    num_copies = -(-num_images // len(validation_set))
    variants = augmented(validation_set, num_copies, derive_seed(seed, "augmentation"))
    dataset = dataclasses.replace(variants, images=variants.images[:num_images])
    equal = settings.retraining.model_copy(update={"epochs": epochs})
    shortened = settings.model_copy(update={"retraining": equal})
    return retrain_task_model(seed, dataset, task_model, shortened, pretrained_weights)


def equal_training(num_labelled: int, settings: FinalEvaluationSettings) -> tuple[int, int]:
    """Images and epochs of the training, whose product is that of a network retrained on rendered images.

    Variants cost nothing, so there are `NUM_VARIANTS` of each labelled image, as far as whole epochs allow.
    """
    epochs, wanted = settings.retraining.epochs, NUM_VARIANTS * num_labelled
    shares = (share for share in range(1, epochs) if not epochs % share and share * settings.num_images >= wanted)
    share = next(shares, epochs)
    return share * settings.num_images, epochs // share


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
            "labelled": len(validation_set),
            "trained on": equal_training(len(validation_set), final_evaluation)[0],
            "test": len(test_set),
        },
        test={"validation_only": test_report},
        test_sheet=sheet(test_set),
        retrained=retrained,
    )
    return summary, render_validation_only_report(finished)
