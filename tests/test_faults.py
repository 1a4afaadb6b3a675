"""Faults from outside: damaged files, two runs at once, a read-only folder, no MLflow, clocks that jump, no numbers.

Each is handled and reported, or the command ends in one line that says what to do, and can be resumed.
"""

from __future__ import annotations

import fcntl
import importlib
import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from kedro.framework.cli.cli import main
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError

from autosimulate_pipeline.annotations import write_coco
from autosimulate_pipeline.cli import run, stopped_by_sigterm
from autosimulate_pipeline.configuration import ProjectConfigLoader, check_parameters
from autosimulate_pipeline.datasets import AnnotatedImagesDataset, RecordDataset, ScenesDataset, WeightsDataset
from autosimulate_pipeline.files.atomic import reading
from autosimulate_pipeline.grid.grids import load_conf
from autosimulate_pipeline.hooks import MemoryHook
from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings, ImplicitProblem, validation_influences
from autosimulate_pipeline.provenance import digest
from autosimulate_pipeline.records import (
    AnnotatedDataset,
    AnnotatedImage,
    EvaluationReport,
    HypergradientReport,
)
from autosimulate_pipeline.runs.lock import LOCK_NAME, claim
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.simulators.toy import ToySimulator
from conftest import PROJECT, copied_project
from test_tracking import points

RUN = "toy-autosimulate"
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def toy_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own with the environment `toy`: a run of seconds."""
    project = copied_project(tmp_path_factory.mktemp("toy"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        parameters = importlib.import_module("kills").TOY | {
            "loop": {"num_iterations": 2, "num_images": 4},
            "search": {"start": "configured"},
        }
    (project / "conf/toy").mkdir()
    (project / "conf/toy/parameters.yml").write_text(yaml.safe_dump(parameters))
    bootstrap_project(project)
    return project


@pytest.fixture
def kedro_run(toy_project: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`kedro run --env toy` with these parameters, in this process."""
    monkeypatch.chdir(toy_project)

    def command(*parameters: str) -> Result:
        return CliRunner().invoke(run, ["--env", "toy", *(["--params", ",".join(parameters)] if parameters else [])])

    return command


@pytest.fixture
def whole(toy_project: Path, kedro_run: Command) -> Path:
    """A project with a finished run."""
    finished = kedro_run()
    assert finished.exit_code == 0, finished.output
    return toy_project


