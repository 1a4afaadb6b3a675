"""ψ from labelled images, by asking the simulator backwards: simulation-based inference with forests.

Renders of scenes drawn uniformly over the ranges come with their scenes' numbers. Forests learn the way from what an
annotated image shows (its labels, its pixels) to those numbers; the labelled images go the same way. Their answers,
corrected for what the renders show of the answers' errors, are the distribution that the labelled images could have
come from. No gradient and no training of a task model is involved, and it works for every simulator.

Cranmer, Brehmer and Louppe, The frontier of simulation-based inference, PNAS 2020; forests: Raynal et al.,
Bioinformatics 2019. AutoSimulate's paper has nothing of it: it starts from a ψ that somebody has chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from autosimulate_pipeline.distributions import Gaussian, ProductDistribution
from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.distributions.discrete import Discrete
from autosimulate_pipeline.distributions.gaussian import UNIFORM_WIDTH
from autosimulate_pipeline.inference.forests import ChoiceAnswers, NumberAnswers, classify, regress
from autosimulate_pipeline.inference.population import choice_population, normal_population
from autosimulate_pipeline.inference.records import Inference, ParameterAnswer
from autosimulate_pipeline.inference.settings import InferenceSettings
from autosimulate_pipeline.inference.statistics import LABELS, OWN, PIXELS, Statistics, statistics_of
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Progress, Scene, ignore_progress

MIN_PILOT_IMAGES = 20
"""Fewer renders than this teach a forest nothing."""

MIN_R2 = 0.1
"""A number that renders' statistics tell no better than this is not identified: it stays as wide as its range."""

NUM_DEVIATIONS = 2.5
"""A choice is identified if the accuracy on renders is this many standard deviations above guessing."""

MAX_OUTSIDE = 0.2
"""A statistic is left out where more than this share of the labelled images lies outside what renders show."""

MARGIN = 0.05
"""How far outside the renders' range, as a share of it, still counts as inside; and by how much pixels must tell a
parameter better than labels alone to be asked: renders and photographs differ in pixels first."""

NUM_NAMED = 5
"""How many statistics a report names for a parameter."""

Answers = TypeVar("Answers", NumberAnswers, ChoiceAnswers)


def infer(
    prior: ProductDistribution,
    scenes: Sequence[Scene],
    renders: AnnotatedDataset,
    labelled: AnnotatedDataset,
    settings: InferenceSettings,
    seed: int,
    progress: Progress = ignore_progress,
) -> Inference:
    """The ψ that the labelled images could have come from, and how it was found.

    Args:
        prior: p_ψ with the parameters' ranges and values; its means and probabilities play no part.
        scenes: those of the renders, drawn from `prior.uniform()`.
        renders: an image for each scene.
        labelled: the validation images.
        seed: of the forests and of the sampling of probabilities.
        progress: called after each parameter.

    Raises:
        ValueError: if there are fewer than `MIN_PILOT_IMAGES` renders, or no labelled image.
    """
    if len(renders) < MIN_PILOT_IMAGES or not len(labelled):
        raise ValueError(
            f"inference needs at least {MIN_PILOT_IMAGES} renders and 1 labelled image, got {len(renders)} and "
            f"{len(labelled)}"
        )
    has_masks = all(map(_is_masked, (*renders.images, *labelled.images)))
    own = settings.own_statistics()
    sizes = [image.image.shape[0] for image in renders.images]
    of_renders, of_labelled = (
        statistics_of(dataset, has_masks, (min(sizes), max(sizes)), own) for dataset in (renders, labelled)
    )
    outside = _outside(of_renders, of_labelled)
    kept = outside <= MAX_OUTSIDE
    known, asked = of_renders.where(kept), of_labelled.where(kept)
    distributions: dict[str, LearnableDistribution] = {}
    answers: dict[str, ParameterAnswer] = {}
    for name, distribution in prior.learned.items():
        drawn = [scene[name] for scene in scenes]
        if isinstance(distribution, Gaussian):
            distributions[name], answers[name] = _number(distribution, drawn, known, asked, settings.num_trees, seed)
        elif isinstance(distribution, Discrete):
            distributions[name], answers[name] = _choice(distribution, drawn, known, asked, settings.num_trees, seed)
        else:
            distributions[name], answers[name] = distribution.widest(), ParameterAnswer()
        progress(1)
    named = sorted(np.flatnonzero(~kept), key=lambda index: -outside[index])
    return Inference(
        distribution=prior.with_parameters(distributions),
        parameters=answers,
        outside={of_renders.names[index]: round(float(outside[index]), 3) for index in named},
        num_pilot_images=len(renders),
        num_labelled_images=len(labelled),
        has_masks=has_masks,
    )


