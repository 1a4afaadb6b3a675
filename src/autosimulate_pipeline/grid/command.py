"""Grid search: each trial is a run of its own, and the best one by validation is tested, once.

A trial ends with its search. Only the chosen one is evaluated on the test images, after the choice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from autosimulate_pipeline.configuration import default_run_name, run_folder, validated
from autosimulate_pipeline.datasets import RecordDataset
from autosimulate_pipeline.files.atomic import replacing
from autosimulate_pipeline.grid.grids import Trial, expand, load_conf, load_grid
from autosimulate_pipeline.grid.trials import run_trials
from autosimulate_pipeline.progress import console, display, errors, tell_files
from autosimulate_pipeline.records import EvaluationReport
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, TEST_LABELS, test_metrics, tracked_test_metrics
from autosimulate_pipeline.runs.lock import claim
from autosimulate_pipeline.search import SEARCH_METHODS, SearchSettings
from autosimulate_pipeline.search.trials import reward
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.tracking.tracker import Tracker, TrackingSettings

MEASURED = {"val mAP": "{:.3f}", "val mIoU": "{:.3f}", "images": "{:.0f}", "minutes": "{:.1f}"}
"""The table's measured columns and their formats."""


def run_grid(project: Path, name: str, env: str | None, num_jobs: int) -> bool:
    """Run the trials that are missing, then test the best one; return whether all of that succeeded.

    Raises:
        ConfigurationError: before anything runs, if the grid or one of its trials is refused.
    """
    grid = load_grid(project, name, env)
    trials = expand(project, name, grid, env)
    parallel = validated(ParallelSettings, load_conf(project, env, "parameters")["parallel"], "parallel")
    search = default_run_name(f"grid-{name}", env, {})
    folder = run_folder(project, "08_reporting", search)
    tracking = validated(TrackingSettings, load_conf(project, env, "mlflow"), "mlflow")
    with claim(project, search):
        tracker = None
        if tracking.enabled:  # before any trial: processes that create the database at the same moment collide
            varied, tags = grid.parameters | grid.grid, {"method": grid.pipeline}
            tracker = Tracker(tracking, project, search, folder / "mlflow_run_id", varied, tags)
        num_missing = sum(not trial.is_finished for trial in trials)
        at_a_time = f"{num_jobs} at a time" if parallel.address is None else f"on {parallel.address}"
        about = f"{len(trials)} trials of {grid.pipeline}, {num_missing} to run, {at_a_time}"
        display.start(f"[bold]{search}[/]: {about}")
        status = "FAILED"
        try:
            table = run_missing(trials, num_jobs, tracker, parallel)
            display.close()
            if len(table):
                _show(table, folder / "grid.csv")
            if len(table) == len(trials) and finish_best(trials, table, folder / "grid.csv", tracker, parallel):
                status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            if tracker is not None:
                tracker.finish(status)
        return status == "FINISHED"


def run_missing(
    trials: Sequence[Trial], num_jobs: int, tracker: Tracker | None, parallel: ParallelSettings | None = None
) -> pd.DataFrame:
    """The finished trials by run, best validation mAP first; trials that fail are reported and left out."""
    rows = {trial.run: _measured(trial, tracker) for trial in trials if trial.is_finished}
    missing = [trial for trial in trials if not trial.is_finished]
    failures: list[str] = []
    parallel = parallel or ParallelSettings()
    with watched_trials(missing) as tell:
        runs = run_trials(missing, num_jobs, parallel, until_last_state=True, while_waiting=tell)
        with closing(runs):
            for trial, failure in runs:
                if failure is None:
                    rows[trial.run] = row = _measured(trial, tracker)
                    measured = "  ".join(f"{key} {form.format(row[key])}" for key, form in MEASURED.items())
                    console.print(f"{trial.label}  {measured}", soft_wrap=True)
                else:
                    console.print(f"{trial.label}  [bold red]failed[/]", soft_wrap=True)
                    failures.append(failure)
    for failure in failures:
        errors.print(failure, soft_wrap=True)
    if failures:
        errors.print(f"{len(failures)} of {len(trials)} trials failed; rerun the command to try them again")
    rows = {trial.run: rows[trial.run] for trial in trials if trial.run in rows}  # of equals the grid's first is chosen
    table = pd.DataFrame(list(rows.values()), pd.Index(rows, name="run"), dtype=object)  # 10 stays 10 beside 0.1
    return table.sort_values(["val mAP", "val mIoU"], ascending=False, kind="stable") if rows else table


