"""MLflow holds a run once, whatever happens to the run, to the clock or to MLflow."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from pydantic import ValidationError

from autosimulate_pipeline.tracking.tracker import MAKER_TAG, Tracker, TrackingSettings


def points(project: Path, run_name: str, key: str = "val/loss") -> list[tuple[int, int]]:
    """Step and number of points of a metric, over all MLflow runs of that name."""
    query = (
        "SELECT step, COUNT(*) FROM metrics JOIN runs USING (run_uuid) WHERE name = ? AND key = ? "
        "GROUP BY step ORDER BY step"
    )
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        return database.execute(query, (run_name, key)).fetchall()


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an MLflow database."""
    folder = tmp_path_factory.mktemp("tracked")
    track(folder, "first").finish("FINISHED")
    return folder


def track(project: Path, run_name: str, uri: str = "sqlite:///mlflow.db") -> Tracker:
    settings = TrackingSettings(tracking_uri=uri)
    return Tracker(settings, project, run_name, project / run_name, {"seed": 0, "loop.num_images": 4}, {"method": "m"})


def steps_with_parameters(project: Path, run_name: str) -> tuple[int, list[tuple[int, int]], int]:
    """How many MLflow runs of the name there are, their points by step, and how many parameters they have."""
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        ((num_runs,),) = database.execute("SELECT COUNT(*) FROM runs WHERE name = ?", (run_name,))
        ((num_parameters,),) = database.execute(
            "SELECT COUNT(*) FROM params JOIN runs USING (run_uuid) WHERE name = ?", (run_name,)
        )
    return num_runs, points(project, run_name, "images_rendered"), num_parameters


def test_a_run_that_was_killed_before_it_noted_its_id_or_parameters_is_gone_on_with(tracked: Path) -> None:
    client = MlflowClient(f"sqlite:///{tracked}/mlflow.db")
    experiment = client.get_experiment_by_name("autosimulate")
    assert experiment is not None
    maker = f"{socket.gethostname()}:{tracked}"
    client.create_run(experiment.experiment_id, tags={MAKER_TAG: maker}, run_name="killed")
    client.create_run(experiment.experiment_id, tags={MAKER_TAG: "another:/machine"}, run_name="killed")
    for step in (0, 1):
        tracker = track(tracked, "killed")
        assert tracker.missing_steps(2) == [0, 1][step:]
        assert tracker.log_metrics({"images_rendered": 4.0 * step}, step)
    assert steps_with_parameters(tracked, "killed") == (2, [(0, 1), (1, 1)], 2), "another machine's is left alone"


def test_a_clock_that_jumps_back_loses_no_point(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    for step, moment in enumerate((now, now - 3e7, now + 3e7, 1.0)):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert track(tracked, "jumpy").log_metrics({"images_rendered": 4.0 * step}, step)
    assert steps_with_parameters(tracked, "jumpy") == (1, [(step, 1) for step in range(4)], 2)


def test_a_database_that_is_locked_for_a_moment_costs_time_alone(tracked: Path) -> None:
    tracker = track(tracked, "locked")
    with closing(sqlite3.connect(tracked / "mlflow.db", check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(1, other.rollback)
        release.start()
        assert tracker.log_metrics({"images_rendered": 4.0}, 0)
        release.join()
    assert steps_with_parameters(tracked, "locked") == (1, [(0, 1)], 2)


def test_a_server_that_is_not_there_is_told_once_and_without_its_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = track(tmp_path, "away", "http://me:secret@127.0.0.1:9")
    assert tracker.missing_steps(3) == [] and not tracker.log_metrics({"images_rendered": 4.0}, 0)
    tracker.finish("FINISHED")
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert record.message.startswith("MLflow cannot be reached") and "127.0.0.1" in record.message
    assert record.message.endswith("The run continues; rerun the command later to log the missing metrics.")
    assert "secret" not in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_names_that_mlflow_would_refuse_are_told_cleaned(tracked: Path) -> None:
    tracker = track(tracked, "colours")
    values = {"images_rendered": 4.0, "psi/sky/#c0392b": 0.5, "psi/sky/../hdri/noon.exr": 0.5}
    assert tracker.log_metrics(values, 0)
    for name in ("images_rendered", "psi/sky/_c0392b", "psi/sky/hdri/noon.exr"):
        assert points(tracked, "colours", name) == [(0, 1)]


def test_a_start_that_failed_under_other_settings_gives_way_to_the_next(tracked: Path) -> None:
    def started(**parameters: int) -> str:
        Tracker(TrackingSettings(), tracked, "tried", tracked / "tried", parameters, {}).finish("FAILED")
        return (tracked / "tried").read_text()

    first = started(seed=0, **{"parallel.num_workers": 1})
    assert started(seed=0, **{"parallel.num_workers": 2}) == first, "the number of workers may change"
    second = started(seed=1, **{"parallel.num_workers": 2})
    client = MlflowClient(f"sqlite:///{tracked}/mlflow.db")
    (kept,) = (run for run in client.search_runs(["1"]) if run.info.run_name == "tried")
    assert kept.info.run_id == second != first and kept.data.params["seed"] == "1"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_deleted_experiment_is_named_with_the_way_out_and_logged_to_once_restored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    track(tmp_path, "first").finish("FINISHED")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.delete_experiment("1")
    track(tmp_path, "second")
    (warning,) = warnings_of(caplog)
    assert warning == (
        "MLflow's experiment 'autosimulate' is deleted: name another (experiment in mlflow.yml) or restore it "
        f"(MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlflow.db mlflow experiments restore --experiment-id 1). "
        "The run continues; rerun the command later to log the missing metrics."
    )
    client.restore_experiment("1")
    assert track(tmp_path, "second").log_metrics({"images_rendered": 4.0}, 0)
    assert steps_with_parameters(tmp_path, "second") == (1, [(0, 1)], 2)


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "./mlruns"])
def test_a_file_store_is_refused_unless_mlflow_is_told_to_allow_it(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(ValidationError, match=f"must be a database or a server.*, got '{uri}'.*migrate-filestore"):
        TrackingSettings(tracking_uri=uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert TrackingSettings(tracking_uri=uri).tracking_uri == uri


@pytest.mark.parametrize(("variable", "num_warnings"), [("https://me:secret@elsewhere", 1), ("sqlite:///mlflow.db", 0)])
def test_an_ignored_tracking_variable_is_named_with_how_to_use_it(
    variable: str, num_warnings: int, tracked: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    track(tracked, "variable")
    assert len(warnings_of(caplog)) == num_warnings
    assert caplog.text.count("tracking_uri: ${oc.env:MLFLOW_TRACKING_URI}") == num_warnings
    assert "secret" not in caplog.text
