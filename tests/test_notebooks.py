"""The notebooks run from the first cell to the last, and are kept without outputs."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conftest import PROJECT

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))

Execute = Callable[..., nbformat.NotebookNode]


@pytest.fixture
def execute(project: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """The notebook whose name begins so, run in a copy of the project, with other parameters than its own."""
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = importlib.import_module("execute_notebooks")
    folder = project / "notebooks"
    folder.mkdir(exist_ok=True)

    def run(number: str, **parameters: Any) -> nbformat.NotebookNode:
        (notebook,) = (path for path in NOTEBOOKS if path.name.startswith(number))
        return script.executed(Path(shutil.copy(notebook, folder)), folder, parameters)

    return run


def printed(notebook: nbformat.NotebookNode) -> str:
    """All that the cells have printed or shown as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)


def test_quickstart_runs_the_pipeline_and_opens_what_it_left(execute: Execute, project: Path) -> None:
    assert "own" in printed(execute("01"))
    assert (project / "data/08_reporting/quickstart/report.html").exists()


def test_own_simulator_can_be_searched(execute: Execute) -> None:
    assert "learned  test mIoU" in printed(execute("02", NUM_ITERATIONS=2))


def test_methods_are_compared(execute: Execute) -> None:
    assert "Learning To Simulate" in printed(execute("03", NUM_SEEDS=1, NUM_IMAGES=60, NUM_EPOCHS=2))


def test_hypergradient_from_scratch_is_that_of_the_package(execute: Execute) -> None:
    assert "negative_curvature" in printed(execute("04"))  # its own cells compare the rest
