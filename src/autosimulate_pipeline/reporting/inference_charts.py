"""What the labelled images say about a parameter: its range, the answers for images, the inferred distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from autosimulate_pipeline.distributions import Gaussian
from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.distributions.discrete import Discrete
from autosimulate_pipeline.inference import ParameterAnswer
from autosimulate_pipeline.reporting.parameter_charts import (
    DENSITY_BOTTOM,
    DENSITY_TOP,
    MARGIN,
    ROW,
    WIDTH,
    bar,
    curve,
    density,
    rounded,
    shortened,
)
from autosimulate_pipeline.reporting.svg import Axis, figure, number

INFERRED, ANSWERS = 0, 1
"""Colours: indices into `palette.LINES`."""

PRIOR = 'style="--c: var(--rule)"'

DOTS_TOP, DOTS_BOTTOM, NUM_DOT_ROWS = 95, 128, 6
DOT_RADIUS = 2.6

MAX_DOTS = 150
"""Of more labelled images, evenly spaced ones in the order of their answers are drawn."""


def answer_chart(name: str, distribution: LearnableDistribution, answer: ParameterAnswer) -> Markup:
    """The chart of a learned parameter; empty for a distribution that inference cannot read.

    Args:
        distribution: the inferred one.
    """
    if isinstance(distribution, Gaussian):
        return _number_chart(name, distribution, answer.numbers)
    if isinstance(distribution, Discrete):
        return _choice_chart(name, distribution, answer.probabilities)
    return Markup("")


def _number_chart(name: str, inferred: Gaussian, answers: Sequence[float]) -> Markup:
    """Above: the inferred density before that of the uniform prior; below: a dot for each labelled image."""
    across = Axis(inferred.low, inferred.high, MARGIN, WIDTH - MARGIN)
    prior = math.sqrt(2 * math.pi) / (inferred.high - inferred.low)
    up = Axis(0, 1.06 * max(density(inferred, inferred.mean), prior), DENSITY_BOTTOM, DENSITY_TOP)
    parts = [
        f'<rect {PRIOR} x="{across.start}" y="{up(prior):.1f}" width="{across.end - across.start}" '
        f'height="{DENSITY_BOTTOM - up(prior):.1f}"/>',
        *(
            f'<path class="grid" d="M{across(tick):.1f} {DENSITY_TOP}V{DOTS_BOTTOM}"/>'
            f'<text x="{across(tick):.1f}" y="{DOTS_BOTTOM + 16}" text-anchor="middle">{number(tick)}</text>'
            for tick in across.ticks(4)
        ),
        f'<path class="filled" style="--c: var(--c{INFERRED})" d="{curve(inferred, across, up)}"/>',
        f'<line class="axis" x1="{across.start}" x2="{across.end}" y1="{DENSITY_BOTTOM}" y2="{DENSITY_BOTTOM}"/>',
        *_dots(answers, across, inferred.unit),
    ]
    unit = f", {inferred.unit}" if inferred.unit else ""
    sigma = inferred.width * (inferred.high - inferred.low)
    told = f"{number(rounded(inferred.mean))} ± {number(float(f'{sigma:.2g}'))}"
    return figure(f"{name}{unit}", parts, (WIDTH, DOTS_BOTTOM + 22), (), told)


def _dots(answers: Sequence[float], across: Axis, unit: str) -> list[str]:
    """A dot at each answer, from the left, in the first row that has room, or else the least crowded one."""
    down = Axis(0, NUM_DOT_ROWS - 1, DOTS_TOP, DOTS_BOTTOM - 4)
    numbered = sorted(enumerate(answers, start=1), key=lambda pair: pair[1])
    num_shown = min(len(numbered), MAX_DOTS)
    ends = [-math.inf] * NUM_DOT_ROWS
    dots = []
    for index in range(num_shown):
        image, value = numbered[index * len(numbered) // num_shown]
        x = across(value)
        row = next((row for row, end in enumerate(ends) if x - end >= 2 * DOT_RADIUS), ends.index(min(ends)))
        ends[row] = x
        told = f"labelled image {image}: {number(rounded(value))} {unit}".rstrip()
        dots.append(
            f'<circle class="dot" style="--c: var(--c{ANSWERS})" cx="{x:.1f}" cy="{down(row):.1f}" r="{DOT_RADIUS}">'
            f"<title>{escape(told)}</title></circle>"
        )
    return dots


def _choice_chart(name: str, inferred: Discrete, answers: Sequence[Sequence[float]]) -> Markup:
    """A row for each value: the mean probability over the answers above the inferred one; grey up to equal shares."""
    num_values = len(inferred.values)
    across = Axis(0, 1, 86, WIDTH - 34)
    means = [sum(column) / len(answers) for column in zip(*answers, strict=True)]
    height = 6 + ROW * num_values
    width = across(1 / num_values) - across.start
    parts = [f'<rect {PRIOR} x="{across.start}" y="2" width="{width:.1f}" height="{height - 2}"/>']
    for row, (value, mean, share) in enumerate(zip(inferred.values, means, inferred.weights().tolist(), strict=True)):
        top = 6 + row * ROW
        parts += [
            f'<text x="{across.start - 6}" y="{top + 14}" text-anchor="end">{escape(shortened(str(value)))}'
            f"<title>{escape(str(value))}</title></text>",
            bar(across, mean, top + 1, ANSWERS),
            bar(across, share, top + 10, INFERRED),
            f'<text x="{across(share) + 4:.1f}" y="{top + 19}">{share * 100:.0f}</text>',
        ]
    return figure(f"{name}, %", parts, (WIDTH, height), (), "")