def error_of(result: Result) -> str:
    """The line that a failed command ends with."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    (line,) = (line for line in result.output.splitlines() if line.startswith("error:"))
    return line


DAMAGED = {
    "state_001.json": f"data/07_model_output/{RUN}/state_001.json",
    "weights_001.safetensors": f"data/06_models/{RUN}/weights_001.safetensors",
    "000001.png": f"data/03_primary/{RUN}/rendered_dataset_001",
}
"""What is to be deleted when this file is damaged."""


def test_a_damaged_file_of_a_run_is_named_with_what_to_do_and_made_again(whole: Path, kedro_run: Command) -> None:
    lost = whole / "data/06_models" / RUN / "weights_002.safetensors"
    for name, to_delete in DAMAGED.items():
        (file,) = (path for path in (whole / "data").glob(f"*/{RUN}/**/{name}") if str(whole / to_delete) in str(path))
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        lost.unlink()
        line = error_of(kedro_run())
        assert line.startswith(f"error: {to_delete} is damaged (")
        assert line.endswith("): delete it and rerun the command to regenerate it")
        shutil.rmtree(file.parents[1]) if name.endswith(".png") else file.unlink()
        assert kedro_run().exit_code == 0
        assert file.read_bytes() == content and lost.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 64], ids=["empty", "cut", "zeros"])
def test_content_that_cannot_be_read_is_damaged(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_bytes(content)
    datasets = [ScenesDataset(str(file)), WeightsDataset(str(file)), RecordDataset(str(file), "builtins.dict")]
    (tmp_path / "images").mkdir()
    shutil.copy(file, tmp_path / "images/annotations.json")
    for dataset in (*datasets, AnnotatedImagesDataset(str(tmp_path / "images"))):
        with pytest.raises(DatasetError, match="is damaged .*: delete it and rerun the command to regenerate it$"):
            dataset.load()
    file.unlink()
    for dataset in datasets:
        with pytest.raises(DatasetError, match="No such file"):
            dataset.load()


def test_a_fault_of_the_code_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(AttributeError), reading(tmp_path):
        raise AttributeError("'NoneType' object has no attribute 'images'")
    with pytest.raises(FileNotFoundError, match="No such file"), reading(tmp_path / "lost"):
        raise FileNotFoundError("annotations.json is missing")


def test_nodes_whose_inputs_were_never_made_are_refused_with_the_inputs_names(
    toy_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy_project)
    refused = CliRunner().invoke(run, ["--env", "toy", "--nodes", "write-report", "--params", "run=fresh"])
    line = error_of(refused)
    assert line.startswith("error: run 'fresh' has no frame_000, frame_001, ") and " more yet" in line
    assert line.endswith(", which the nodes asked for read: first run it without choosing nodes")
    assert not list(toy_project.glob("data/*/fresh"))


def test_a_record_of_values_that_are_no_numbers_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = RecordDataset(str(tmp_path / "report.json"), "autosimulate_pipeline.records.EvaluationReport")
    kept.save(EvaluationReport(loss=math.nan, map=math.inf, ap_by_category={"cube": -math.inf}))
    report = kept.load()
    assert math.isnan(report.loss) and report.map == math.inf and report.ap_by_category == {"cube": -math.inf}


# Two at once, and no place to write


def test_a_second_process_waits_for_the_first_and_cleans_up_after_the_dead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = claim(tmp_path, "mine")
    torn = tmp_path / "data/03_primary/mine/.shard.12345.new.part"
    torn.mkdir(parents=True)
    claimed: list[Any] = []
    second = threading.Thread(target=lambda: claimed.append(claim(tmp_path, "mine")))
    second.start()
    second.join(timeout=1)
    assert second.is_alive() and torn.exists()
    assert "Run 'mine' is in use by another process (process " in caplog.text
    first.close()
    second.join(timeout=60)
    assert len(claimed) == 1 and not torn.exists()
    claimed[0].close()


def test_a_run_waits_its_turn_and_then_has_nothing_to_do(
    whole: Path, kedro_run: Command, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: list[Result] = []
    second = threading.Thread(target=lambda: outcomes.append(kedro_run()))
    with (whole / "data/08_reporting" / RUN / LOCK_NAME).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second.start()
        deadline = time.monotonic() + 60
        while "in use by another process" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        assert second.is_alive()
    second.join(timeout=60)
    assert outcomes[0].exit_code == 0 and points(whole, RUN) == [(0, 1), (1, 1)]


def test_a_network_that_another_run_is_pretraining_is_waited_for(toy_project: Path, tmp_path: Path) -> None:
    """In a process of its own: one process has one pipeline, with pretraining or without."""
    overrides = {"run": "pretrained", "pretraining.enabled": True, "pretraining.training.epochs": 1}
    key = check_parameters(load_conf(toy_project, "toy", "parameters", overrides)).pretraining_key
    weights = toy_project / f"data/06_models/pretraining-{key}/weights.safetensors"
    weights.parent.mkdir(parents=True)
    parameters = ",".join(f"{name}={value}" for name, value in overrides.items())
    told = tmp_path / "told"
    with (weights.parent / LOCK_NAME).open("a") as lock, told.open("wb") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "kedro", "run", "--env", "toy", "--params", parameters]
        second = subprocess.Popen(command, cwd=toy_project, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while "in use by another process" not in told.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert second.poll() is None and weights.parent.name in told.read_text() and not weights.exists()
    while not weights.exists() and second.poll() is None:
        time.sleep(0.05)
    second.kill()
    second.wait()
    assert weights.exists(), told.read_text()

    made = weights.rename(tmp_path / weights.name)
    overrides["run"] = "waited"
    command[-1] = ",".join(f"{name}={value}" for name, value in overrides.items())
    with (weights.parent / LOCK_NAME).open("a") as lock, told.open("wb") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen(command, cwd=toy_project, stdout=output, stderr=subprocess.STDOUT)
        while "in use by another process" not in told.read_text() and second.poll() is None:
            time.sleep(0.05)
        made.rename(weights)
    while not list(toy_project.glob("data/*/waited/weights_000.safetensors")) and second.poll() is None:
        time.sleep(0.05)
    assert second.poll() is None, told.read_text()
    for shared in toy_project.glob(f"data/06_models/pretraining-*/{LOCK_NAME}"):
        with shared.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a third need not wait for the second's search
    second.kill()
    second.wait()


def test_an_environment_in_kedro_env_is_part_of_the_name_as_with_env(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEDRO_ENV", "toy")
    summary = whole / "data/08_reporting" / RUN / "summary.json"
    summary.unlink()
    finished = CliRunner().invoke(run, [])
    assert finished.exit_code == 0, finished.output
    assert summary.exists()


@pytest.mark.parametrize("separate", [False, True], ids=["one --params", "two"])
def test_names_stay_text_and_several_params_are_merged(separate: bool, whole: Path) -> None:
    """Of a run that is refused: the one named 007 has never rendered."""
    params = ["--params", "generate.num_images=4", "--params", "run=007"]
    options = params if separate else ["--params", "generate.num_images=4,run=007"]
    refused = CliRunner().invoke(run, ["--env", "toy", "--pipeline", "generate", *options])
    assert (
        error_of(refused) == "error: run must be one that exists (--params run=NAME, in data/08_reporting), got '007'"
    )
    assert not (whole / "data/08_reporting/7").exists()


def test_a_run_of_the_config_file_takes_params_of_the_command_line_alone(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yml").write_text("run: {env: toy, pipeline: generate, params: {run: '007'}}")
    config = ["--config", str(tmp_path / "run.yml")]
    assert "got '007'" in error_of(CliRunner().invoke(run, config))
    assert "got '3.10'" in error_of(CliRunner().invoke(run, [*config, "--params", "run=3.10"]))


def test_in_a_subfolder_and_a_locale_that_is_not_utf8_a_run_prints_as_elsewhere(toy_project: Path) -> None:
    (toy_project / "subfolder").mkdir()
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "kedro", "run", "--env", "toy", "--params", "run=ascii"]
    done = subprocess.run(
        command, cwd=toy_project / "subfolder", env=os.environ | locale, capture_output=True, check=False
    )
    printed = (done.stdout + done.stderr).decode("ascii")
    assert done.returncode == 0, printed
    assert len(printed.splitlines()) < 25 and "Loading data" not in printed
    assert "retrained at the learned psi" in printed
    report = toy_project / "data/08_reporting/ascii/report.html"
    assert "\N{GREEK SMALL LETTER PSI}" in report.read_text(encoding="utf-8")


def test_pipelines_are_listed_without_a_session(
    toy_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(toy_project)
    monkeypatch.setattr(ProjectConfigLoader, "current", None)
    monkeypatch.setattr(sys, "argv", ["kedro", "registry", "list"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert {"autosimulate", "frozen", "generate", "validation_only"} <= set(yaml.safe_load(capsys.readouterr().out))


@pytest.fixture
def frozen_folder(toy_project: Path) -> Iterator[Path]:
    """The models' folder of the run `frozen`, in which nothing can be made, by root neither."""
    folder = toy_project / "data/06_models/frozen"
    folder.mkdir(parents=True)
    changed = subprocess.run(["/usr/bin/chattr", "+i", folder], capture_output=True, check=False)
    if changed.returncode:
        pytest.skip(f"a folder cannot be made immutable here: {changed.stderr.decode().strip()}")
    yield folder
    subprocess.run(["/usr/bin/chattr", "-i", folder], check=True)


