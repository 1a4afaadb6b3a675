"""MLflow tracking of a run: parameters once, metrics by iteration, artifacts at the end.

Plain MlflowClient calls with a run id, never MLflow's process-wide active run: a resumed or repeated session of the
same process cannot log into the wrong run.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from autosimulate_pipeline.configuration import can_change_results
from autosimulate_pipeline.files.atomic import TORN, remove, replacing
from autosimulate_pipeline.runs.lock import locked
from autosimulate_pipeline.tracking.model import log_model_once

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import Model

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 by default: four minutes without an answer
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

logger = logging.getLogger(__name__)

RELATIVE_SQLITE = "sqlite:///"
STEP_METRIC = "images_rendered"
"""Every iteration has it."""

MAKER_TAG = "maker"
"""Machine and folder of a run: on a server that others share, a run of the same name may be theirs."""

FILE_SCHEMES = ("", "file")
"""Of MLflow's file store, which MLflow 3 refuses."""

COLUMNS_TAG = "mlflow.sharedViewState.columns"
"""Where MLflow's page of runs looks for a view of that name: its address ends with `?viewStateShareKey=columns`."""

COLUMNS = {
    "selectedColumns": [
        "attributes.`Created`",
        "attributes.`Duration`",
        *(f"tags.`{tag}`" for tag in ("method", "experiment", "seed")),
        *(f"metrics.`{metric}`" for metric in (STEP_METRIC, "val/mAP", "val/mIoU", "grid/val_mAP")),
        *(f"metrics.`test/{metric}/{where}`" for where in ("learned", "own") for metric in ("mAP", "mIoU")),
        "metrics.`seconds/total`",
    ]
}
"""Columns that distinguish runs, and their results."""

MAX_PARAMS_PER_BATCH = 100
MAX_PARAM_LENGTH = 6000


class TrackingSettings(BaseModel):
    """Where runs are tracked: conf/*/mlflow.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="false: nothing of MLflow is even imported")
    tracking_uri: str = Field(
        "sqlite:///mlflow.db",
        description="a database or server of MLflow's; a relative SQLite file is in the project's folder",
    )
    experiment: str = Field("autosimulate", min_length=1, description="MLflow's experiment, made if there is none")

    @field_validator("tracking_uri")
    @classmethod
    def _is_no_file_store(cls, uri: str) -> str:
        is_file_store = urlsplit(uri).scheme in FILE_SCHEMES and uri != "databricks"
        if is_file_store and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            raise ValueError(
                f"must be a database or a server, such as {RELATIVE_SQLITE}mlflow.db, got {uri!r}: MLflow 3 writes no "
                "files (mlflow migrate-filestore moves old ones; MLFLOW_ALLOW_FILE_STORE=true allows them)"
            )
        return uri

    @property
    def is_file_of_project(self) -> bool:
        """Whether it is a relative SQLite file."""
        return self.tracking_uri.startswith(RELATIVE_SQLITE) and not self.tracking_uri.startswith(f"{RELATIVE_SQLITE}/")

    def absolute_uri(self, project: Path) -> str:
        """The URI, with a relative SQLite file in the project's folder."""
        if not self.is_file_of_project:
            return self.tracking_uri
        return f"{RELATIVE_SQLITE}{project / self.tracking_uri.removeprefix(RELATIVE_SQLITE)}"


class TrackingRefusedError(Exception):
    """MLflow answers, and cannot take the run; the message says what to do."""


