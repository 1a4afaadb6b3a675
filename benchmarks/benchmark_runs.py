"""What the benchmarks share: searches as ordinary runs, and what their answers are worth on the test images.

Everything is kept below data/ and made once: a benchmark can be stopped and called again.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky import get_reusable_executor
from kedro.framework.startup import bootstrap_project

from autosimulate_pipeline.configuration import Parameters, check_parameters
from autosimulate_pipeline.datasets import AnnotatedImagesDataset, RecordDataset
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.evaluation.comparison import bootstrap_interval
from autosimulate_pipeline.grid.command import run_missing
from autosimulate_pipeline.grid.grids import Grid, Trial, expand, load_conf
from autosimulate_pipeline.loop.judging import evaluate
from autosimulate_pipeline.loop.scenes import draw_scenes
from autosimulate_pipeline.loop.simulation import render_scenes
from autosimulate_pipeline.pipelines.final_evaluation.nodes import retrain_task_model
from autosimulate_pipeline.pipelines.reference_data.nodes import load_reference_data
from autosimulate_pipeline.pipelines.validation_only.nodes import train_on_validation
from autosimulate_pipeline.progress import console
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, StageSeconds, ignore_progress
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.task_models import Weights, build_task_model
from autosimulate_pipeline.tracking.tracker import Tracker, TrackingSettings

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "docs/results"
ENVIRONMENT: str | None = None
"""Of conf/; none is the default experiment."""

CONFIGURED: dict[str, Any] = {"search.start": "configured", "loop.num_iterations": 25}
"""A search as the paper has it, from a start far away: 750 images by default."""

ONE_WORKER = ParallelSettings(num_workers=1)
Reports = dict[str, EvaluationReport]
"""Of one network, by "validation" and "test"."""


def reference_folders(name: str, overrides: Mapping[str, Any]) -> dict[str, str]:
    """Overrides that make runs share validation and test images, rendered here by the hidden simulator, once."""
    digest = hashlib.sha256(repr(sorted(overrides.items())).encode()).hexdigest()[:8]
    folders = {kind: str(PROJECT / f"data/01_raw/{name}-{digest}/{kind}") for kind in ("validation", "test")}
    kept = {kind: AnnotatedImagesDataset(folder) for kind, folder in folders.items()}
    if not all(dataset.exists() for dataset in kept.values()):
        parameters = check_parameters(load_conf(PROJECT, ENVIRONMENT, "parameters", overrides))
        pair = load_reference_data(parameters.reference_data, parameters.simulator, ParallelSettings())
        for dataset, images in zip(kept.values(), pair, strict=True):
            dataset.save(images)
    return {f"reference_data.{kind}_folder": folder for kind, folder in folders.items()}


def searches(name: str, pipeline: str, parameters: Mapping[str, Any], seeds: Sequence[int]) -> list[Trial]:
    """A search for each seed, as `kedro run --pipeline` would make it."""
    grid = Grid(pipeline=pipeline, parameters=dict(parameters), grid={"seed": list(seeds)})
    return expand(PROJECT, name, grid, ENVIRONMENT)


def run_searches(name: str, trials: Sequence[Trial], num_jobs: int) -> None:
    """Runs what is missing; all are below one run in MLflow.

    Raises:
        SystemExit: if one failed.
    """
    folder = PROJECT / "data/08_reporting" / name
    tracker = Tracker(TrackingSettings(), PROJECT, name, folder / "mlflow_run_id", {}, {})
    table = run_missing(trials, num_jobs, tracker)
    tracker.finish("FINISHED" if len(table) == len(trials) else "FAILED")
    if len(table) < len(trials):
        raise SystemExit(1)


def state_at(trial: Trial, num_images: int) -> SearchState:
    """The search once it has rendered so many images: a whole number of iterations."""
    iteration = num_images // trial.parameters.loop.num_images
    state: SearchState = _record(trial.file("07_model_output", f"state_{iteration:03d}.json"), SearchState).load()
    return state


def validation_reports(trial: Trial) -> list[EvaluationReport]:
    """Of every iteration."""
    return _of_every_iteration(trial, "validation_report", EvaluationReport)


def stage_seconds(trial: Trial) -> list[StageSeconds]:
    """What the search had taken by the end of every iteration."""
    return _of_every_iteration(trial, "stage_seconds", StageSeconds)


def fresh(trial: Trial, distribution: ProductDistribution, num_images: int) -> Reports:
    """Of a network trained from scratch on fresh images of `distribution`: what a user gets who takes ψ and renders."""
    parameters = trial.parameters
    seed = parameters.seed

    def weights() -> Weights:
        scenes = draw_scenes(distribution, num_images, seed, "final")
        images = render_scenes(parameters.simulator, ONE_WORKER, scenes, ignore_progress)
        return retrain_task_model(seed, images, parameters.task_model, parameters.final_evaluation)

    return _judged(trial, ("fresh", num_images, seed, distribution.model_dump_json()), weights)


def scratch(trial: Trial, num_images: int) -> Reports:
    """Of a network trained from scratch on the loop's images up to then."""
    parameters = trial.parameters

    def weights() -> Weights:
        batches = _rendered(trial, num_images // parameters.loop.num_images)
        images = AnnotatedDataset(batches[0].categories, tuple(image for batch in batches for image in batch.images))
        return retrain_task_model(parameters.seed, images, parameters.task_model, parameters.final_evaluation)

    return _judged(trial, ("scratch", num_images, trial.run, state_at(trial, num_images).model_dump_json()), weights)


def validation_alone(trial: Trial) -> Reports:
    """Of a network trained on the validation images alone, augmented."""
    parameters = trial.parameters
    folder = trial.project / str(parameters.reference_data.validation_folder)

    def weights() -> Weights:
        images = AnnotatedImagesDataset(str(folder)).load()
        return train_on_validation(parameters.seed, images, parameters.task_model, parameters.final_evaluation)

    return _judged(trial, ("validation alone", parameters.seed), weights)


Question = tuple[Callable[..., Reports], Trial, tuple[Any, ...]]
"""One of the four functions above with its arguments."""


def answer(questions: Iterable[Question], num_jobs: int) -> None:
    """Works out the answers that are not kept yet, one core each; afterwards asking costs nothing."""
    asked = list(questions)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_jobs, context, initializer=prepare_process) as pool:
        futures = [pool.submit(function, trial, *arguments) for function, trial, arguments in asked]
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            if number % 10 == 0 or number == len(futures):
                console.print(f"{number} of {len(futures)} networks are trained and judged", soft_wrap=True)


