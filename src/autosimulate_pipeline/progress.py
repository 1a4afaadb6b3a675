"""What a run prints: one display at a terminal, lines elsewhere, the final files alone in quiet mode."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from autosimulate_pipeline import records
from autosimulate_pipeline.distributions import Gaussian
from autosimulate_pipeline.records import EvaluationReport
from autosimulate_pipeline.reporting.lessons import duration
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, TEST_LABELS, headline, metrics, test_metrics
from autosimulate_pipeline.search.base import SearchState

console = Console(highlight=False, force_interactive=None if sys.stdout.isatty() else False)
"""Prints how a run progresses. FORCE_COLOR brings colours to a file or pipe, but nothing that is redrawn."""

errors = Console(stderr=True, highlight=False)
"""Prints what went wrong, in quiet mode too."""

WIDTH = 30
"""Characters of bars and sparklines."""

NUM_NAMED = 5
"""Statistics outside what the renders show that a line names."""

LEVELS, ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.,-=+*#"

SECONDS_BETWEEN_LINES = 60.0
"""Of a stage that takes long, where nothing is redrawn."""

RESULTS = ("report.html", "evolution.png", "curves.png", "summary.json")
"""What a run leaves for people, in its folder of data/08_reporting."""


def be_quiet() -> None:
    """Quiet mode: print errors only, and the output files at the end."""
    console.quiet = True
    logging.getLogger().setLevel(logging.ERROR)


def print_in_any_encoding() -> None:
    """What the terminal's encoding lacks is printed as an escape, where Python would raise UnicodeEncodeError."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def tell_files(files: Iterable[Path]) -> None:
    """Print the paths of those that exist, from the current folder; in quiet mode for programs to read."""
    for path in (os.path.relpath(file) for file in files if file.exists()):
        if console.quiet:
            print(path)
        else:
            console.print(f"  {path}", soft_wrap=True, markup=False)


def sparkline(values: Sequence[float], width: int = WIDTH, levels: str = LEVELS) -> str:
    """The values, none negative, as blocks on a scale from 0 to the largest; of too many some, evenly spread."""
    num_shown = min(len(values), width)
    shown = [values[round(index * (len(values) - 1) / max(num_shown - 1, 1))] for index in range(num_shown)]
    top = max(values, default=0)
    return "".join(levels[round((len(levels) - 1) * value / top)] if top else levels[0] for value in shown)


@dataclass
class Stage:
    """Work that can be counted, as far as it has come."""

    name: str
    total: int
    unit: str
    started: float
    num_done: int = 0

    def advance(self, num_finished: int) -> None:
        """So many more are finished."""
        self.num_done += num_finished

    @property
    def rate(self) -> float:
        """How many were finished in a second."""
        return self.num_done / max(time.monotonic() - self.started, 1e-9)

    @property
    def speed(self) -> str:
        """`4.2 images/s`; of slow work `3.1 images/min`; empty before the first."""
        if not self.num_done:
            return ""
        return f"{self.rate:.1f} {self.unit}/s" if self.rate >= 1 else f"{60 * self.rate:.1f} {self.unit}/min"

    @property
    def time_left(self) -> str:
        """`6 min 12 s left`; empty before the first, and of what is about to end."""
        if not self.num_done:
            return ""
        seconds = (self.total - self.num_done) / self.rate
        return f"{duration(seconds)} left" if seconds >= SECONDS_BETWEEN_LINES else ""


