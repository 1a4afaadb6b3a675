"""What infer_then_refine.py asks, each answer kept in a file: ψ inferred, ψ searched for, and what a ψ is worth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import wraps
from typing import Any

import torch

import benchmark_runs
from autosimulate_pipeline.configuration import Parameters, check_parameters
from autosimulate_pipeline.datasets import AnnotatedImagesDataset
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.files.atomic import replacing
from autosimulate_pipeline.grid.grids import load_conf
from autosimulate_pipeline.inference import infer
from autosimulate_pipeline.loop.judging import evaluate
from autosimulate_pipeline.loop.loop import run_loop
from autosimulate_pipeline.loop.scenes import draw_scenes, scenes_of
from autosimulate_pipeline.loop.simulation import render_scenes
from autosimulate_pipeline.pipelines.final_evaluation.nodes import retrain_task_model, train_own_network
from autosimulate_pipeline.pipelines.pilot.nodes import sample_pilot_scenes
from autosimulate_pipeline.pipelines.validation_only.nodes import train_on_validation
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, ignore_progress
from autosimulate_pipeline.search import build_search_method, starting_distribution
from autosimulate_pipeline.task_models import Weights, build_task_model
from autosimulate_pipeline.task_models.augmentation import augmented

NAME = "infer-then-refine"
OBJECTS = ("cube", "sphere", "cylinder")


@dataclass(frozen=True)
class Case:
    """One experiment: a seed, what conf has otherwise, and how many of the validation images are labelled.

    Attributes:
        overrides: of conf, as pairs; what starts with `reference_data.` makes other hidden images.
    """

    seed: int
    overrides: tuple[tuple[str, Any], ...] = ()
    num_labelled: int = 30

    @property
    def parameters(self) -> Parameters:
        """All of conf with the overrides."""
        overrides = {"seed": self.seed, **dict(self.overrides)}
        return check_parameters(load_conf(benchmark_runs.PROJECT, benchmark_runs.ENVIRONMENT, "parameters", overrides))

    def having(self, **overrides: Any) -> Case:
        """The case with other parameters, dots written as two underscores."""
        named = {name.replace("__", "."): value for name, value in overrides.items()}
        return replace(self, overrides=tuple((dict(self.overrides) | named).items()))


Answer = dict[str, Any]


def kept(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """The function, its answers kept in data/08_reporting under a hash of its arguments."""

    @wraps(function)
    def ask(case: Case, *arguments: Any) -> Answer:
        asked = json.dumps([function.__name__, asdict(case), *arguments], sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()[:20]
        file = benchmark_runs.PROJECT / "data/08_reporting" / NAME / "answers" / f"{digest}.json"
        if not file.exists():
            answer = function(case, *arguments)
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as draft:
                draft.write_text(json.dumps(answer))
        found: Answer = json.loads(file.read_text())
        return found

    return ask


def labelled(case: Case) -> tuple[AnnotatedDataset, AnnotatedDataset]:
    """The labelled images of the case and the test images, rendered once by the hidden simulator."""
    hidden = {key: value for key, value in case.overrides if key.startswith("reference_data.")}
    folders = benchmark_runs.reference_folders(NAME, hidden)
    validation, test = (
        AnnotatedImagesDataset(str(benchmark_runs.PROJECT / folder)).load() for folder in folders.values()
    )
    return first(validation, case.num_labelled), test


def first(dataset: AnnotatedDataset, num_images: int) -> AnnotatedDataset:
    """The dataset with no more than so many of its images."""
    return replace(dataset, images=dataset.images[:num_images])


def rendered(parameters: Parameters, scenes: Any) -> AnnotatedDataset:
    """The scenes' images, kept."""
    asked = json.dumps([parameters.simulator.type, scenes.to_json()])
    digest = hashlib.sha256(asked.encode()).hexdigest()[:20]
    images = AnnotatedImagesDataset(str(benchmark_runs.PROJECT / f"data/03_primary/{NAME}/{digest}"))
    if not images.exists():
        images.save(render_scenes(parameters.simulator, benchmark_runs.ONE_WORKER, scenes, ignore_progress))
    dataset: AnnotatedDataset = images.load()
    return dataset


def pilot(parameters: Parameters) -> tuple[Any, AnnotatedDataset]:
    """Scenes and images drawn uniformly."""
    scenes = sample_pilot_scenes(parameters.simulator, parameters.pilot, parameters.seed)
    return scenes, rendered(parameters, scenes)


@kept
def inferred(case: Case) -> Answer:
    """The inferred ψ and its record."""
    parameters = case.parameters
    scenes, images = pilot(parameters)
    seed = derive_seed(parameters.seed, "inference")
    prior, (validation, _) = parameters.simulator.parameters, labelled(case)
    return infer(prior, scenes_of(scenes), images, validation, parameters.inference, seed).model_dump(mode="json")