def finish_best(
    trials: Sequence[Trial], table: pd.DataFrame, table_file: Path, tracker: Tracker | None, parallel: ParallelSettings
) -> bool:
    """Run the best trial, the table's first, through testing; return whether that succeeded."""
    (chosen,) = (trial for trial in trials if trial.run == table.index[0])
    summary_file = chosen.file("08_reporting", "summary.json")
    if not summary_file.exists():
        console.print(f"chosen: {chosen.label}; testing it", soft_wrap=True)
        ((_, failure),) = run_trials([chosen], 1, parallel, until_last_state=False)
        if failure is not None:
            errors.print(failure, soft_wrap=True)
            return False
    tests = test_metrics(json.loads(summary_file.read_bytes()))
    if tracker is not None:
        chosen_by = _grid_metrics(table["val mAP"].iloc[0], table["val mIoU"].iloc[0])
        tracker.log_summary(chosen_by | tracked_test_metrics(tests), [table_file])
    results = ", ".join(
        f"{' / '.join(f'{value:.3f}' for value in of_network.values())} ({TEST_LABELS[where]})"
        for where, of_network in tests.items()
        if where != "start"
    )
    names = " / ".join(METRIC_LABELS[metric] for metric in next(iter(tests.values())))
    console.print(f"chosen: [bold]{chosen.label}[/], test {names} {results}", soft_wrap=True)
    tell_files([table_file, chosen.file("08_reporting", "report.html")])
    return True


def judged(pipeline: str, reports: Sequence[EvaluationReport], search: SearchSettings) -> tuple[float, float]:
    """Validation mAP and mIoU of what a search arrived at.

    Where the weights pass from iteration to iteration it is the last one's; where each trains from scratch, the best
    one's, which is the method's answer. Learning To Simulate's answer is a policy: the mean over its latest datasets.
    """
    if not SEARCH_METHODS[pipeline].trains_from_scratch:
        answer = reports[-1:]
    elif pipeline == "lts":
        answer = reports[-search.lts.num_datasets :]
    else:

        def earned(report: EvaluationReport) -> float:
            value = reward(report, search.trials)
            return -math.inf if value is None else value

        answer = [max(reports, key=earned)]
    return fmean(report.map for report in answer), fmean(report.miou for report in answer)


def _measured(trial: Trial, tracker: Tracker | None) -> dict[str, Any]:
    """A finished trial's row of the table, logged to MLflow as well."""

    def load(layer: str, name: str, record: str) -> Any:
        return RecordDataset(str(trial.file(layer, f"{name}.json")), f"autosimulate_pipeline.{record}").load()

    state = load("07_model_output", trial.last_state, "search.base.SearchState")
    reports = [
        load("07_model_output", f"validation_report_{iteration:03d}", "records.EvaluationReport")
        for iteration in range(state.iteration)
    ]
    seconds = load("07_model_output", f"stage_seconds_{len(reports) - 1:03d}", "records.StageSeconds")
    mean_ap, miou = judged(trial.pipeline, reports, trial.parameters.search)
    if tracker is not None:
        tracker.adopt(trial.file("08_reporting", "mlflow_run_id"), _grid_metrics(mean_ap, miou))
    row = (mean_ap, miou, state.images_rendered, seconds.total / 60)
    return trial.point | dict(zip(MEASURED, row, strict=True))


@contextmanager
def watched_trials(trials: Sequence[Trial]) -> Iterator[Callable[[], None]]:
    """A bar of the iterations that the trials still have to do; call what it gives now and then."""
    num_done = sum(trial.num_done for trial in trials)
    num_missing = sum(trial.parameters.loop.num_iterations for trial in trials) - num_done
    with display.watched("trials", num_missing, "iterations") as advance:

        def tell() -> None:
            nonlocal num_done
            before, num_done = num_done, sum(trial.num_done for trial in trials)
            advance(num_done - before)

        yield tell


def _grid_metrics(mean_ap: float, miou: float) -> dict[str, float]:
    return {"grid/val_mAP": float(mean_ap), "grid/val_mIoU": float(miou)}


def _show(table: pd.DataFrame, file: Path) -> None:
    """Prints the table and keeps it as CSV."""
    with replacing(file) as draft:
        table.to_csv(draft)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # a pipe has 80 characters
    for key in table.columns:
        shown.add_column(key.replace(".", ".\n"), no_wrap=True, justify="right")  # long keys, few characters below them
    for row in table.to_dict("records"):
        shown.add_row(*(MEASURED.get(str(key), "{}").format(value) for key, value in row.items()))
    console.print(shown)
