"""After the loop: the polished task model, and networks retrained from scratch on fresh images, on the test images."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.search.fitting import fit_images
from autosimulate_pipeline.search.judging import evaluate
from autosimulate_pipeline.search.scenes import draw_scenes
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
    num_polish_images: int = Field(400, ge=2, description="the loop's last images, which its weights are polished on")
    polish: TrainingSettings = Field(TrainingSettings(epochs=20), description="of the loop's own weights")


def polish_task_model(
    state: SearchState,
    weights: Weights,
    task_model: TaskModelSettings,
    settings: FinalEvaluationSettings,
    *rendered_datasets: AnnotatedDataset,
) -> Weights:
    """The loop's weights, trained on its last images together."""
    last_images = [image for dataset in rendered_datasets for image in dataset.images][-settings.num_polish_images :]
    dataset = AnnotatedDataset(rendered_datasets[0].categories, tuple(last_images))
    model = build_task_model(dataset.categories, task_model)
    variants_seed = derive_seed(state.seed, "polish variants")
    generator = derive_generator(state.seed, "polish")
    block = "final_evaluation.polish"
    with watched("polishing", settings.polish.epochs, "epochs") as progress:
        return fit_images(model, weights, dataset, settings.polish, variants_seed, generator, block, progress)


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