class RunDisplay:
    """A run as it goes: what it is, its iterations, what was gained.

    At a terminal it is one table, drawn anew in its place, that stays when the run has ended. Elsewhere it is a line
    for each iteration, and one a minute for a stage that takes longer.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._now: Stage | str = ""
        self._begin(0)

    def start(
        self, title: str, num_iterations: int = 0, earlier: Sequence[tuple[SearchState, EvaluationReport]] = ()
    ) -> None:
        """Before the first node.

        Args:
            title: what the run is, with rich's markup.
            earlier: state after, and report of, each iteration that was done before.
        """
        self._begin(num_iterations)
        for state, validation in earlier:
            self._take(state, validation)
        console.print(title, soft_wrap=True)
        if console.is_interactive and not console.quiet:
            self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4)
            self._live.start()

    def node(self, name: str) -> None:
        """A node begins."""
        self._now = name.rpartition(".")[2].replace("-", " ")

    @contextmanager
    def watched(self, name: str, total: int, unit: str) -> Iterator[records.Progress]:
        """A progress callback that is shown as a bar for as long as the context lasts."""
        self._now = stage = Stage(name, total, unit, time.monotonic())
        last_line = stage.started

        def advance(num_finished: int) -> None:
            nonlocal last_line
            stage.advance(num_finished)
            if self._live is None and time.monotonic() - last_line >= SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                counted = f"{name}: {stage.num_done} of {total} {unit}"
                console.print(", ".join(filter(None, (counted, stage.speed, stage.time_left))), soft_wrap=True)

        yield advance
        self._now = ""
        if unit == "images" and total:
            self._speed = stage.speed

    def iteration(self, state: SearchState, validation: EvaluationReport) -> None:
        """After each iteration."""
        self._take(state, validation)
        self._ends.append(time.monotonic())
        if self._live is None:
            measured = (f"{METRIC_LABELS[key]} [bold]{value:.3f}[/]" for key, value in metrics(validation).items())
            parts = (
                f"iteration {state.iteration:>3}/{self._num_iterations}",
                f"val {'  '.join(measured)}",
                f"loss {validation.loss:.3f}",
                f"images {state.images_rendered}",
                self._speed,
                " ".join(self._move),
                self._time_left(),
            )
            console.print("  ".join(filter(None, parts)), soft_wrap=True)
        if state.stopped:
            console.print(f"stopped early: {state.stopped}")

    def close(self) -> None:
        """The table stays as it is; nothing more is drawn."""
        self._now = ""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _begin(self, num_iterations: int) -> None:
        self._num_iterations = num_iterations
        self._history: list[float] = []
        self._metric = self._loss = ""
        self._ends: list[float] = []  # of the iterations of this session, in seconds
        self._entries: dict[str, float] = {}
        self._move: tuple[str, ...] = ()
        self._speed = ""

    def _take(self, state: SearchState, validation: EvaluationReport) -> None:
        values = metrics(validation)
        self._metric = headline(values)
        self._history.append(values[self._metric])
        self._loss = f"{validation.loss:.3f}"
        self._move = _largest_move(state, self._entries)
        self._entries = state.distribution.entries()

    def _table(self) -> RenderableType:
        """Rows of what, a bar or the like, a figure, and more in words."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        num_done = len(self._history)
        if self._num_iterations:
            bar = ProgressBar(self._num_iterations, num_done, WIDTH)
            table.add_row("iteration", bar, f"{num_done}/{self._num_iterations}", self._time_left())
        if num_done:
            label, figure = METRIC_LABELS[self._metric], f"[bold]{self._history[-1]:.3f}[/]"
            blocks = sparkline(self._history, levels=ASCII_LEVELS if console.options.ascii_only else LEVELS)
            table.add_row(label, f"[cyan]{blocks}[/]", figure, f"validation; loss {self._loss}")
        if self._move:
            table.add_row(_printable("ψ"), *self._move)
        if isinstance(self._now, Stage):
            now = self._now
            words = ", ".join(filter(None, (now.name, now.speed, now.time_left)))
            table.add_row("now", ProgressBar(now.total, now.num_done, WIDTH), f"{now.num_done}/{now.total}", words)
        elif self._now:
            table.add_row("now", self._now, "", "")
        return table

    def _time_left(self) -> str:
        num_left, num_timed = self._num_iterations - len(self._history), len(self._ends) - 1
        if not num_left or num_timed < 1:
            return ""
        return f"{duration((self._ends[-1] - self._ends[0]) / num_timed * num_left)} left in the loop"


display = RunDisplay()
"""The display of this process, which runs one run at a time."""

watched = display.watched


def tell_summary(summary: dict[str, Any], folder: Path) -> None:
    """Print the results on the test images, the cost, and the paths of the files."""
    if "inference" in summary:
        tell_inference(summary["inference"])
    test = test_metrics(summary)
    if test:
        tell_test(test)
    rendered = f"{summary['images_rendered']} images rendered, " if summary["images_rendered"] else ""
    console.print(f"{rendered}{duration(summary['seconds']['total'])} in all")
    tell_files(folder / name for name in RESULTS)


def tell_inference(inference: Mapping[str, Any]) -> None:
    """How many parameters the labelled images show, and which they leave open."""
    parameters = inference["parameters"]
    left_open = [name for name, answer in parameters.items() if not answer["identified"]]
    shown = f"the labelled images show {len(parameters) - len(left_open)} of {len(parameters)} parameters"
    console.print(shown + (f"; they leave open: {', '.join(left_open)}" if left_open else ""), soft_wrap=True)
    if inference["outside"]:
        num_more = len(inference["outside"]) - NUM_NAMED
        named = ", ".join(list(inference["outside"])[:NUM_NAMED]) + (f" and {num_more} more" if num_more > 0 else "")
        console.print(f"the labelled images lie outside what the renders show in: {named}", soft_wrap=True)


def tell_test(test: Mapping[str, Mapping[str, float]]) -> None:
    """The test metrics of each network, as a table."""
    names = list(next(iter(test.values())))
    labels = [METRIC_LABELS[name] for name in names]
    table = Table("test images", *labels, box=box.SIMPLE_HEAD)
    for where, of_network in test.items():
        table.add_row(_printable(TEST_LABELS[where]), *(f"{of_network[name]:.3f}" for name in names))
    console.print(table)


def device(*, uses_cuda: bool) -> str:
    """The device that networks are trained on, in words."""
    return "cuda" if uses_cuda else f"{len(os.sched_getaffinity(0))} CPU cores"


def _printable(label: str) -> str:
    """The label, its Greek spelt out where the terminal is not UTF-8: an escape is wider than its column."""
    return label.replace("ψ", "psi") if console.options.ascii_only else label


def _largest_move(state: SearchState, before: dict[str, float]) -> tuple[str, ...]:
    """The Gaussian mean that moved furthest, how far as a share of its range, and words for that."""
    moves = {
        name: (distribution.mean - before[name]) / (distribution.high - distribution.low)
        for name, distribution in state.distribution.root.items()
        if isinstance(distribution, Gaussian) and name in before
    }
    name = max(moves, key=lambda key: abs(moves[key]), default="")
    return (name, f"{moves[name]:+.0%}", "of its range") if moves.get(name) else ()