def start_of(case: Case) -> ProductDistribution:
    """p_ψ before the loop."""
    parameters = case.parameters
    is_inferred = parameters.search.start == "inferred"
    found = ProductDistribution.model_validate(inferred(case)["distribution"]) if is_inferred else None
    return starting_distribution(parameters.search, parameters.simulator.parameters, found)


@kept
def searched(case: Case, method: str) -> Answer:
    """The learned ψ, the validation mIoU of every iteration, and the run's own network on the test images."""
    parameters = case.parameters
    validation, test = labelled(case)
    task_model = build_task_model(validation.categories, parameters.task_model)
    iterations = list(
        run_loop(
            build_search_method(method, parameters.loop, parameters.search, parameters.hypergradient),
            start_of(case),
            parameters.simulator.build(benchmark_runs.ONE_WORKER),
            task_model,
            validation,
            parameters.training,
            parameters.seed,
        )
    )
    own = {f"rendered_dataset_{k:03d}": iteration.rendered for k, iteration in enumerate(iterations)}
    settings = parameters.final_evaluation
    before = None
    if parameters.has_pilot:
        before = retrain_task_model(parameters.seed, pilot(parameters)[1], parameters.task_model, settings)
    weights = train_own_network(
        parameters.seed, validation, parameters.task_model, settings, pilot_weights=before, **own
    )
    return {
        "distribution": iterations[-1].state.distribution.model_dump(mode="json"),
        "validation": [iteration.validation.miou for iteration in iterations],
        "own": tested(parameters, weights, test),
    }


@kept
def worth(case: Case, distribution: dict[str, Any], num_images: int) -> Answer:
    """Test metrics of a network trained from scratch on fresh images of the distribution."""
    parameters, (_, test) = case.parameters, labelled(case)
    return tested(parameters, trained_on_fresh(parameters, distribution, num_images), test)


@kept
def alone(case: Case) -> Answer:
    """Of a network trained on the labelled images alone."""
    parameters, (validation, test) = case.parameters, labelled(case)
    settings = parameters.final_evaluation
    return tested(parameters, train_on_validation(case.seed, validation, parameters.task_model, settings), test)


@kept
def mixed_with_labelled(case: Case, distribution: dict[str, Any], num_images: int) -> Answer:
    """Of a network trained on fresh images of the distribution and, mixed with them, half as many labelled ones.

    The labelled images come with variants of themselves. Trained one after the other, the few overwrite the many.
    """
    parameters, (validation, test) = case.parameters, labelled(case)
    scenes = draw_scenes(ProductDistribution.model_validate(distribution), num_images, parameters.seed, "final")
    fresh, wanted = rendered(parameters, scenes), num_images // 2
    variants = augmented(validation, -(-wanted // len(validation)), derive_seed(case.seed, "labelled variants"))
    mixed = replace(fresh, images=fresh.images + variants.images[:wanted])
    settings = parameters.final_evaluation
    return tested(parameters, retrain_task_model(case.seed, mixed, parameters.task_model, settings), test)


def trained_on_fresh(parameters: Parameters, distribution: dict[str, Any], num_images: int) -> Weights:
    """Weights trained from scratch on fresh images."""
    scenes = draw_scenes(ProductDistribution.model_validate(distribution), num_images, parameters.seed, "final")
    images = rendered(parameters, scenes)
    return retrain_task_model(parameters.seed, images, parameters.task_model, parameters.final_evaluation)


def tested(parameters: Parameters, weights: Weights, test: AnnotatedDataset) -> Answer:
    """mIoU and mAP on the test images."""
    report = evaluate(build_task_model(test.categories, parameters.task_model), weights, test)
    return {"miou": report.miou, "map": report.map}


def drawn_pair(seed: int) -> dict[str, Any]:
    """Overrides: hidden places within ±6 m, well lit; start places anywhere in the range, dim; any materials."""
    generator = derive_generator(seed, "pair")

    def uniform(low: float, high: float) -> float:
        return round(low + (high - low) * torch.rand((), generator=generator).item(), 2)

    start, hidden = "simulator.parameters", "reference_data.hidden_simulator.parameters"
    pair: dict[str, Any] = {"reference_data.hidden_simulator.seed": seed}
    for light in ("ambient_light", "back_light"):
        pair |= {f"{start}.{light}.mean": uniform(5, 35), f"{hidden}.{light}.mean": uniform(40, 70)}
    for name in OBJECTS:
        for axis in "xy":
            pair |= {f"{start}.{name}_{axis}.mean": uniform(-9, 9), f"{hidden}.{name}_{axis}.mean": uniform(-6, 6)}
        pair |= {
            f"{start}.{name}_material.probability": uniform(0.1, 0.9),
            f"{hidden}.{name}_material.probability": uniform(0, 1),
        }
    return pair
