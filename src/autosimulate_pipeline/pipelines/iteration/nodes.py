"""The stages of an iteration, thin calls into the domain. Once the search has stopped, each hands on what it got."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.inference import Inference
from autosimulate_pipeline.loop.judging import evaluate
from autosimulate_pipeline.loop.loop import fit_iteration, num_epochs, observe
from autosimulate_pipeline.loop.scenes import draw_scenes
from autosimulate_pipeline.loop.simulation import SimulatorSettings, render_scenes
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, HypergradientReport, StageSeconds
from autosimulate_pipeline.search import (
    LoopSettings,
    LoopTrainingSettings,
    SearchSettings,
    build_search_method,
    starting_distribution,
)
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.task_models import TaskModelSettings, Weights, build_task_model, starting_weights


def search_initialiser(method: str) -> Callable[..., tuple[SearchState, Weights]]:
    """The node function that starts a search by `method`."""

    def initialise_search(
        validation_set: AnnotatedDataset,
        seed: int,
        simulator: SimulatorSettings,
        task_model: TaskModelSettings,
        loop: LoopSettings,
        search: SearchSettings,
        hypergradient: HypergradientSettings,
        inference: Inference | None = None,
        pilot_scenes: pd.DataFrame | None = None,
        pretrained_weights: Weights | None = None,
    ) -> tuple[SearchState, Weights]:
        """The search's state and the task model's weights before the first iteration."""
        inferred = None if inference is None else inference.distribution
        start = starting_distribution(search, simulator.parameters, inferred)
        num_pilot_images = 0 if pilot_scenes is None else len(pilot_scenes)
        state = build_search_method(method, loop, search, hypergradient).init(start, seed, num_pilot_images)
        model = build_task_model(validation_set.categories, task_model)
        return state, starting_weights(model, derive_seed(seed, "initial weights"), pretrained_weights)

    return initialise_search


def sample_parameters(
    state: SearchState, loop: LoopSettings, search: SearchSettings, hypergradient: HypergradientSettings
) -> pd.DataFrame:
    """The iteration's scenes, drawn from p_ψ."""
    distribution = build_search_method(state.method, loop, search, hypergradient).propose(state)
    return draw_scenes(distribution, 0 if state.is_finished else loop.num_images, state.seed, state.iteration)


def render_dataset(scenes: pd.DataFrame, simulator: SimulatorSettings, parallel: ParallelSettings) -> AnnotatedDataset:
    """The scenes as annotated images."""
    with watched("rendering", len(scenes), "images") as progress:
        return render_scenes(simulator, parallel, scenes, progress)


def train_task_model(
    state: SearchState,
    weights: Weights,
    rendered_dataset: AnnotatedDataset,
    task_model: TaskModelSettings,
    training: LoopTrainingSettings,
    pretrained_weights: Weights | None = None,
    **earlier_datasets: AnnotatedDataset,
) -> Weights:
    """The weights, trained further on the images of this iteration and of the few before it, or trained anew."""
    if state.is_finished:
        return weights
    model = build_task_model(rendered_dataset.categories, task_model)
    datasets = (rendered_dataset, *earlier_datasets.values())
    with watched("training", num_epochs(state, training), "epochs") as progress:
        return fit_iteration(state, model, weights, datasets, training, pretrained_weights, progress)


def evaluate_validation(
    state: SearchState, trained_weights: Weights, validation_set: AnnotatedDataset, task_model: TaskModelSettings
) -> EvaluationReport:
    """How the trained weights do on the validation images."""
    if state.is_finished:
        return EvaluationReport()
    return evaluate(build_task_model(validation_set.categories, task_model), trained_weights, validation_set)


def compute_hypergradient(
    state: SearchState,
    scenes: pd.DataFrame,
    rendered_dataset: AnnotatedDataset,
    weights: Weights,
    trained_weights: Weights,
    validation_report: EvaluationReport,
    validation_set: AnnotatedDataset,
    stage_seconds: StageSeconds,
    simulator: SimulatorSettings,
    task_model: TaskModelSettings,
    loop: LoopSettings,
    search: SearchSettings,
    hypergradient: HypergradientSettings,
) -> tuple[HypergradientReport, SearchState]:
    """The hypergradient, where the method uses one, and the state of the next iteration."""
    if state.is_finished:
        return HypergradientReport(), state
    model = build_task_model(validation_set.categories, task_model)
    observation = observe(
        scenes,
        rendered_dataset,
        weights,
        trained_weights,
        validation_report,
        validation_set,
        model,
        owners=simulator.owners(validation_set.categories),
        minutes=stage_seconds.total / 60,
    )
    next_state, report = build_search_method(state.method, loop, search, hypergradient).update(state, observation)
    return report, next_state
