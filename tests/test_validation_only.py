"""The control that trains on the labelled images alone: as many steps as the networks that it is compared with."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

import cases
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.loop.scenes import draw_scenes, scenes_of, seeds_of
from autosimulate_pipeline.pipelines.final_evaluation.nodes import FinalEvaluationSettings, retrain_task_model
from autosimulate_pipeline.pipelines.validation_only.nodes import equal_training, train_on_validation
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.simulators.toy import ToySimulator
from autosimulate_pipeline.task_models import TrainingSettings, UNetSettings
from autosimulate_pipeline.task_models.augmentation import augmented


def settings(num_images: int, epochs: int, batch_size: int = 5) -> FinalEvaluationSettings:
    retraining = TrainingSettings(epochs=epochs, batch_size=batch_size)
    return FinalEvaluationSettings(num_images=num_images, retraining=retraining)


@pytest.mark.parametrize(
    ("num_labelled", "final", "expected"),
    [
        (30, settings(100, 40), (400, 10)),  # the default experiment
        (60, settings(100, 40), (800, 5)),
        (9000, settings(100, 40), (4000, 1)),  # more than the others train on in all
        (30, settings(1000, 20), (1000, 20)),
        (6, settings(10, 7), (70, 1)),  # a prime number of epochs
    ],
)
def test_training_is_as_long_as_that_of_the_retrained_networks(
    num_labelled: int, final: FinalEvaluationSettings, expected: tuple[int, int]
) -> None:
    num_images, epochs = equal_training(num_labelled, final)
    assert (num_images, epochs) == expected
    batch_size = final.retraining.batch_size
    steps = epochs * math.ceil(num_images / batch_size)
    assert steps == final.retraining.epochs * math.ceil(final.num_images / batch_size)


def test_network_is_trained_on_the_labelled_images_and_variants_that_fill_the_set_up() -> None:
    simulator, seed = ToySimulator(image_size=32), 3
    scenes = draw_scenes(ProductDistribution.model_validate(cases.TOY_HIDDEN), 3, 0, "labelled")
    labelled = simulator.render(scenes_of(scenes), seeds_of(scenes))
    model = UNetSettings(input_size=32, base_channels=8, device="cpu")
    trained = train_on_validation(seed, labelled, model, settings(4, 4))
    filled = augmented(labelled, 6, derive_seed(seed, "augmentation"))
    sixteen = dataclasses.replace(filled, images=filled.images[:16])
    expected = retrain_task_model(seed, sixteen, model, settings(16, 1))
    assert all(torch.equal(trained[name], weight) for name, weight in expected.items())
