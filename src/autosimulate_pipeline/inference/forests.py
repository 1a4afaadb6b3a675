"""Forests from statistics to scene parameters, judged by the images that each tree has not seen.

Extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 2006) on bootstrap samples: as in approximate
Bayesian computation by random forests (Raynal et al., Bioinformatics 2019), no statistic has to be chosen by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Matrix = NDArray[np.float64]

_TINY = 1e-3
_SETTINGS = {"min_samples_leaf": 2, "max_features": 1.0, "bootstrap": True, "oob_score": True}


@dataclass(frozen=True, eq=False)
class NumberAnswers:
    """What statistics say about a number in the unit range.

    Attributes:
        answers: E[y | statistics] of each labelled image under the uniform prior, shape (num_images,).
        variances: mean squared out-of-bag error of renders that look like each image, shape (num_images,).
        skill: out-of-bag R² over all renders; 0 or less: the statistics say nothing.
        importances: share of each statistic in the trees' decisions, shape (num_statistics,).
    """

    answers: Matrix
    variances: Matrix
    skill: float
    importances: Matrix


@dataclass(frozen=True, eq=False)
class ChoiceAnswers:
    """What statistics say about a choice between values.

    Attributes:
        posteriors: probability of each value given the image, under equal prior ones, calibrated on out-of-bag answers,
            shape (num_images, num_values).
        accuracy: share of the renders whose value is the likeliest out of bag.
        skill: how far accuracy is from chance (0) towards certainty (1).
        importances: shape (num_statistics,).
    """

    posteriors: Matrix
    accuracy: float
    skill: float
    importances: Matrix


def regress(statistics: Matrix, numbers: Matrix, images: Matrix, num_trees: int, seed: int) -> NumberAnswers:
    """Learns a number from renders' statistics and answers for images.

    Args:
        statistics: of the renders, shape (num_renders, num_statistics).
        numbers: of their scenes, in the unit range, shape (num_renders,).
        images: statistics of the labelled images, shape (num_images, num_statistics).
    """
    from sklearn.ensemble import ExtraTreesRegressor  # takes a second, and only inference needs it

    forest = ExtraTreesRegressor(num_trees, **_SETTINGS, random_state=seed, n_jobs=-1).fit(statistics, numbers)
    errors = (numbers - forest.oob_prediction_) ** 2
    alike = _proximities(forest.apply(images), forest.apply(statistics))
    forest.set_params(n_jobs=1)  # threads add up the trees' answers in any order: the last bits would differ
    return NumberAnswers(
        answers=forest.predict(images),
        variances=alike @ errors,
        skill=float(forest.oob_score_),
        importances=forest.feature_importances_,
    )


def classify(
    statistics: Matrix, choices: Sequence[int], num_values: int, images: Matrix, num_trees: int, seed: int
) -> ChoiceAnswers:
    """Learns a choice from renders' statistics and answers for images; shapes as in `regress`.

    The forest's probabilities are raised to the power that suits the out-of-bag choices best, and normalised: one
    temperature, which is 0 where the statistics say nothing (Guo et al., ICML 2017).
    """
    from sklearn.ensemble import ExtraTreesClassifier

    chosen = np.asarray(choices)
    forest = ExtraTreesClassifier(num_trees, **_SETTINGS, random_state=seed, n_jobs=-1, class_weight="balanced")
    forest.fit(statistics, chosen).set_params(n_jobs=1)  # as above
    out_of_bag = _all_values(forest.oob_decision_function_, forest.classes_, num_values)
    counts = np.bincount(chosen, minlength=num_values)
    weights = 1 / (np.count_nonzero(counts) * counts[chosen])

    def log_loss(power: float) -> float:
        return float(-(weights * np.log(_sharpened(out_of_bag, power)[np.arange(len(chosen)), chosen])).sum())

    power = float(minimize_scalar(log_loss, bounds=(0, 10), method="bounded").x)
    right = out_of_bag.argmax(axis=1) == chosen
    balanced = float((weights * right).sum())
    chance = 1 / np.count_nonzero(counts)
    return ChoiceAnswers(
        posteriors=_sharpened(_all_values(forest.predict_proba(images), forest.classes_, num_values), power),
        accuracy=balanced,
        skill=(balanced - chance) / (1 - chance) if chance < 1 else 0.0,
        importances=forest.feature_importances_,
    )


def _proximities(leaves_of_images: NDArray[np.int64], leaves_of_renders: NDArray[np.int64]) -> Matrix:
    """How much each render looks like each image: the share of trees in which they meet in a leaf; rows sum to 1."""
    shape = len(leaves_of_images), len(leaves_of_renders)
    met = np.zeros(shape)
    for of_images, of_renders in zip(leaves_of_images.T, leaves_of_renders.T, strict=True):
        together = of_images[:, None] == of_renders[None, :]
        met += together / np.maximum(together.sum(axis=1, keepdims=True), 1)
    return met / met.sum(axis=1, keepdims=True)


def _all_values(probabilities: Matrix, classes: NDArray[np.int64], num_values: int) -> Matrix:
    """A column for each value, also for one that no render had; a render that all trees have seen is undecided."""
    full = np.zeros((len(probabilities), num_values))
    full[:, classes] = np.nan_to_num(probabilities, nan=1 / len(classes))
    return full


def _sharpened(probabilities: Matrix, power: float) -> Matrix:
    """p^power, normalised; kept off 0, for no forest is certain."""
    raised = (probabilities + _TINY) ** power
    return raised / raised.sum(axis=1, keepdims=True)