class Tracker:
    """One MLflow run, created or resumed from `run_id_file`.

    Logging is idempotent: a run that was killed may log everything again. Where MLflow cannot be reached or refuses, a
    warning says so and no method raises; a later call, or the command given again, logs what is missing.

    Args:
        project: the folder that a relative SQLite file lies in.
        run: its name in MLflow.
        parameters: by dotted key.
    """

    def __init__(
        self,
        settings: TrackingSettings,
        project: Path,
        run: str,
        run_id_file: Path,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        self._settings, self._project, self._run, self._run_id_file = settings, project, run, run_id_file
        self._parameters, self._tags = parameters, tags
        self._client: MlflowClient | None = None
        self._has_warned = False
        used = (settings.tracking_uri, settings.absolute_uri(project))
        if os.environ.get("MLFLOW_TRACKING_URI", used[0]) not in used:
            logger.warning(
                "MLFLOW_TRACKING_URI is not used: tracking_uri in mlflow.yml is %s. "
                "To use it, write there tracking_uri: ${oc.env:MLFLOW_TRACKING_URI}",
                _without_password(settings.tracking_uri),
            )
        with self._patience():
            self._open()

    def missing_steps(self, num_steps: int) -> list[int]:
        """The steps so far that have no metrics in MLflow yet; none where it cannot be reached."""
        with self._patience():
            self._open()
            return [step for step in range(num_steps) if step not in self._logged_steps]
        return []

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> bool:
        """Log one point of each metric, all of them or none; return whether MLflow took them."""
        with self._patience():
            _log(self._open(), self._run_id, metrics, step)
            self._logged_steps.add(step)
            return True
        return False

    def log_summary(self, metrics: Mapping[str, float], artifacts: Sequence[Path]) -> None:
        """Log the run's final metrics and its files; the metrics last, because they mark the end."""
        with self._patience():
            client = self._open()
            for path in artifacts:
                client.log_artifact(self._run_id, str(path))
            if not _has(client, self._run_id, metrics):
                _log(client, self._run_id, metrics, 0)

    def log_model(self, save: Callable[[Path, Model], None]) -> None:
        """Log the run's model, which `save` writes to a new folder, once."""
        with self._patience():
            log_model_once(self._open(), self._run_id, save)

    def adopt(self, run_id_file: Path, metrics: Mapping[str, float]) -> None:
        """Make another run a child of this one, with these metrics; a run that MLflow no longer has is left out."""
        with self._patience():
            client = self._open()
            run_id = _noted(client, run_id_file)
            if run_id is not None:
                client.set_tag(run_id, "mlflow.parentRunId", self._run_id)
                if not _has(client, run_id, metrics):
                    _log(client, run_id, metrics, 0)

    def finish(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        with self._patience():
            self._open().set_terminated(self._run_id, status)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Turns a failure within into one warning."""
        try:
            yield
            self._has_warned = False
        except Exception as failure:  # of MLflow, of the driver of a database, of a network
            if isinstance(failure, TrackingRefusedError):
                reason = str(failure)
            else:
                words = shorten(_without_password(str(failure)), 200, placeholder=" …")
                reason = f"MLflow cannot be reached (tracking_uri in mlflow.yml; {words})"
            if not self._has_warned:
                logger.warning("%s. The run continues; rerun the command later to log the missing metrics.", reason)
            self._has_warned = True

    def _open(self) -> MlflowClient:
        """The client, after the run is in MLflow with its parameters and tags."""
        if self._client is not None:
            return self._client
        from mlflow import MlflowClient  # slow to import, and not needed where tracking is off
        from mlflow.entities import Param, RunTag

        _silence_mlflow()
        uri, artifacts = self._settings.absolute_uri(self._project), None
        if self._settings.is_file_of_project:
            _create_database(Path(uri.removeprefix(RELATIVE_SQLITE)))
            artifacts = (self._project / "mlartifacts").as_uri()
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(self._settings.experiment)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise TrackingRefusedError(
                f"MLflow's experiment {experiment.name!r} is deleted: name another (experiment in mlflow.yml) or "
                f"restore it (MLFLOW_TRACKING_URI={_without_password(uri)} mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id})"
            )
        experiment_id = (
            experiment.experiment_id
            if experiment is not None
            else client.create_experiment(self._settings.experiment, artifacts, {COLUMNS_TAG: json.dumps(COLUMNS)})
        )
        self._run_id = _noted(client, self._run_id_file) or self._begun(client, experiment_id)
        client.update_run(self._run_id, "RUNNING")
        there = client.get_run(self._run_id).data.params
        entries = [Param(_name(key), str(value)[:MAX_PARAM_LENGTH]) for key, value in self._parameters.items()]
        fixed = [entry for entry in entries if can_change_results(entry.key)]
        if any(there.get(entry.key, entry.value) != entry.value for entry in fixed):
            client.delete_run(self._run_id)  # of a start that failed under other settings; MLflow keeps it as deleted
            self._run_id, there = self._begun(client, experiment_id), {}
        missing = [entry for entry in entries if entry.key not in there]
        for start in range(0, len(missing), MAX_PARAMS_PER_BATCH):
            client.log_batch(self._run_id, params=missing[start : start + MAX_PARAMS_PER_BATCH])
        client.log_batch(self._run_id, tags=[RunTag(key, value) for key, value in self._tags.items()])
        self._logged_steps = {point.step for point in client.get_metric_history(self._run_id, STEP_METRIC)}
        self._client = client
        return client

    def _begun(self, client: MlflowClient, experiment_id: str) -> str:
        """The id, now noted, of a new run; or of ours that was killed before that, which has no parameters yet."""
        killed = client.search_runs(
            [experiment_id], f"attributes.run_name = '{self._run}' and attributes.status = 'RUNNING'"
        )
        maker = f"{socket.gethostname()}:{self._run_id_file.parent}"
        empty = [run for run in killed if not run.data.params and run.data.tags.get(MAKER_TAG) == maker]
        run = empty[0] if empty else client.create_run(experiment_id, tags={MAKER_TAG: maker}, run_name=self._run)
        with replacing(self._run_id_file) as draft:
            draft.write_text(run.info.run_id, encoding="utf-8")
        return run.info.run_id


def _noted(client: MlflowClient, run_id_file: Path) -> str | None:
    """The id in the file, if MLflow has that run."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id_file.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return None
    except MlflowException as failure:
        if failure.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # else it cannot be reached
            return None
        raise
    return run.info.run_id if run.info.lifecycle_stage == "active" else None


def _without_password(text: str) -> str:
    return re.sub("//[^/@ ]*@", "//", text)


def _has(client: MlflowClient, run_id: str, metrics: Mapping[str, float]) -> bool:
    """Whether the run has just these values."""
    return {_name(key): value for key, value in metrics.items()}.items() <= client.get_run(run_id).data.metrics.items()


def _log(client: MlflowClient, run_id: str, metrics: Mapping[str, float], step: int) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, metrics=[Metric(_name(key), value, now, step) for key, value in metrics.items()])


def _name(key: str) -> str:
    """The key of a metric or parameter as MLflow takes it: a value of ψ may be a colour or a path."""
    parts = re.sub(r"[^\w.\- :/]", "_", key).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _silence_mlflow() -> None:
    """Failures become one line of ours, soon: MLflow would print tracebacks, and retry for minutes."""
    from mlflow.store.db import utils

    for name in (utils.__name__, "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    utils.MAX_RETRY_COUNT = 2


def _create_database(path: Path) -> None:
    """An empty MLflow database, whole or not at all; MLflow's migrations take seconds and are no transaction."""
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}-lock")):
        if not path.exists():
            for torn in path.parent.glob(f".{path.name}{TORN}*"):  # of a process that was killed, its journal too
                remove(torn)
            with replacing(path) as draft:
                MlflowClient(f"{RELATIVE_SQLITE}{draft}").search_experiments()
