"""Each simulator parameter's distribution at the start, by iteration and as learned: one small chart for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from autosimulate_pipeline.distributions import Gaussian, ProductDistribution
from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.distributions.discrete import Discrete
from autosimulate_pipeline.reporting.palette import LINES
from autosimulate_pipeline.reporting.svg import Axis, Line, figure, line_chart, number, path

START, LEARNED = 4, 0
"""Colours: indices into `palette.LINES`."""

WIDTH = 300
DENSITY_TOP, DENSITY_BOTTOM = 8, 84
PATH_TOP, PATH_BOTTOM = 96, 150
MARGIN = 14
NUM_CURVE_POINTS = 81
MAX_LINES_BETWEEN = 6
ROW = 26


def learned_charts(path_of_distributions: Sequence[ProductDistribution]) -> list[Markup]:
    """A chart of each learned parameter, numbers before choices, otherwise in conf's order.

    Args:
        path_of_distributions: p_ψ before the first iteration and after each; parameters are those of the first.
    """
    numbers, choices = [], []
    for name in learned_names(path_of_distributions[0]):
        steps = [distribution.parameters[name] for distribution in path_of_distributions]
        gaussians = [step for step in steps if isinstance(step, Gaussian)]
        discretes = [step for step in steps if isinstance(step, Discrete)]
        if gaussians:
            numbers.append(_gaussian(name, gaussians))
        elif discretes:
            choices.append(_discrete(name, discretes))
        else:
            numbers.append(_entries(name, [step for step in steps if isinstance(step, LearnableDistribution)]))
    return numbers + choices


def learned_names(distribution: ProductDistribution) -> list[str]:
    """The parameters that the search may move."""
    return [name for name, d in distribution.parameters.items() if getattr(d, "learned", False)]


def fixed_parameters(distribution: ProductDistribution) -> dict[str, str]:
    """The other parameters in words: what they are drawn from all along."""
    learned = learned_names(distribution)
    return {name: d.in_words() for name, d in distribution.parameters.items() if name not in learned}


def _gaussian(name: str, steps: Sequence[Gaussian]) -> Markup:
    """Above: the density at the start and as learned, over the whole range; below: mean ± σ by iteration, downwards."""
    start, learned = steps[0], steps[-1]
    across = Axis(start.low, start.high, MARGIN + 14, WIDTH - MARGIN)
    peak = max(density(step, step.mean) for step in (start, learned))
    up = Axis(0, 1.06 * peak, DENSITY_BOTTOM, DENSITY_TOP)
    parts = [
        f'<line class="axis" x1="{across.start}" x2="{across.end}" y1="{DENSITY_BOTTOM}" y2="{DENSITY_BOTTOM}"/>',
        *(
            f'<path class="grid" d="M{across(tick):.1f} {DENSITY_TOP}V{PATH_BOTTOM}"/>'
            f'<text x="{across(tick):.1f}" y="{PATH_BOTTOM + 16}" text-anchor="middle">{number(tick)}</text>'
            for tick in across.ticks(4)
        ),
    ]
    parts += [
        *(f'<path class="between" d="{curve(step, across, up)}"/>' for step in _between(steps)),
        f'<path class="dashed" style="--c: var(--c{START})" d="{curve(start, across, up)}"/>',
        f'<path class="filled" style="--c: var(--c{LEARNED})" d="{curve(learned, across, up)}"/>',
    ]
    if len(steps) > 1:
        down = Axis(0, len(steps) - 1, PATH_TOP, PATH_BOTTOM)
        sides = [
            [
                (across(min(max(step.mean + side * _sigma(step), step.low), step.high)), down(k))
                for k, step in enumerate(steps)
            ]
            for side in (-1, 1)
        ]
        means = [(across(step.mean), down(k)) for k, step in enumerate(steps)]
        parts += [
            f'<path class="band" style="--c: var(--c{LEARNED})" d="{path(sides[0] + sides[1][::-1])}Z"/>',
            f'<path class="solid" style="--c: var(--c{LEARNED})" d="{path(means)}"/>',
            f'<text x="{across.start - 6}" y="{PATH_TOP + 8}" text-anchor="end">0</text>',
            f'<text x="{across.start - 6}" y="{PATH_BOTTOM}" text-anchor="end">{len(steps) - 1}</text>',
        ]
    unit = f", {start.unit}" if start.unit else ""
    told = f"{number(rounded(start.mean))} → {number(rounded(learned.mean))}"
    return figure(f"{name}{unit}", parts, (WIDTH, PATH_BOTTOM + 22), (), told)


def _discrete(name: str, steps: Sequence[Discrete]) -> Markup:
    """A row for each value: its probability at the start and as learned, and by iteration at the right."""
    weights = [step.weights().tolist() for step in steps]
    across, small = Axis(0, 1, 86, 206), Axis(0, max(len(steps) - 1, 1), 232, WIDTH - 6)
    parts = []
    for row, value in enumerate(steps[0].values):
        top = 6 + row * ROW
        start, learned = weights[0][row], weights[-1][row]
        up = Axis(0, 1, top + ROW - 7, top + 1)
        parts += [
            f'<text x="{across.start - 6}" y="{top + 14}" text-anchor="end">{escape(shortened(str(value)))}</text>',
            bar(across, start, top + 1, START),
            bar(across, learned, top + 10, LEARNED),
            f'<text x="{across(learned) + 4:.1f}" y="{top + 18}">{learned * 100:.0f}</text>',
            f'<line class="grid" x1="{small.start}" x2="{small.end}" y1="{up(0)}" y2="{up(0)}"/>',
            f'<path class="solid" style="--c: var(--c{LEARNED})" d="'
            f'{path((small(k), up(of_step[row])) for k, of_step in enumerate(weights))}"/>',
        ]
    return figure(f"{name}, %", parts, (WIDTH, 6 + ROW * len(steps[0].values)), (), "")


def _entries(name: str, steps: Sequence[LearnableDistribution]) -> Markup:
    """The numbers of a distribution of another kind, by iteration."""
    values = [step.entries() for step in steps]
    lines = [
        Line(entry, range(len(steps)), [of_step[entry] for of_step in values], colour=index % len(LINES))
        for index, entry in enumerate(values[0])
    ]
    return line_chart(name, lines, "iteration")


def bar(across: Axis, share: float, top: float, colour: int) -> str:
    """A horizontal bar from 0 to a share."""
    width = across(share) - across.start
    return f'<rect style="--c: var(--c{colour})" x="{across.start}" y="{top}" width="{width:.1f}" height="8" rx="1"/>'


def _between(steps: Sequence[Gaussian]) -> list[Gaussian]:
    """A few of the distributions between the first and the last, evenly spread."""
    inner = steps[1:-1]
    num_lines = min(MAX_LINES_BETWEEN, len(inner))
    return [inner[round((line + 0.5) * len(inner) / num_lines - 0.5)] for line in range(num_lines)]


def curve(gaussian: Gaussian, across: Axis, up: Axis) -> str:
    """The `d` of a path along the density over the whole range, down to 0 at both ends."""
    values = [
        gaussian.low + (gaussian.high - gaussian.low) * k / (NUM_CURVE_POINTS - 1) for k in range(NUM_CURVE_POINTS)
    ]
    points = [(across(value), up(min(density(gaussian, value), up.high))) for value in values]
    return path([(across.start, up(0)), *points, (across.end, up(0))])


def density(gaussian: Gaussian, value: float) -> float:
    """√(2π) times the density, per unit of the parameter."""
    z = (value - gaussian.mean) / _sigma(gaussian)
    return math.exp(-0.5 * z * z) / _sigma(gaussian)


def _sigma(gaussian: Gaussian) -> float:
    return gaussian.width * (gaussian.high - gaussian.low)


def rounded(value: float) -> float:
    """The value with three digits."""
    return float(f"{value:.3g}")


def shortened(text: str) -> str:
    """The text, cut where a chart has no room for it."""
    return text if len(text) <= 12 else f"{text[:11]}…"