def test_a_read_only_folder_ends_in_one_line_and_loses_nothing(frozen_folder: Path, kedro_run: Command) -> None:
    line = error_of(kedro_run("run=frozen"))
    assert re.fullmatch(r"error: data/06_models/frozen/\w+\.safetensors: Operation not permitted", line)
    subprocess.run(["/usr/bin/chattr", "-i", frozen_folder], check=True)
    assert kedro_run("run=frozen").exit_code == 0
    assert (frozen_folder / "weights_002.safetensors").exists()


# MLflow


def test_what_mlflow_has_missed_is_told_by_the_same_command(
    toy_project: Path, kedro_run: Command, caplog: pytest.LogCaptureFixture
) -> None:
    (toy_project / "conf/toy/mlflow.yml").write_text("tracking_uri: sqlite:///away/mlflow.db\n")
    (toy_project / "away").touch()  # where its folder would be
    missed = kedro_run("run=missed")
    assert missed.exit_code == 0 and caplog.text.count("MLflow cannot be reached") == 1
    (toy_project / "away").unlink()
    (toy_project / "away").mkdir()
    assert kedro_run("run=missed").exit_code == 0
    assert points(toy_project / "away", "missed") == [(0, 1), (1, 1)]
    assert points(toy_project / "away", "missed", "test/mIoU/learned") == [(0, 1)]
    (toy_project / "conf/toy/mlflow.yml").unlink()


