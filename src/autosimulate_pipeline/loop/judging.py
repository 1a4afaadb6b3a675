"""A task model judged on labelled images."""

from __future__ import annotations

import torch

from autosimulate_pipeline.evaluation.metrics import evaluation_report
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport
from autosimulate_pipeline.task_models import TaskModel, Weights, on_device


@torch.no_grad()
def evaluate(task_model: TaskModel, weights: Weights, dataset: AnnotatedDataset) -> EvaluationReport:
    """Loss, mAP and mIoU of the weights on the dataset."""
    batch = task_model.prepare(dataset)
    weights = on_device(weights, batch.images.device)
    losses = [task_model.per_image_losses(weights, part) for part in batch.split(task_model.images_per_pass)]
    return evaluation_report(task_model.predict(weights, dataset), torch.cat(losses).cpu(), dataset)
