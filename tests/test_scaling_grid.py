"""A grid's trials run in an engine's workers, and none is run twice at a time or lost with its worker."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kedro.framework.startup import bootstrap_project

from autosimulate_pipeline.grid import trials as trial_runs
from autosimulate_pipeline.grid.grids import Grid, Trial, expand
from autosimulate_pipeline.grid.trials import run_trial, run_trials
from autosimulate_pipeline.simulators import ParallelSettings
from conftest import copied_project

SMALL = {"loop.num_iterations": 2, "loop.num_images": 4, "search.start": "configured"}


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """One whose `kedro run` ends at once."""
    bootstrap_project(copied_project(tmp_path))
    grid = Grid.model_validate({"parameters": SMALL, "grid": {"seed": [0]}})
    (made,) = expand(tmp_path, "tiny", grid, "smoke")
    return dataclasses.replace(made, arguments=["--help"])


class WorkerGoneError(Exception):
    """What an engine's futures raise of a lost worker."""


@pytest.mark.parametrize(("num_deaths", "told"), [(2, None), (3, "3 workers died: machine 3 is gone")])
def test_a_trial_whose_worker_dies_goes_on_in_another(
    trial: Trial, num_deaths: int, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Trial] = []

    def submit(_function: Callable[..., Any], started: Trial, *_choices: str) -> Future[str | None]:
        starts.append(started)
        answer: Future[str | None] = Future()
        if len(starts) <= num_deaths:
            answer.set_exception(WorkerGoneError(f"machine {len(starts)} is gone"))
        else:
            answer.set_result(None)
        return answer

    engine = SimpleNamespace(submit=submit, losses=(WorkerGoneError,), count_workers=lambda _seconds: 1)
    monkeypatch.setattr(trial_runs, "open_engine", lambda *_arguments: engine)
    parallel = ParallelSettings(backend="dask", max_attempts=3)
    ((ended, failure),) = run_trials([trial], 1, parallel, until_last_state=True)
    assert ended is trial
    assert starts == [trial] * 3
    assert failure is None if told is None else told in str(failure)


def test_a_trial_that_is_no_longer_wanted_is_stopped_wherever_it_runs(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an engine's worker too, to which no signal of the grid search comes."""
    monkeypatch.setattr(trial_runs, "STOP_SECONDS", 1)
    monkeypatch.setattr(trial_runs, "ENGINE_SECONDS", 60)
    monkeypatch.setattr(sys, "executable", str(sleeper(trial.project)))
    workers = ThreadPoolExecutor(1)
    engine = SimpleNamespace(submit=workers.submit, losses=(), count_workers=lambda _seconds: 1)
    monkeypatch.setattr(trial_runs, "open_engine", lambda *_arguments: engine)
    waiting = dataclasses.replace(trial, arguments=["--env", "never"])
    ended: list[str | None] = []

    def interrupt() -> None:
        if (trial.project / "started").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for _, failure in run_trials(
            [trial, waiting], 2, ParallelSettings(backend="dask"), until_last_state=True, while_waiting=interrupt
        ):
            ended.append(failure)
    assert ended == [] and (trial.project / "started").read_text() == "started\nterminated\n", "the second never began"


def sleeper(folder: Path) -> Path:
    """A program that sleeps until SIGTERM ends it, and writes down both."""
    program = folder / "sleeper"
    program.write_text(
        f"#!/bin/bash\ntrap 'echo terminated >> {folder}/started; exit 143' TERM\n"
        f"echo started >> {folder}/started\nwhile true; do sleep 0.1; done\n"
    )
    program.chmod(0o755)
    return program


def test_a_machine_without_the_folder_is_told(trial: Trial, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(trial, project=tmp_path / "elsewhere")
    assert f"has no {tmp_path / 'elsewhere'}: all machines must share it" in str(run_trial(elsewhere))


@pytest.mark.slow
def test_grid_search_sends_its_trials_to_dask(project: Path) -> None:
    conf = project / "conf" / "cluster"
    conf.mkdir()
    parameters = yaml.safe_load((project / "conf/smoke/parameters.yml").read_text())
    (conf / "parameters.yml").write_text(yaml.safe_dump(parameters | {"parallel": {"backend": "dask"}}))
    (conf / "grids.yml").write_text(
        yaml.safe_dump({"tiny": {"parameters": SMALL, "grid": {"hypergradient.damping": [0.1]}}})
    )
    (conf / "mlflow.yml").write_text("enabled: false\n")
    command = [sys.executable, "-m", "kedro", "grid-search", "tiny", "--env", "cluster", "--jobs", "1"]
    finished = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=550, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "1 trials of autosimulate, 1 to run, 1 at a time" in finished.stdout
    assert finished.stdout.splitlines()[-3].startswith("chosen: hypergradient.damping=0.1, test mAP / mAP@.5 / mIoU ")
