"""The search without Kedro: what docs/python_api.md says, and the same numbers as a run's."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from kedro.framework.startup import bootstrap_project

from autosimulate_pipeline.configuration import check_parameters
from autosimulate_pipeline.datasets import AnnotatedImagesDataset
from autosimulate_pipeline.grid.grids import load_conf
from autosimulate_pipeline.loop.loop import run_loop
from autosimulate_pipeline.search import build_search_method
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.task_models import build_task_model
from conftest import PROJECT, Kedro


def test_page_of_the_docs_is_right() -> None:
    failures, tried = doctest.testfile(str(PROJECT / "docs/python_api.md"), module_relative=False)
    assert tried > 15 and not failures


@pytest.mark.slow
def test_loop_in_one_process_gives_the_numbers_of_a_run(
    project: Path, kedro: Kedro, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as here: sums of other numbers of threads round in other ways
    finished = kedro("--env", "smoke", "--params", "run=same,search.start=configured", "--to-outputs", "state_003")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    bootstrap_project(project)
    parameters = check_parameters(
        load_conf(project, "smoke", "parameters", {"run": "same", "search.start": "configured"})
    )
    validation_set = AnnotatedImagesDataset(str(project / "data/01_raw/same/validation")).load()
    method = build_search_method("autosimulate", parameters.loop, parameters.search, parameters.hypergradient)
    iterations = run_loop(
        method,
        parameters.simulator.parameters,
        parameters.simulator.build(ParallelSettings()),
        build_task_model(validation_set.categories, parameters.task_model),
        validation_set,
        parameters.training,
        parameters.seed,
    )
    for k, iteration in zip((1, 2), iterations, strict=False):  # rounding grows from step to step
        kept = SearchState.model_validate_json((project / f"data/07_model_output/same/state_{k:03d}.json").read_text())
        assert iteration.state.distribution.entries() == pytest.approx(kept.distribution.entries(), abs=1e-3)
        assert iteration.state.validation_losses == pytest.approx(kept.validation_losses, rel=1e-5)
        assert iteration.state.images_rendered == kept.images_rendered
