"""What a killed process leaves to see: the stage it was in, and afterwards what differs or was left behind."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from autosimulate_pipeline.files.atomic import TORN
from autosimulate_pipeline.runs.lock import LOCK_NAME
from autosimulate_pipeline.tracking.model import TEMPORARY

IN_LOOP = ("rendering", "training", "evaluation", "hypergradient")
BRIEF = ("writing a file", "between nodes", "writing to MLflow")
"""Stages of a few milliseconds."""

STAGES = ("start-up", "opening MLflow", "reference images", *IN_LOOP, "after the loop", "after the last node", *BRIEF)

CLOCK = ("stage_seconds*.json", "report.html")
"""Files that show seconds; those of `summary.json` and the minutes of `grid.csv` are left out too."""

OF_THE_PROCESS = (LOCK_NAME, "mlflow_run_id")


def stage_of(project: Path, runs: str, is_generation: bool, begun: float) -> str:
    """The stage that a process is in, or died in, by the first of a run's files that it has not written yet.

    Args:
        runs: a pattern of names; it is the run that was claimed last.
        is_generation: whether it renders from the run.
        begun: when the process started; what is older is no evidence.
    """
    journal = project / "mlflow.db-journal"
    with suppress(FileNotFoundError):  # it comes and goes
        if journal.stat().st_mtime > begun:
            return "writing to MLflow"
    locks = [lock for lock in project.glob(f"data/08_reporting/{runs}/{LOCK_NAME}") if lock.stat().st_mtime > begun]
    if not locks:
        return "start-up"
    run = max(locks, key=lambda lock: lock.stat().st_mtime).parent.name
    if drafts := _drafts(project, run):
        return "between nodes" if all(".stage_seconds.json." in path.name for path in drafts) else "writing a file"

    def has(layer: str, name: str) -> bool:
        return any(project.glob(f"data/{layer}/{run}/{name}"))

    if is_generation:
        return "rendering" if not has("05_model_input", "*") else "after the last node"
    seconds = project / "data/08_reporting" / run / "stage_seconds.json"
    if not seconds.exists() or seconds.stat().st_mtime < begun:
        return "opening MLflow"
    if has("08_reporting", "summary.json"):
        return "after the last node"
    if not has("07_model_output", "state_000.json"):
        return "reference images"
    iteration = len(list(project.glob(f"data/07_model_output/{run}/state_*.json"))) - 1
    record = json.loads((project / "data/08_reporting" / run / "parameters.json").read_text())
    if iteration == record["loop.num_iterations"]:
        return "after the loop"
    if not has("03_primary", f"rendered_dataset_{iteration:03d}"):
        return "rendering"
    if not has("06_models", f"weights_{iteration + 1:03d}.safetensors"):
        return "training"
    return "hypergradient" if has("07_model_output", f"validation_report_{iteration:03d}.json") else "evaluation"


def stages_ahead(stage: str, is_generation: bool) -> tuple[str, ...]:
    """What a new process comes through, if its run has come to that stage."""
    if is_generation:
        return ("start-up", "rendering", "writing a file")
    every_time = ("start-up", "opening MLflow", *BRIEF)
    if stage == "after the last node":
        return every_time
    return (*every_time, *(("after the loop",) if stage == "after the loop" else IN_LOOP))


def differences(alone: Path, killed: Path, runs: str) -> Iterator[str]:
    """What is not the same in two projects, a line for each: files byte by byte, and MLflow's runs.

    Args:
        runs: a pattern of names.
    """
    for kind in (_files, _tracked):
        expected, found = kind(alone, runs), kind(killed, runs)
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                yield f"{key}: {expected.get(key, 'nothing')} → {found.get(key, 'nothing')}"


def leftovers(project: Path) -> Iterator[str]:
    """Files that nobody needs any more."""
    yield from (str(path) for pattern in (TORN, "mlflow.db-journal") for path in project.rglob(pattern))
    for path in (project / "tmp").iterdir():
        # places on cores; MLflow's own lock; of what was killed: a Blender's folder, a model on its way to MLflow
        if not path.name.startswith(("autosimulate-cores-", "db_init_lock-", "blender_", TEMPORARY)):
            yield str(path)


def processes_of(mark: str, patience: float) -> list[str]:
    """Command lines of processes with this variable in their environment that have not ended after so many seconds."""
    deadline = time.monotonic() + patience
    while (found := list(_processes_of(mark))) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _processes_of(mark: str) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue


def _drafts(project: Path, run: str) -> list[Path]:
    return [path for depth in ("", "*/") for path in project.glob(f"data/*/{run}/{depth}{TORN}")]


def _files(project: Path, runs: str) -> dict[str, str]:
    """A hash of every file of these runs, by its path."""
    files = [path for path in project.glob(f"data/*/{runs}/**/*") if path.is_file()]
    shown = [path for path in files if not any(path.match(pattern) for pattern in (*CLOCK, *OF_THE_PROCESS))]
    return {str(path.relative_to(project)): hashlib.sha256(_without_clock(path)).hexdigest()[:16] for path in shown}


def _without_clock(path: Path) -> bytes:
    if path.name == "summary.json":
        return json.dumps(json.loads(path.read_text()) | {"seconds": None}).encode()
    if path.name == "grid.csv":
        return pd.read_csv(path).drop(columns="minutes").to_csv().encode()
    return path.read_bytes()


def _tracked(project: Path, runs: str) -> dict[str, Any]:
    """MLflow's runs by name: their number and status, their parameters, the number and value of their points."""
    tracked: dict[str, Any] = {}
    with closing(sqlite3.connect(project / "mlflow.db")) as database:

        def ask(columns: str, tables: str, groups: str) -> Iterator[tuple[Any, ...]]:
            question = f"SELECT {columns} FROM {tables} WHERE name GLOB ? GROUP BY {groups}"  # noqa: S608  # all ours
            yield from database.execute(question, (runs,))

        for name, *about in ask("name, COUNT(*), MIN(status), MAX(status)", "runs", "name"):
            tracked[f"MLflow: {name}"] = about
        for name, key, *about in ask(
            "name, key, COUNT(*), MIN(value)", "params JOIN runs USING (run_uuid)", "name, key"
        ):
            tracked[f"MLflow: {name}, {key}"] = about
        points = ask("name, key, step, COUNT(*), MIN(value)", "metrics JOIN runs USING (run_uuid)", "name, key, step")
        for name, key, step, num_points, value in points:
            tracked[f"MLflow: {name}, {key}, step {step}"] = (num_points, None if key.startswith("seconds/") else value)
    return tracked
