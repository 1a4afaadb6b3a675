"""The figures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, Prediction
from autosimulate_pipeline.reporting.palette import GREEN, LINES
from autosimulate_pipeline.reporting.pictures import labelled, predicted
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, metrics

NUM_SAMPLES = 5


@dataclass(frozen=True, eq=False)
class EvolutionRow:
    """One iteration: what its ψ rendered, and what the network then made of the shown validation images."""

    iteration: int
    rendered: AnnotatedDataset
    predictions: Sequence[Prediction]


def evolution(rows: Sequence[EvolutionRow], shown: AnnotatedDataset) -> Figure:
    """The simulator's evolution, as Figure 1 of the AutoSimulate supplement.

    Rows are iterations; the left columns are samples of their ψ, the right ones the network's output on the validation
    images of `shown`, which the last row shows with their labels.
    """
    num_columns = NUM_SAMPLES + len(shown)
    widths = [1.0] * NUM_SAMPLES + [0.25] + [1.0] * len(shown)
    height, width = shown.images[0].image.shape[:2]
    size = (1.5 * num_columns, 1.5 * height / width * (len(rows) + 1) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        len(rows) + 1, num_columns + 1, squeeze=False, gridspec_kw={"width_ratios": widths, "wspace": 0.02}
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes_row, row in zip(grid, rows, strict=False):
        for axes, image in zip(axes_row[:NUM_SAMPLES], row.rendered.images, strict=False):
            _show(axes, image.image)
        for axes, image, prediction in zip(axes_row[NUM_SAMPLES + 1 :], shown.images, row.predictions, strict=True):
            _show(axes, predicted(image.image, prediction))
        _label(axes_row[0], f"iteration {row.iteration + 1}")
    for axes, image in zip(grid[-1][NUM_SAMPLES - len(shown) : NUM_SAMPLES], shown.images, strict=True):
        _show(axes, image.image)
    for axes, image in zip(grid[-1][NUM_SAMPLES + 1 :], shown.images, strict=True):
        _show(axes, labelled(image))
    grid[0][0].set_title("samples from the simulator", loc="left", fontsize=11)
    grid[0][NUM_SAMPLES + 1].set_title("network on validation images", loc="left", fontsize=11)
    grid[-1][NUM_SAMPLES - len(shown)].set_title("validation images", loc="left", fontsize=11)
    grid[-1][NUM_SAMPLES + 1].set_title("their labels", loc="left", fontsize=11)
    return figure


def curves(reports: Sequence[EvaluationReport], entries: Sequence[Mapping[str, float]]) -> Figure:
    """Validation accuracy and loss by iteration, and the path of every ψ entry.

    Args:
        reports: one for each iteration.
        entries: ψ before the first iteration and after each.
    """
    families = _families(entries[0])
    num_panels = 2 + len(families)
    num_rows = -(-num_panels // 3)
    figure = Figure(figsize=(12, 2.9 * num_rows), layout="constrained")
    panels = list(figure.subplots(num_rows, 3, squeeze=False).flat)
    iterations = range(1, len(reports) + 1)
    by_metric = {metric: [metrics(report)[metric] for report in reports] for metric in metrics(reports[0])}
    for (metric, values), colour in zip(by_metric.items(), LINES, strict=False):
        panels[0].plot(iterations, values, label=METRIC_LABELS[metric], color=colour)
    panels[0].set(title="validation accuracy", ylim=(0, 1))
    panels[1].plot(iterations, [report.loss for report in reports], color=GREEN)
    panels[1].set(title="validation loss", ylim=(0, None))
    panels[0].legend(frameon=False, fontsize=8)
    for panel, (family, names) in zip(panels[2:], families.items(), strict=False):
        for name in names:
            panel.plot([step.get(name, np.nan) for step in entries], label=_short(name, family))
        panel.set(title=family.replace("_", " "))
        panel.legend(frameon=False, fontsize=8)
    for panel in panels[:num_panels]:
        panel.set_xlabel("iteration", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[num_panels:]:
        panel.set_axis_off()
    return figure


def _families(entries: Mapping[str, float]) -> dict[str, list[str]]:
    """Names grouped into panels: `cube_x`, `sphere_x` → `x`; `cube_material/metal` → `material`; others alone."""
    suffixes = [name.partition("/")[0].rpartition("_")[2] for name in entries]
    families: dict[str, list[str]] = {}
    for name, suffix in zip(entries, suffixes, strict=True):
        parameter = name.partition("/")[0]
        num_parameters = len(
            {other.partition("/")[0] for other, s in zip(entries, suffixes, strict=True) if s == suffix}
        )
        families.setdefault(suffix if num_parameters > 1 else parameter, []).append(name)
    return {family: _without_complements(names) for family, names in families.items()}


def _without_complements(names: list[str]) -> list[str]:
    """Of two probabilities that sum to 1 the second."""
    by_parameter: dict[str, list[str]] = {}
    for name in names:
        by_parameter.setdefault(name.partition("/")[0], []).append(name)
    return [name for group in by_parameter.values() for name in (group[1:] if len(group) == 2 else group)]


def _short(name: str, family: str) -> str:
    parameter, _, value = name.partition("/")
    own = "" if parameter == family else parameter.removesuffix(f"_{family}")
    return " ".join(filter(None, [own, value])) or name


def _show(axes: Axes, image: NDArray[np.uint8]) -> None:
    axes.imshow(image, interpolation="nearest")


def _label(axes: Axes, text: str) -> None:
    axes.text(-0.06, 0.5, text, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=10)
