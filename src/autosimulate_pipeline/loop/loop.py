"""The loop: how an iteration trains θ, and all iterations in one process, for notebooks and other programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.loop.fitting import fit_images
from autosimulate_pipeline.loop.judging import evaluate
from autosimulate_pipeline.loop.problem import influences_on
from autosimulate_pipeline.loop.scenes import draw_scenes, draws_of, scenes_of, seeds_of
from autosimulate_pipeline.loop.simulation import numbered_owners
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import (
    AnnotatedDataset,
    AnnotatedImage,
    EvaluationReport,
    HypergradientReport,
    Progress,
    ignore_progress,
)
from autosimulate_pipeline.search import SEARCH_METHODS, LoopTrainingSettings, SearchMethod
from autosimulate_pipeline.search.base import Observation, SearchState
from autosimulate_pipeline.simulators import Simulator
from autosimulate_pipeline.task_models import (
    TaskModel,
    Weights,
    shrunk_and_perturbed,
    split_frozen,
    starting_weights,
)


@dataclass(frozen=True, eq=False)
class Iteration:
    """What an iteration has left behind: the next state, θ and how it does, the hypergradient, the images."""

    state: SearchState
    weights: Weights
    validation: EvaluationReport
    hypergradient: HypergradientReport
    rendered: AnnotatedDataset


def run_loop(
    method: SearchMethod,
    start: ProductDistribution,
    simulator: Simulator,
    task_model: TaskModel,
    validation_set: AnnotatedDataset,
    training: LoopTrainingSettings,
    seed: int = 0,
    progress: Progress = ignore_progress,
) -> Iterator[Iteration]:
    """The iterations of a search, one after the other, until the method stops; nothing is written to disk.

    Equal arguments give the numbers of `kedro run` with them, to rounding.

    Args:
        start: p_ψ before the first iteration.
        progress: told of every image rendered.
    """
    began = time.monotonic()
    owners = numbered_owners(simulator, start, simulator.categories)
    state = method.init(start, seed)
    weights = task_model.initial_weights(derive_seed(seed, "initial weights"))
    latest: list[AnnotatedDataset] = []
    for k in range(method.loop.num_iterations):
        if state.is_finished:
            return
        scenes = draw_scenes(method.propose(state), method.loop.num_images, seed, k)
        rendered = simulator.render(scenes_of(scenes), seeds_of(scenes), progress)
        latest = [rendered] if method.trains_from_scratch else [rendered, *latest][: training.window]
        before, weights = weights, fit_iteration(state, task_model, weights, latest, training)
        validation = evaluate(task_model, weights, validation_set)
        minutes = (time.monotonic() - began) / 60
        observation = observe(
            scenes, rendered, before, weights, validation, validation_set, task_model, owners, minutes
        )
        state, report = method.update(state, observation)
        yield Iteration(state, weights, validation, report, rendered)


def observe(
    scenes: pd.DataFrame,
    rendered: AnnotatedDataset,
    before: Weights,
    after: Weights,
    validation: EvaluationReport,
    validation_set: AnnotatedDataset,
    task_model: TaskModel,
    owners: Mapping[str, int],
    minutes: float,
) -> Observation:
    """What the iteration showed, from θ before and after training on its images; f is computed when it is asked for."""
    return Observation(
        draws=draws_of(scenes),
        validation=validation,
        influences=lambda before_fit, settings: influences_on(
            validation_set, rendered, task_model, before if before_fit else after, settings
        ),
        owners=owners,
        minutes=minutes,
    )


def num_epochs(state: SearchState, training: LoopTrainingSettings) -> int:
    """Of the training that comes next."""
    return training.first_epochs if _starts_from_scratch(state) else training.epochs


def fit_iteration(
    state: SearchState,
    task_model: TaskModel,
    weights: Weights,
    datasets: Sequence[AnnotatedDataset],
    training: LoopTrainingSettings,
    pretrained: Weights | None = None,
    progress: Progress = ignore_progress,
) -> Weights:
    """θ trained on the images of this iteration and of those before it that are given, the latest first.

    It sets out from `weights`, part of which is forgotten, or anew, as the method and the settings say.
    """
    from_scratch = _starts_from_scratch(state)
    settings = training.model_copy(update={"epochs": num_epochs(state, training)})
    images: tuple[AnnotatedImage, ...] = tuple(image for dataset in datasets for image in dataset.images)
    fresh = starting_weights(task_model, derive_seed(state.seed, "initial weights", state.iteration), pretrained)
    trained, _ = split_frozen(task_model, weights)
    start = weights | shrunk_and_perturbed(trained, fresh, 0.0 if from_scratch else training.retained)
    dataset = AnnotatedDataset(task_model.categories, images)
    variants_seed = derive_seed(state.seed, "variants", state.iteration)
    generator = derive_generator(state.seed, "training", state.iteration)
    return fit_images(task_model, start, dataset, settings, variants_seed, generator, "training", progress)


def _starts_from_scratch(state: SearchState) -> bool:
    return SEARCH_METHODS[state.method].trains_from_scratch or not state.iteration