def _is_masked(image: AnnotatedImage) -> bool:
    return bool(image.semantic_mask.any()) or not image.counted.any()


def _outside(renders: Statistics, labelled: Statistics) -> NDArray[np.float64]:
    """The share of the labelled images outside the renders' range, for each statistic."""
    low, high = renders.values.min(axis=0), renders.values.max(axis=0)
    slack = MARGIN * (high - low) + 1e-9
    return ((labelled.values < low - slack) | (labelled.values > high + slack)).mean(axis=0)


def _number(
    prior: Gaussian, drawn: Sequence[object], renders: Statistics, labelled: Statistics, num_trees: int, seed: int
) -> tuple[Gaussian, ParameterAnswer]:
    """A Gaussian parameter's distribution, and what it comes from."""
    unit_range = prior.high - prior.low
    numbers = (np.array(drawn, dtype=np.float64) - prior.low) / unit_range

    def ask(known: NDArray[np.float64], asked: NDArray[np.float64]) -> NumberAnswers:
        return regress(known, numbers, asked, num_trees, seed)

    found, columns = _best(ask, renders, labelled)
    is_identified = found.skill > MIN_R2
    mean, width = (
        normal_population(found.answers, found.variances, found.skill) if is_identified else (0.5, UNIFORM_WIDTH)
    )
    answer = ParameterAnswer(
        is_identified=is_identified,
        measure="R²",
        score=found.skill,
        source=_source(columns),
        statistics=_most_important(columns.names, found.importances),
        numbers=tuple((prior.low + unit_range * found.answers).tolist()),
    )
    return prior.model_copy(update={"mean": prior.low + mean * unit_range, "width": width}), answer


def _choice(
    prior: Discrete, drawn: Sequence[object], renders: Statistics, labelled: Statistics, num_trees: int, seed: int
) -> tuple[LearnableDistribution, ParameterAnswer]:
    """A discrete parameter's distribution, and what it comes from."""
    num_values = len(prior.values)
    choices = [prior.values.index(value) for value in drawn]

    def ask(known: NDArray[np.float64], asked: NDArray[np.float64]) -> ChoiceAnswers:
        return classify(known, choices, num_values, asked, num_trees, seed)

    found, columns = _best(ask, renders, labelled)
    chance = 1 / len(set(choices))
    deviation = math.sqrt(chance * (1 - chance) / len(choices))
    is_identified = found.accuracy > chance + NUM_DEVIATIONS * deviation
    answer = ParameterAnswer(
        is_identified=is_identified,
        measure="accuracy",
        score=found.accuracy,
        source=_source(columns),
        statistics=_most_important(columns.names, found.importances),
        probabilities=tuple(tuple(row) for row in found.posteriors.tolist()),
    )
    if not is_identified:
        return prior.widest(), answer
    return prior.with_probabilities(torch.from_numpy(choice_population(found.posteriors, found.skill, seed))), answer


def _best(
    ask: Callable[[NDArray[np.float64], NDArray[np.float64]], Answers], renders: Statistics, labelled: Statistics
) -> tuple[Answers, Statistics]:
    """The answers by labels alone, unless all statistics tell the parameter better; and the statistics asked."""
    is_label = np.array([source == LABELS for source in renders.sources])
    labels, of_images = renders.where(is_label), labelled.where(is_label)
    by_labels = ask(labels.values, of_images.values) if is_label.any() else None
    if by_labels is not None and by_labels.skill > 1 - MARGIN:
        return by_labels, labels
    by_all = ask(renders.values, labelled.values)
    if by_labels is not None and by_all.skill <= by_labels.skill + MARGIN:
        return by_labels, labels
    return by_all, renders


def _source(columns: Statistics) -> str:
    """What the statistics are taken from, in words."""
    return " and ".join(source for source in (LABELS, PIXELS, OWN) if source in columns.sources)


def _most_important(names: Sequence[str], importances: NDArray[np.float64]) -> dict[str, float]:
    """The statistics that decided most, with their share."""
    most = np.argsort(-importances, kind="stable")[:NUM_NAMED]
    return {names[index]: round(float(importances[index]), 3) for index in most if importances[index] > 0}