def test_a_run_whose_first_start_failed_tells_of_what_it_read_at_last(
    toy_project: Path, kedro_run: Command, tmp_path: Path
) -> None:
    for position, name in enumerate(("validation", "test")):
        write_coco(ToySimulator().render([{"square_x": 5 * position}], [position]), tmp_path / name)
    labels = tmp_path / "validation/annotations.json"
    whole_labels = labels.read_text()
    labels.write_text(whole_labels[:-20])
    folders = [f"reference_data.{name}_folder={tmp_path / name}" for name in ("validation", "test")]
    assert "annotations.json" in error_of(kedro_run("run=mended", *folders))
    labels.write_text(whole_labels)
    mended = kedro_run("run=mended", *folders)
    assert mended.exit_code == 0, mended.output
    told = (toy_project / "data/08_reporting/mended/provenance.json").read_text()
    assert digest(tmp_path / "validation") in told


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, here and in processes that are started: tests in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_not_lost_while_memory_is_freed(stop: signal.Signals) -> None:
    class Cycle:
        pass

    freed = Cycle()
    freed.itself = freed  # type: ignore[attr-defined]
    told = weakref.ref(freed, lambda _: signal.raise_signal(stop))
    del freed
    with pytest.raises(KeyboardInterrupt), stopped_by_sigterm():
        MemoryHook().on_iteration(SearchState.model_construct(), None, None)
    assert told() is None


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_is_killed_in_mlflow(toy_project: Path, stop: signal.Signals) -> None:
    run = f"stopped-by-{stop}"
    parameters = f"run={run},training.first_epochs=100000"
    command = [sys.executable, "-m", "kedro", "run", "--env", "toy", "--params", parameters]
    stopped = subprocess.Popen(command, cwd=toy_project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (toy_project / "data/03_primary" / run / "rendered_dataset_000").exists() and stopped.poll() is None:
        time.sleep(0.05)
    stopped.send_signal(stop)
    told, _ = stopped.communicate(timeout=120)
    assert stopped.returncode == 130 and told.endswith("stopped; rerun the command to resume\n"), told
    assert "Warning" not in told
    with closing(sqlite3.connect(toy_project / "mlflow.db")) as database:
        statuses = database.execute("SELECT status FROM runs WHERE name = ?", (run,)).fetchall()
    assert statuses == [("KILLED",)]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_grid_that_is_stopped_is_killed_in_mlflow(toy_project: Path, stop: signal.Signals) -> None:
    name = f"long-{stop}"
    grid = {"pipeline": "autosimulate", "parameters": {"training.first_epochs": 100000}, "grid": {"seed": [1, 2]}}
    (toy_project / "conf/toy/grids.yml").write_text(yaml.safe_dump({name: grid}))
    command = [sys.executable, "-m", "kedro", "grid-search", name, "--env", "toy", "--jobs", "1"]
    stopped = subprocess.Popen(
        command, cwd=toy_project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    while not list(toy_project.glob(f"data/03_primary/*{name}*/rendered_dataset_000")) and stopped.poll() is None:
        time.sleep(0.05)
    if stop == signal.SIGINT:
        os.killpg(stopped.pid, stop)  # as a terminal does: to the trial as well
    else:
        stopped.send_signal(stop)  # as a scheduler does
    told, _ = stopped.communicate(timeout=120)
    assert stopped.returncode == 130 and told.endswith("stopped; rerun the command to resume\n"), told
    with closing(sqlite3.connect(toy_project / "mlflow.db")) as database:
        statuses = dict(database.execute("SELECT name, status FROM runs WHERE name LIKE ?", (f"%{name}%",)).fetchall())
    assert len(statuses) == 2 and set(statuses.values()) == {"KILLED"}, statuses


# Numbers


def test_a_run_that_is_refused_leaves_its_mlflow_run_as_it_was(whole: Path, kedro_run: Command) -> None:
    def told() -> list[Any]:
        with closing(sqlite3.connect(whole / "mlflow.db")) as database:
            return database.execute("SELECT * FROM runs WHERE name = ?", (RUN,)).fetchall()

    before = told()
    assert "seed" in error_of(kedro_run(f"run={RUN}", "seed=9"))
    assert told() == before and len(before) == 1


def test_a_gradient_that_is_no_number_moves_nothing_and_is_reported(tmp_path: Path) -> None:
    weights = torch.tensor([0.0, 1.0], dtype=torch.float64)
    problem = ImplicitProblem(
        per_sample_losses=lambda theta: torch.stack([(theta - 1).square().sum(), theta.square().sum()]),
        validation_loss=lambda theta: theta.sqrt().sum() - theta.sqrt()[0],  # finite, and its derivative at 0 is not
    )
    settings = HypergradientSettings(curvature="hessian")
    values, solution, norm = validation_influences(problem, weights, settings)
    assert solution.outcome == "not_finite" and math.isnan(norm) and not values.any()
    report = HypergradientReport(solver_outcome=solution.outcome, solver_residual=solution.residual_norm)
    kept = RecordDataset(str(tmp_path / "report.json"), "autosimulate_pipeline.records.HypergradientReport")
    kept.save(report)
    assert math.isnan(kept.load().solver_residual)


def test_curvature_below_zero_and_a_solve_that_stalls_are_reported_and_the_run_goes_on(
    toy_project: Path, kedro_run: Command
) -> None:
    steep = ("run=steep", "hypergradient.curvature=hessian", "hypergradient.damping=0", "hypergradient.max_steps=50")
    assert kedro_run(*steep).exit_code == 0
    assert kedro_run("run=stalled", "hypergradient.max_steps=1", "hypergradient.tolerance=1e-9").exit_code == 0
    for run_name, outcome in (("steep", "negative_curvature"), ("stalled", "max_steps")):
        assert points(toy_project, run_name, f"hypergradient/outcome/{outcome}")


# Validation sets


@pytest.mark.parametrize("num_empty", [0, 1])
def test_one_validation_image_and_one_without_objects_serve(
    num_empty: int, toy_project: Path, kedro_run: Command, tmp_path: Path
) -> None:
    for seed, name in enumerate(("validation", "test")):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        empty = AnnotatedImage(pixels, np.zeros((32, 32), dtype=np.uint8), ())
        images = (*ToySimulator().render([{}], [seed]).images, *[empty] * num_empty)
        write_coco(AnnotatedDataset(ToySimulator.categories, images), tmp_path / name)
    folders = [f"reference_data.{name}_folder={tmp_path / name}" for name in ("validation", "test")]
    finished = kedro_run(f"run=few-{num_empty}", *folders)
    assert finished.exit_code == 0, finished.output
    report = toy_project / f"data/07_model_output/few-{num_empty}/validation_report_001.json"
    assert f'"num_images": {1 + num_empty}' in report.read_text()
