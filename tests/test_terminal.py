"""What a person sees of a run: a display at a terminal, lines elsewhere, files alone where it is to be quiet."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

import cases
from autosimulate_pipeline import progress
from autosimulate_pipeline.distributions import Gaussian, ProductDistribution
from autosimulate_pipeline.records import EvaluationReport
from autosimulate_pipeline.search.base import SearchState

START = ProductDistribution.model_validate(cases.TOY_START)


def told(iteration: int, miou: float) -> tuple[SearchState, EvaluationReport]:
    """An iteration that ends with square_x a tenth of its range to the right of the iteration before."""
    square_x = START.parameters["square_x"]
    assert isinstance(square_x, Gaussian)
    moved = square_x.model_copy(update={"mean": -10.0 + 2 * iteration})
    distribution = ProductDistribution({**START.root, "square_x": moved})
    state = SearchState(
        method="autosimulate", seed=0, iteration=iteration, distribution=distribution, images_rendered=8 * iteration
    )
    return state, EvaluationReport(loss=0.25, map=miou / 2, miou=miou, iou_by_category={"square": miou}, num_images=6)


def written(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> io.StringIO:
    """What is written from now on."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=100, highlight=False, color_system=None)
    monkeypatch.setattr(progress, "console", console)
    return file


def test_sparkline_is_a_scale_from_zero_and_keeps_both_ends_of_a_long_history() -> None:
    assert progress.sparkline([]) == ""
    assert progress.sparkline([0, 0]) == "▁▁"
    assert progress.sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    long = progress.sparkline([0.0, *[0.5] * 997, 1.0], width=10)
    assert (long[0], long[-1], len(long)) == ("▁", "█", 10)


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_iterations_are_a_table_at_a_terminal_and_lines_elsewhere(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, display = written(monkeypatch, is_terminal=is_terminal), progress.RunDisplay()
    display.start("named: autosimulate", 3, [told(1, 0.1)])
    with display.watched("rendering", 8, "images") as advance:
        advance(8)
    display.iteration(*told(2, 0.2))
    display.iteration(*told(3, 0.4))
    display.close()
    title, *lines = [" ".join(line.split()) for line in re.sub(r"\x1b\[[\d;?]*\w", "", file.getvalue()).splitlines()]
    assert title == "named: autosimulate"
    if is_terminal:
        assert lines[-3:] == [
            f"iteration {'━' * progress.WIDTH} 3/3",
            "mIoU ▃▅█ 0.400 validation; loss 0.250",
            "ψ square_x +10% of its range",
        ]
    else:
        speeds = [re.sub(r"[\d.]+ images/s", "… images/s", line) for line in lines]
        measured = "mAP 0.100 mAP@.5 0.000 mIoU 0.200 loss 0.250"
        assert speeds[0] == f"iteration 2/3 val {measured} images 16 … images/s square_x +10% of its range"
        assert len(lines) == 2


def test_time_left_is_that_of_the_iterations_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    file, clock = written(monkeypatch, is_terminal=False), iter([100.0, 130.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    display = progress.RunDisplay()
    display.start("named", 5)
    for k in (1, 2):
        display.iteration(*told(k, 0.1))
    _, first, second = file.getvalue().splitlines()
    assert "left" not in first
    assert second.endswith("1 min 30 s left in the loop")


def test_long_stages_are_told_once_a_minute_where_nothing_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    file, now = written(monkeypatch, is_terminal=False), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress.RunDisplay().watched("rendering", 30, "images") as advance:
        for _ in range(7):
            now[0] += 25
            advance(1)
    assert file.getvalue().splitlines() == [
        "rendering: 3 of 30 images, 2.4 images/min, 11 min 15 s left",
        "rendering: 6 of 30 images, 2.4 images/min, 10 min 00 s left",
    ]


def test_quiet_tells_the_files_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "console", Console(quiet=True))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.html").touch()
    summary = {"method": "frozen", "test_map": {"start": 0.5}, "images_rendered": 8, "seconds": {"total": 5}}
    progress.display.start("named")
    progress.tell_summary(summary, tmp_path)
    assert capsys.readouterr().out == "report.html\n"


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_a_terminal_without_utf8_gets_tables_and_bars_in_ascii(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr("sys.stdout", output)
    progress.print_in_any_encoding()
    console = Console(force_terminal=is_terminal, width=100, highlight=False, color_system=None)
    monkeypatch.setattr(progress, "console", console)
    display = progress.RunDisplay()
    display.start("größe: autosimulate", 2)
    display.iteration(*told(1, 0.1))
    display.iteration(*told(2, 0.2))
    display.close()
    tests = {"start": 0.5, "learned": 0.6}
    progress.tell_summary({"test_map": tests, "images_rendered": 8, "seconds": {"total": 5}}, tmp_path)
    printed = output.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]  # of a BytesIO
    assert "gr\\xf6\\xdfe: autosimulate" in printed and "retrained at the learned psi" in printed
    assert "------" in printed
    if is_terminal:
        assert "=#" in printed and re.search(r"psi +square_x", printed)
