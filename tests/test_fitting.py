"""Trainings on labelled images: what a network that learned nothing visible has to say."""

from __future__ import annotations

import dataclasses
import logging

import torch

import test_faster_rcnn
from autosimulate_pipeline.loop.fitting import fit_images
from autosimulate_pipeline.task_models import (
    TrainingSettings,
    UNetSettings,
    YoloSettings,
    build_task_model,
    fit,
    training_batch,
)
from test_yolo import rectangles

CATEGORIES = ("red", "blue")


def trained(model, dataset, training, caplog):
    """The weights after a training, and what was said."""
    with caplog.at_level(logging.WARNING):
        weights = fit_images(
            model, model.initial_weights(0), dataset, training, 3, torch.Generator().manual_seed(0), "training"
        )
    return weights, [record.getMessage() for record in caplog.records]


def test_a_loss_that_falls_while_nothing_is_found_is_said_with_what_to_change(caplog):
    training = TrainingSettings(epochs=10, batch_size=4, learning_rate=0.05)
    _, (line,) = trained(test_faster_rcnn.build(), test_faster_rcnn.rectangles(4), training, caplog)
    assert line.startswith("training: the loss fell from ") and "finds nothing on its own training images" in line
    assert line.endswith("on 4 of them): lower training.learning_rate (0.05), or raise the epochs")


def test_a_network_that_finds_its_objects_says_nothing_and_is_trained_as_by_fit(caplog):
    model = build_task_model(CATEGORIES, UNetSettings(input_size=32, device="cpu"))
    training = TrainingSettings(epochs=30, batch_size=4, num_variants=2, learning_rate=0.01)
    weights, said = trained(model, rectangles(4, 64), training, caplog)
    assert not said
    batch = training_batch(model, rectangles(4, 64), training, 3)
    expected = fit(model, model.initial_weights(0), batch, training, torch.Generator().manual_seed(0))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_images_without_objects_have_nothing_to_be_found(caplog):
    bare = rectangles(4, 64)
    images = tuple(
        dataclasses.replace(i, instance_mask=i.instance_mask * 0, instance_categories=()) for i in bare.images
    )
    model = build_task_model(CATEGORIES, YoloSettings(input_size=64, width=1 / 16, device="cpu"))
    training = TrainingSettings(epochs=1, learning_rate=0.02)
    assert not trained(model, dataclasses.replace(bare, images=images), training, caplog)[1]
