"""After the loop: the run's own network, and networks retrained from scratch on fresh images, on the test images."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.loop.fitting import fit_images
from autosimulate_pipeline.loop.judging import evaluate
from autosimulate_pipeline.loop.scenes import draw_scenes
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.task_models import (
    TaskModelSettings,
    TrainingSettings,
    Weights,
    build_task_model,
    starting_weights,
)


class FinalEvaluationSettings(BaseModel):
    """What happens once after the loop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(
        100, ge=2, description="fresh images that the networks at start and learned ψ are retrained on"
    )
    retraining: TrainingSettings = Field(TrainingSettings(epochs=40), description="from scratch, on fresh images")
    own_network: TrainingSettings = Field(
        TrainingSettings(epochs=30), description="on the images of the loop, after the pilot images"
    )


def train_own_network(
    seed: int,
    validation_set: AnnotatedDataset,
    task_model: TaskModelSettings,
    settings: FinalEvaluationSettings,
    pretrained_weights: Weights | None = None,
    pilot_weights: Weights | None = None,
    **rendered_datasets: AnnotatedDataset,
) -> Weights:
    """The run's own network, trained on all its images: first on the pilot's, then on those of the loop.

    In this order the images of the learned ψ decide and those of all other scenes are not lost: mixed, they cost
    accuracy. Where the network of the pilot images alone has the lower validation loss, the loop's images have made it
    worse, and it stays as it was.
    """
    images = tuple(image for name in sorted(rendered_datasets) for image in rendered_datasets[name].images)
    dataset = AnnotatedDataset(validation_set.categories, images)
    model = build_task_model(dataset.categories, task_model)
    start = pilot_weights or starting_weights(model, derive_seed(seed, "own network weights"), pretrained_weights)
    variants_seed = derive_seed(seed, "own network variants")
    generator = derive_generator(seed, "own network")
    own, block = settings.own_network, "final_evaluation.own_network"
    with watched("training on all images", own.epochs, "epochs") as progress:
        trained = fit_images(model, start, dataset, own, variants_seed, generator, block, progress)
    if pilot_weights is None:
        return trained
    return min(trained, pilot_weights, key=lambda weights: evaluate(model, weights, validation_set).loss)


def sample_fresh_scenes(
    start: SearchState, learned: SearchState, settings: FinalEvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fresh scenes from p_ψ before and after the loop, from the same underlying random numbers."""
    before, after = (
        draw_scenes(state.distribution, settings.num_images, state.seed, "final") for state in (start, learned)
    )
    return before, after


def retrain_task_model(
    seed: int,
    rendered_dataset: AnnotatedDataset,
    task_model: TaskModelSettings,
    settings: FinalEvaluationSettings,
    pretrained_weights: Weights | None = None,
) -> Weights:
    """Weights trained from scratch on fresh images: what a user gets who takes ψ and renders a training set."""
    model = build_task_model(rendered_dataset.categories, task_model)
    weights = starting_weights(model, derive_seed(seed, "retraining weights"), pretrained_weights)
    variants_seed = derive_seed(seed, "retraining variants")
    generator = derive_generator(seed, "retraining")
    block = "final_evaluation.retraining"
    with watched("retraining", settings.retraining.epochs, "epochs") as progress:
        return fit_images(
            model, weights, rendered_dataset, settings.retraining, variants_seed, generator, block, progress
        )


def evaluate_test(weights: Weights, test_set: AnnotatedDataset, task_model: TaskModelSettings) -> EvaluationReport:
    """How the weights do on the test images."""
    return evaluate(build_task_model(test_set.categories, task_model), weights, test_set)
