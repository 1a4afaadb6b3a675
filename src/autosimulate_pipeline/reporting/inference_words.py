"""What inference has found, in sentences for people who have never heard of R²."""

from __future__ import annotations

import math

from autosimulate_pipeline.distributions import Gaussian
from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.distributions.discrete import Discrete
from autosimulate_pipeline.distributions.gaussian import UNIFORM_WIDTH
from autosimulate_pipeline.inference import Inference, ParameterAnswer

SMALL_MISS = 0.1
"""A number is shown well if the answers miss it by less than this share of its range."""

GREAT_SKILL = 0.75
"""A choice is shown well if the answers are this far from guessing (0) towards certainty (1)."""

NUM_NAMED, SMALL_SHARE = 3, 0.05
"""How many statistics are named, and the share of the decisions below which only the first one is."""


def typical_miss(r_squared: float) -> float:
    """The root mean square error of a number's answers as a share of its range, 0.29 for a guess: √((1 − R²)/12)."""
    return math.sqrt(max(0.0, 1 - r_squared)) * UNIFORM_WIDTH


def skill(distribution: LearnableDistribution, answer: ParameterAnswer) -> float:
    """How far the answers are from guessing (0) towards certainty (1): R², or accuracy above chance."""
    if isinstance(distribution, Discrete):
        chance = 1 / len(distribution.values)
        return (answer.score - chance) / (1 - chance)
    return answer.score


def accuracy_in_words(distribution: LearnableDistribution, answer: ParameterAnswer) -> str:
    """How far off the answers for a parameter usually are, as in `misses by about 4 % of the range`."""
    if isinstance(distribution, Discrete):
        return f"right for {100 * answer.score:.0f} of 100 renders"
    return f"misses by {_percent(typical_miss(answer.score))} of the range"


def quality(distribution: LearnableDistribution, answer: ParameterAnswer) -> str:
    """Whether the labelled images show a parameter, and how accurate the answers for renders set aside are."""
    if isinstance(distribution, Gaussian):
        is_good = typical_miss(answer.score) < SMALL_MISS
        miss = _percent(min(typical_miss(answer.score), UNIFORM_WIDTH))
        accuracy = (
            f"the answers miss the true value by {miss} of the range (guessing: {100 * UNIFORM_WIDTH:.0f}\u00a0%)"
        )
        still = "it stays as wide as its range"
    elif isinstance(distribution, Discrete):
        is_good = skill(distribution, answer) > GREAT_SKILL
        chance = 100 / len(distribution.values)
        accuracy = f"the answers are right for {100 * answer.score:.0f} of 100 (guessing: {chance:.0f})"
        still = "all its values stay equally likely"
    else:
        return "Inference cannot read a distribution of this kind from images; it stays as wide as it can be."
    if not answer.is_identified:
        return f"The images do not show this: on renders set aside, {accuracy}; {still}."
    return f"The images show this {'well' if is_good else 'roughly'}: on renders set aside, {accuracy}."


def decided_by(answer: ParameterAnswer) -> str:
    """The statistics that decided most, with their share of the decisions, and what they are taken from."""
    named = [
        f"{name} ({100 * share:.0f}\u00a0%)"
        for index, (name, share) in enumerate(answer.statistics.items())
        if index < NUM_NAMED and (share >= SMALL_SHARE or index == 0)
    ]
    return f"Read from {answer.source}, mostly by: {'; '.join(named)}." if named else ""


def identified_best_first(inference: Inference) -> list[str]:
    """The parameters that the labelled images determine, from the one they show best."""
    learned = inference.distribution.learned
    return sorted(inference.identified, key=lambda name: -skill(learned[name], inference.parameters[name]))


def _percent(share: float) -> str:
    return "less than 1\u00a0%" if share < 0.005 else f"about {100 * share:.0f}\u00a0%"
