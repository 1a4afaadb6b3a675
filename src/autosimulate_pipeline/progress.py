"""What a person at the terminal sees: bars while a stage runs, a line for each iteration, a table at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from autosimulate_pipeline import records
from autosimulate_pipeline.distributions import Gaussian
from autosimulate_pipeline.records import EvaluationReport
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, TEST_LABELS, metrics, test_metrics
from autosimulate_pipeline.search.base import SearchState

console = Console(highlight=False)
"""Where a run tells a person how it goes."""


class RateColumn(ProgressColumn):
    """How many units finish in a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {task.fields['unit']}/s" if task.speed else "")


@contextmanager
def watched(stage: str, total: int, unit: str) -> Iterator[records.Progress]:
    """A progress callback shown as a bar that goes when the stage ends; nothing is drawn where no terminal is."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(stage, total=total, unit=unit)
        yield lambda num_finished: bars.advance(task, num_finished)


class RunDisplay:
    """What a run says: what it is, one line for each iteration, and what was gained."""

    def __init__(self, num_iterations: int) -> None:
        self._num_iterations = num_iterations
        self._last_time: float | None = None
        self._entries: dict[str, float] = {}

    def start(self, run: str, method: str, num_images: int) -> None:
        """Before the first node."""
        console.print(
            f"[bold]{run}[/]: {method}, {self._num_iterations} iterations of {num_images} images, on {_device()}",
            soft_wrap=True,
        )

    def iteration(self, state: SearchState, validation: EvaluationReport) -> None:
        """After each iteration."""
        now = time.monotonic()
        seconds_left = (now - self._last_time) * (self._num_iterations - state.iteration) if self._last_time else 0
        self._last_time = now
        left = f"  [dim]{_minutes(seconds_left)} left in the loop[/]" if seconds_left else ""
        measured = "  ".join(f"{METRIC_LABELS[key]} [bold]{value:.3f}[/]" for key, value in metrics(validation).items())
        console.print(
            f"iteration {state.iteration:>3}/{self._num_iterations}  val {measured}  loss {validation.loss:.3f}"
            f"  images {state.images_rendered}{self._largest_move(state)}{left}",
            soft_wrap=True,
        )
        if state.stopped:
            console.print(f"stopped early: {state.stopped}")

    def summary(self, summary: dict[str, Any], folder: Path) -> None:
        """After the last node."""
        test = test_metrics(summary)
        names = list(next(iter(test.values())))
        labels = [METRIC_LABELS[name] for name in names]
        table = Table("test images", *labels, title=summary["method"], title_justify="left")
        for where, of_network in test.items():
            table.add_row(TEST_LABELS[where], *(f"{of_network[name]:.3f}" for name in names))
        console.print(table)
        seconds = summary["seconds"]
        console.print(f"{summary['images_rendered']} images in the loop, {_minutes(seconds['total'])} in all")
        for name in ("report.html", "evolution.png", "curves.png", "summary.json"):
            if (folder / name).exists():
                console.print(f"  {os.path.relpath(folder / name)}", soft_wrap=True)

    def _largest_move(self, state: SearchState) -> str:
        """The Gaussian mean that moved furthest, as a share of its range."""
        moves = {
            name: (distribution.mean - self._entries[name]) / (distribution.high - distribution.low)
            for name, distribution in state.distribution.root.items()
            if isinstance(distribution, Gaussian) and name in self._entries
        }
        self._entries = state.distribution.entries()
        if not moves:
            return ""
        name = max(moves, key=lambda key: abs(moves[key]))
        return f"  {name} {moves[name]:+.0%} of its range" if moves[name] else ""


def _minutes(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else f"{len(os.sched_getaffinity(0))} CPU cores"
