"""MLflow tracking of a run: parameters once, metrics by iteration, artifacts at the end.

Plain MlflowClient calls with a run id, never MLflow's process-wide active run: a resumed or repeated session of the
same process cannot log into the wrong run.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

MAX_PARAMS_PER_BATCH = 100
MAX_PARAM_LENGTH = 6000


class TrackingSettings(BaseModel):
    """Where runs are tracked: conf/*/mlflow.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="false: nothing of MLflow is even imported")
    tracking_uri: str = Field(
        "sqlite:///mlflow.db", description="any of MLflow's; a relative SQLite file is in the project's folder"
    )
    experiment: str = Field("autosimulate", description="MLflow's, made if there is none")


class Tracker:
    """One MLflow run, created, or gone on with where `run_id_file` names one that still exists."""

    def __init__(self, settings: TrackingSettings, project: Path, run: str, run_id_file: Path) -> None:
        from mlflow import MlflowClient  # slow to import, and not needed where tracking is off
        from mlflow.entities import RunStatus
        from mlflow.exceptions import MlflowException

        uri = settings.tracking_uri.replace("sqlite:///", f"sqlite:///{project}/") if _is_relative(settings) else ""
        self._client = MlflowClient(uri or settings.tracking_uri)
        experiment = self._client.get_experiment_by_name(settings.experiment)
        artifacts = (project / "mlartifacts").as_uri() if _is_relative(settings) else None
        experiment_id = (
            experiment.experiment_id
            if experiment is not None
            else self._client.create_experiment(settings.experiment, artifacts)
        )
        self.is_resumed = False
        try:
            self.run_id = run_id_file.read_text().strip()
            self._client.update_run(self.run_id, RunStatus.to_string(RunStatus.RUNNING))
            self.is_resumed = True
        except (FileNotFoundError, MlflowException):
            self.run_id = self._client.create_run(experiment_id, run_name=run).info.run_id
            run_id_file.parent.mkdir(parents=True, exist_ok=True)
            run_id_file.write_text(self.run_id)
        self._num_logged = (
            len(self._client.get_metric_history(self.run_id, "images_rendered")) if self.is_resumed else 0
        )

    def log_parameters(self, parameters: dict[str, Any], tags: dict[str, str]) -> None:
        """Parameters by dotted key, once; a resumed run has them already."""
        from mlflow.entities import Param, RunTag

        if self.is_resumed:
            return
        entries = [Param(key, str(value)[:MAX_PARAM_LENGTH]) for key, value in parameters.items()]
        for start in range(0, len(entries), MAX_PARAMS_PER_BATCH):
            self._client.log_batch(self.run_id, params=entries[start : start + MAX_PARAMS_PER_BATCH])
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """One point of each metric; a step that was logged before a crash is not logged twice."""
        from mlflow.entities import Metric

        if step < self._num_logged:
            return
        now = int(time.time() * 1000)
        self._client.log_batch(self.run_id, metrics=[Metric(key, value, now, step) for key, value in metrics.items()])

    def log_summary(self, metrics: dict[str, float], artifacts: list[Path]) -> None:
        """What holds for the run as a whole, and the files that belong to it."""
        if self._log_new(self.run_id, metrics):
            for path in artifacts:
                self._client.log_artifact(self.run_id, str(path))

    def adopt(self, run_id_file: Path, metrics: dict[str, float]) -> None:
        """MLflow's pages show another run below this one, with these metrics; a run that is gone is left out."""
        from mlflow.exceptions import MlflowException

        try:
            run_id = run_id_file.read_text().strip()
            self._client.get_run(run_id)
        except (FileNotFoundError, MlflowException):
            return
        self._client.set_tag(run_id, "mlflow.parentRunId", self.run_id)
        self._log_new(run_id, metrics)

    def finish(self, status: str) -> None:
        """The run is over: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(self.run_id, status)

    def _log_new(self, run_id: str, metrics: dict[str, float]) -> bool:
        """Whether there was anything to log: the run did not have just these values."""
        from mlflow.entities import Metric

        if metrics.items() <= self._client.get_run(run_id).data.metrics.items():
            return False
        now = int(time.time() * 1000)
        self._client.log_batch(run_id, metrics=[Metric(key, value, now, 0) for key, value in metrics.items()])
        return True


def _is_relative(settings: TrackingSettings) -> bool:
    return settings.tracking_uri.startswith("sqlite:///") and not settings.tracking_uri.startswith("sqlite:////")
