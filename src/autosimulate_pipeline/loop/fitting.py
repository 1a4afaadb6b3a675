"""A task model trained on labelled images, with a warning if it then finds nothing on them."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import torch

from autosimulate_pipeline.evaluation.metrics import precisions_by_category
from autosimulate_pipeline.records import AnnotatedDataset, Progress, ignore_progress
from autosimulate_pipeline.task_models import TaskModel, TrainingSettings, Weights, fit, on_device, training_batch

logger = logging.getLogger(__name__)

NUM_CHECKED = 16
"""Training images that the trained network is asked about."""

LEAST_MAP = 0.01
"""A network with less on its own training images has found nothing."""

FALLEN = 0.7
"""The loss has fallen if this share of it is left, or less: one step of a tiny training is no reason to warn."""


def fit_images(
    task_model: TaskModel,
    weights: Weights,
    dataset: AnnotatedDataset,
    settings: TrainingSettings,
    variants_seed: int,
    generator: torch.Generator,
    block: str,
    progress: Progress = ignore_progress,
) -> Weights:
    """New weights, trained from `weights` on the images and their variants, see `fit`.

    Logs a warning if the loss fell, yet the network finds nothing on the images that it was trained on.

    Args:
        block: the dotted key of `settings`, for the warning.
    """
    batch = training_batch(task_model, dataset, settings, variants_seed)
    trained = fit(task_model, weights, batch, settings, generator, progress)
    _warn_if_blind(task_model, weights, trained, dataset, settings, block)
    return trained


@torch.no_grad()
def _warn_if_blind(
    task_model: TaskModel,
    before: Weights,
    after: Weights,
    dataset: AnnotatedDataset,
    settings: TrainingSettings,
    block: str,
) -> None:
    checked = dataclasses.replace(dataset, images=dataset.images[:NUM_CHECKED])
    precisions = precisions_by_category(task_model.predict(after, checked), checked)
    mean = float(np.mean(list(precisions.values()))) if precisions else 1.0
    if mean >= LEAST_MAP:
        return
    batch = task_model.prepare(checked)
    old, new = (
        float(task_model.per_image_losses(on_device(weights, batch.images.device), batch).mean())
        for weights in (before, after)
    )
    if new < FALLEN * old:
        logger.warning(
            "%s: the loss fell from %.3g to %.3g, but the network finds nothing on its own training images "
            "(mAP %.3f on %d of them): lower %s.learning_rate (%g), or raise the epochs",
            *(block, old, new, mean, len(checked), block, settings.learning_rate),
        )
