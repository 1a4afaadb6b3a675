"""Line charts as SVG inside a page: text in the page's own font and colour, so that dark mode and print just work.

Matplotlib's SVG fixes both and is ten times as large. Colours are the page's variables `--c0`, `--c1`, …, which are
`palette.LINES`; numbers on the axes are chosen by matplotlib's locators.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 380, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 8, 36
MAX_MARKED_POINTS = 40
"""Lines of more points go without marks."""


@dataclass(frozen=True)
class Line:
    """Points joined by a line; those that are not finite leave a gap.

    Attributes:
        name: for the legend; empty: not in it.
        colour: index into `palette.LINES`.
        style: solid and dashed lines have marks at their points; "plain" has none; "thin" is one of many.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: int = 0
    style: Literal["solid", "dashed", "plain", "thin"] = "solid"


@dataclass(frozen=True)
class Axis:
    """A range of values laid over a range of pixels.

    Attributes:
        low, high: values at the pixels `start` and `end`; positive where `is_log`.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = map(math.log10, (self.low, self.high, value)) if self.is_log else (self.low, self.high, value)
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, num_ticks: int, *, is_whole: bool = False) -> list[float]:
        """Round numbers between the ends."""
        locator = LogLocator(subs=(1, 2, 5), numticks=num_ticks) if self.is_log else None
        if locator is None or self.high / self.low < 10:
            values = MaxNLocator(num_ticks, integer=is_whole).tick_values(self.low, self.high)
        else:
            values = locator.tick_values(self.low, self.high)
        slack = 1e-9 * abs(self.high - self.low)
        return [float(tick) for tick in values if self.low - slack <= tick <= self.high + slack]


def line_chart(
    title: str,
    lines: Sequence[Line],
    x_label: str,
    *,
    y_limits: tuple[float | None, float | None] = (None, None),
    is_log: bool = False,
) -> Markup:
    """A `<figure>` with its title, legend and lines; nothing where no point is finite.

    Args:
        x_label: what the horizontal axis is, unit included.
        y_limits: ends of the vertical axis; None: from the data.
        is_log: whether the vertical axis is logarithmic; values that are not positive are then left out.
    """
    points = {id(line): _finite(line, positive=is_log) for line in lines}
    xs, ys = (
        zip(*[point for of_line in points.values() for run in of_line for point in run], strict=True)
        if any(points.values())
        else ((), ())
    )
    if not xs:
        return Markup("")
    x_axis = _axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    low, high = (
        given if given is not None else found for given, found in zip(y_limits, _padded(ys, is_log), strict=True)
    )
    y_axis = _axis(low, high, HEIGHT - BOTTOM, TOP, is_log=is_log)
    parts = [
        *(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_axis(tick):.1f}" y2="{y_axis(tick):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y_axis(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>'
            for tick in y_axis.ticks(5, is_whole=_are_whole(ys))
        ),
        *(
            f'<text x="{x_axis(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{number(tick)}</text>'
            for tick in x_axis.ticks(6, is_whole=_are_whole(xs))
        ),
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>',
        *(_drawn(line, points[id(line)], x_axis, y_axis) for line in lines),
    ]
    return figure(title, parts, (WIDTH, HEIGHT), [(line.name, line.colour, line.style) for line in lines if line.name])


def figure(
    title: str,
    parts: Iterable[str],
    size: tuple[float, float],
    legend: Sequence[tuple[str, int, str]] = (),
    note: str = "",
) -> Markup:
    """A `<figure>` around SVG elements.

    Args:
        parts: the elements, their texts escaped.
        size: of the view box.
        legend: name, colour and style of each entry; shown where there are two or more.
        note: small, beside the title.
    """
    shown = legend if len(legend) > 1 else ()
    keys = "".join(
        f'<span class="key {escape(style)}" style="--c: var(--c{colour})">{escape(name)}</span>'
        for name, colour, style in shown
    )
    described = escape(f"{title}: {', '.join(name for name, _, _ in legend)}" if legend else title)
    return Markup(  # noqa: S704  # what is not ours was escaped above and by whoever made the parts
        f'<figure class="chart"><figcaption><b>{escape(title)}</b>{f" <small>{escape(note)}</small>" if note else ""}'
        f"{f'<span class=keys>{keys}</span>' if keys else ''}</figcaption>"
        f'<svg viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" aria-label="{described}">'
        f"{''.join(parts)}</svg></figure>"
    )


def number(value: float) -> str:
    """A number for people, with a real minus sign."""
    text = f"{value:.0e}" if value and (abs(value) < 1e-3 or abs(value) >= 1e5) else f"{value:.4g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def path(points: Iterable[tuple[float, float]]) -> str:
    """The `d` of a path through pixels."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _finite(line: Line, *, positive: bool) -> list[list[tuple[float, float]]]:
    """The line's points, cut at those that cannot be drawn."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.xs, line.ys, strict=True):
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not positive):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _are_whole(values: Iterable[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def _padded(values: Sequence[float], is_log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if is_log:
        return low / 1.3, high * 1.3
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _axis(low: float, high: float, start: float, end: float, *, is_log: bool = False) -> Axis:
    return Axis(low, high if high > low else low + 1, start, end, is_log)


def _drawn(line: Line, runs: list[list[tuple[float, float]]], x_axis: Axis, y_axis: Axis) -> str:
    """A line with marks that tell their values when pointed at."""
    drawn = [f'<path d="{path((x_axis(x), y_axis(y)) for x, y in run)}"/>' for run in runs]
    if line.style in ("solid", "dashed") and len(line.xs) <= MAX_MARKED_POINTS:
        drawn += [
            f'<circle cx="{x_axis(x):.1f}" cy="{y_axis(y):.1f}" r="2.4">'
            f"<title>{escape(line.name)} {number(y)} at {number(x)}</title></circle>"
            for run in runs
            for x, y in run
        ]
    return f'<g class="line {line.style}" style="--c: var(--c{line.colour})">{"".join(drawn)}</g>'