def interval(values: Iterable[float]) -> str:
    """Mean and 95 % interval over seeds, as text."""
    return str(bootstrap_interval(list(values)))


def arguments(description: str, seeds: Sequence[int]) -> argparse.ArgumentParser:
    """What every benchmark's command line has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side, one core each")
    return parser


def use_project() -> None:
    """From here on Kedro's settings are the project's."""
    bootstrap_project(PROJECT)


def prepare_process() -> None:
    """One core for each; at its end a process takes its render workers with it, which else idle for minutes first."""
    torch.set_num_threads(1)
    Finalize(None, lambda: get_reusable_executor(reuse=True).shutdown(kill_workers=True), exitpriority=10)


def _judged(trial: Trial, key: tuple[Any, ...], weights: Callable[[], Weights]) -> Reports:
    """Both reports of the weights; kept under a hash of all that they depend on."""
    parameters: Parameters = trial.parameters
    folder = trial.project / Path(str(parameters.reference_data.test_folder)).parent
    depends_on = (key, str(folder), parameters.simulator.type, parameters.task_model, parameters.final_evaluation)
    digest = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:20]
    kept = {
        kind: _record(trial.project / f"data/07_model_output/clevr-networks/{digest}_{kind}.json", EvaluationReport)
        for kind in ("validation", "test")
    }
    if not all(dataset.exists() for dataset in kept.values()):
        trained = weights()
        for kind, dataset in kept.items():
            images = AnnotatedImagesDataset(str(folder / kind)).load()
            dataset.save(evaluate(build_task_model(images.categories, parameters.task_model), trained, images))
    return {kind: dataset.load() for kind, dataset in kept.items()}


def _rendered(trial: Trial, num_iterations: int) -> list[AnnotatedDataset]:
    folders = (trial.file("03_primary", f"rendered_dataset_{k:03d}") for k in range(num_iterations))
    return [AnnotatedImagesDataset(str(folder)).load() for folder in folders]


def _of_every_iteration(trial: Trial, name: str, record: type) -> list[Any]:
    numbers = range(trial.parameters.loop.num_iterations)
    return [_record(trial.file("07_model_output", f"{name}_{k:03d}.json"), record).load() for k in numbers]


def _record(path: Path, record: type) -> RecordDataset:
    return RecordDataset(str(path), f"{record.__module__}.{record.__qualname__}")
