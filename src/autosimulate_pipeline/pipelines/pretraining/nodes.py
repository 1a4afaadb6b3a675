"""Pretraining on the pilot images, once for all runs with the same pilot images and task model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.loop.fitting import fit_images
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.task_models import (
    TaskModelSettings,
    TrainingSettings,
    Weights,
    build_task_model,
)


class PretrainingSettings(BaseModel):
    """What a network is trained on before any search; every method, control and retrained network starts from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(False, description="whether networks start from one that is trained on the pilot images")
    seed: int = Field(0, ge=0, description="apart from the run's seed: runs share the pretrained network")
    training: TrainingSettings = Field(TrainingSettings(epochs=40), description="of all weights, the frozen ones too")


def pretrain_task_model(
    pilot_dataset: AnnotatedDataset, task_model: TaskModelSettings, settings: PretrainingSettings
) -> Weights:
    """Weights trained on the pilot images, those included that the loop leaves frozen."""
    model = build_task_model(pilot_dataset.categories, task_model.model_copy(update={"frozen": ()}))
    weights = model.initial_weights(derive_seed(settings.seed, "pretraining weights"))
    variants_seed = derive_seed(settings.seed, "variants")
    generator = derive_generator(settings.seed, "pretraining")
    block = "pretraining.training"
    with watched("pretraining", settings.training.epochs, "epochs") as progress:
        return fit_images(model, weights, pilot_dataset, settings.training, variants_seed, generator, block, progress)
