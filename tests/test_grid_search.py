"""A grid becomes checked runs; the best one by validation, and no other, sees the test images."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from kedro.framework.startup import bootstrap_project

from autosimulate_pipeline import progress
from autosimulate_pipeline.configuration import ConfigurationError
from autosimulate_pipeline.grid.command import judged, run_grid, watched_trials
from autosimulate_pipeline.grid.grids import Trial, expand, load_grid
from autosimulate_pipeline.records import EvaluationReport
from autosimulate_pipeline.runs.record import record_run
from autosimulate_pipeline.search import SEARCH_METHODS, SearchSettings
from conftest import PROJECT

SMALL = {"loop.num_iterations": 2, "loop.num_images": 4, "search.start": "configured"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder with its conf alone."""
    bootstrap_project(PROJECT)
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    return tmp_path


def trials_of(folder: Path, block: object, env: str | None = "smoke") -> list[Trial]:
    (folder / "conf" / (env or "base") / "grids.yml").write_text(yaml.safe_dump({"mine": block}, sort_keys=False))
    return expand(folder, "mine", load_grid(folder, "mine", env), env)


@pytest.mark.parametrize(("name", "num_trials"), [("paper", 18), ("lts", 12), ("recommended", 12)])
def test_every_grid_of_ours_is_valid_and_has_one_budget(folder: Path, name: str, num_trials: int) -> None:
    trials = expand(folder, name, load_grid(folder, name, None), None)
    assert len({trial.run for trial in trials}) == num_trials
    loops = [trial.parameters.loop for trial in trials]
    (budget,) = {loop.max_images for loop in loops}
    (num_pilot_images,) = {trial.parameters.pilot.num_images * trial.parameters.has_pilot for trial in trials}
    assert num_pilot_images == (100 if name == "recommended" else 0), "the others start from what is configured"
    sizes = (15, 30, 60) if name == "recommended" else (20, 50, 70)
    rest = budget - num_pilot_images
    assert {(loop.num_images, loop.num_iterations) for loop in loops} == {(k, rest // k) for k in sizes}
    policy_sizes = [trial.parameters.search.lts.num_datasets if name == "lts" else 0 for trial in trials]
    assert all(loop.num_iterations >= 2 * size for loop, size in zip(loops, policy_sizes, strict=True)), (
        "fewer than two steps of the policy"
    )
    assert {trial.parameters.search.mode for trial in trials} == {"paper" if name == "paper" else "recommended"}


def test_grid_expands_to_runs_named_after_what_varies(folder: Path) -> None:
    block = {"parameters": {"seed": 3}, "grid": {"search.mode": ["paper", "recommended"], "hypergradient.damping": [1]}}
    first, second = trials_of(folder, block)
    assert first.run == "smoke-grid-mine-hypergradient.damping=1-search.mode=paper"
    assert first.label == "search.mode=paper hypergradient.damping=1"
    assert first.arguments == [
        "--pipeline",
        "autosimulate",
        "--params",
        "parallel.backend=loky,parallel.address=null,parallel.num_workers=1,seed=3,search.mode=paper,"
        f"hypergradient.damping=1,run={first.run}",
        "--env",
        "smoke",
    ]
    assert (first.parameters.seed, second.parameters.search.mode) == (3, "recommended")
    assert first.last_state == "state_003", "as many iterations as the environment says"
    (base,) = trials_of(folder, {"grid": {"seed": [0]}}, env=None)
    assert base.run == "grid-mine-seed=0"


def test_budget_sets_the_number_of_iterations_unless_the_grid_does(folder: Path) -> None:
    budget = {"loop.max_images": 20, "search.start": "configured"}
    assert [t.last_state for t in trials_of(folder, {"parameters": budget, "grid": {"loop.num_images": [6, 20]}})] == [
        "state_003",
        "state_001",
    ]
    (given,) = trials_of(folder, {"parameters": budget | SMALL, "grid": {"seed": [0]}})
    assert given.last_state == "state_002"
    (inferred,) = trials_of(folder, {"parameters": {"loop.max_images": 24 + 20}, "grid": {"loop.num_images": [6]}})
    assert inferred.last_state == "state_003", "24 pilot images are of the budget"


REFUSED = [
    ({"grid": {"seed": [0]}, "gird": {}}, "grids.mine.gird is not a parameter; docs/reference/parameters.md has"),
    ({"grid": {}}, "grids.mine.grid: dictionary should have at least 1 item after validation, not 0, got {}"),
    ({"grid": {"seed": []}}, "grids.mine.grid.seed: list should have at least 1 item"),
    ({"parameters": {"seed": 0}}, "grids.mine.grid is missing"),
    ({"pipeline": "annealing", "grid": {"seed": [0]}}, "pipeline must be one of autosimulate, "),
    ({"grid": {"seed": [[0, 1]]}}, "grids.mine.grid.seed.0: must be a number, true, false or a text without commas"),
    ({"grid": {"experiment": ["a,b"]}}, "without commas (for --params), got 'a,b'"),
    ({"grid": {"run": ["mine"]}}, "run must be left out"),
    ({"parameters": {"seed": 0}, "grid": {"seed": [0]}}, "seed must be in parameters or in grid, got both"),
    ({"grid": {"seed": [1, 1]}}, "grids.mine.grid must make each trial another run, got smoke-grid-mine-seed=1 twice"),
    ({"grid": {"search.lerning_rate": [0.1]}}, "search.lerning_rate is not a parameter"),
    ({"parameters": {"hypergradient.damping": -1}, "grid": {"seed": [0]}}, "hypergradient.damping must be at least 0"),
    ({"parameters": {"loop.max_images": "many"}, "grid": {"seed": [0]}}, "loop.max_images: input should be a valid"),
]


@pytest.mark.parametrize(("block", "message"), REFUSED, ids=[message[:50] for _, message in REFUSED])
def test_bad_grid_is_refused_by_its_key(folder: Path, block: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        trials_of(folder, block)
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("mlflow.yml", "experimnt: mine", "mlflow.experimnt is not a parameter; docs/reference/parameters.md has"),
        ("parameters.yml", "parallel: {backend: slurm}", "parallel.backend: input should be 'loky', 'dask' or 'ray'"),
    ],
)
def test_bad_conf_around_a_grid_is_refused_in_one_line(folder: Path, file: str, text: str, message: str) -> None:
    trials_of(folder, {"grid": {"seed": [0]}})
    (folder / "conf/smoke" / file).write_text(text)
    with pytest.raises(ConfigurationError, match="^" + re.escape(message)) as told:
        run_grid(folder, "mine", "smoke", 1)
    assert "\n" not in str(told.value)
    assert not (folder / "data").exists()


def test_unknown_grid_is_told_which_there_are(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="grid must be one of paper, lts, recommended .*, got 'papre'"):
        load_grid(folder, "papre", None)


def test_trial_of_other_settings_is_not_taken_for_finished(folder: Path) -> None:
    (trial,) = trials_of(folder, {"parameters": {"loop.num_images": 4}, "grid": {"seed": [0]}})
    record_run(folder / "data/08_reporting" / trial.run, "autosimulate", trial.parameters)
    with pytest.raises(ConfigurationError, match="loop.num_images: 4 → 5"):
        trials_of(folder, {"parameters": {"loop.num_images": 5}, "grid": {"seed": [0]}})


def test_progress_of_a_grid_counts_the_iterations_that_are_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    trials = trials_of(folder, {"parameters": SMALL, "grid": {"seed": [0, 1]}})
    states = [trial.file("07_model_output", f"state_{k:03d}.json") for trial in trials for k in (1, 2)]
    for state in states:
        state.parent.mkdir(parents=True, exist_ok=True)
    states[0].touch()
    with watched_trials(trials) as tell:
        tell()
        states[1].touch()
        states[2].touch()
        tell()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "trials: 0 of 3 iterations"
    assert second.startswith("trials: 2 of 3 iterations, ")


def test_a_trial_is_finished_when_all_its_reports_are_there(folder: Path) -> None:
    (trial,) = trials_of(folder, {"parameters": SMALL, "grid": {"seed": [0]}})
    made = [trial.file("07_model_output", f"{name}.json") for name in ("validation_report_000", "state_002")]
    made[0].parent.mkdir(parents=True)
    for file in made:
        file.touch()
    assert not trial.is_finished, "one was damaged, and deleted"
    trial.file("07_model_output", "validation_report_001.json").touch()
    assert trial.is_finished


def test_search_is_judged_by_what_it_arrived_at() -> None:
    reports = [EvaluationReport(map=mean_ap, miou=miou) for mean_ap, miou in [(0.5, 0.1), (0.1, 0.6), (0.2, 0.4)]]
    search = SearchSettings.model_validate({"lts": {"num_datasets": 2}, "trials": {"objective": "miou"}})
    expected = dict.fromkeys(SEARCH_METHODS, (0.2, 0.4)) | {  # the last iteration's
        "lts": (pytest.approx(0.15), pytest.approx(0.5)),  # the mean of the last two
        "bayesian": (0.1, 0.6),  # the one that earned most, which is the method's answer
        "random": (0.1, 0.6),
    }
    assert {name: judged(name, reports, search) for name in SEARCH_METHODS} == expected


def grid_search(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kedro", "grid-search", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=550, check=False)


def test_refusal_is_one_line_without_a_traceback(project: Path) -> None:
    (project / "conf/smoke/grids.yml").write_text(yaml.safe_dump({"bad": {"grid": {"loop.num_imagse": [4]}}}))
    refused = grid_search(project, "bad", "--env", "smoke")
    assert refused.returncode == 1
    assert "error: loop.num_imagse is not a parameter" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert not list(project.glob("data/*/smoke-grid-bad*"))


@pytest.mark.slow
def test_grid_runs_what_is_missing_and_tests_the_best_alone(project: Path) -> None:
    block = {"parameters": SMALL, "grid": {"hypergradient.damping": [0.1, 10]}}
    (project / "conf/smoke/grids.yml").write_text(yaml.safe_dump({"tiny": block}))
    runs = [f"smoke-grid-tiny-hypergradient.damping={damping}" for damping in (0.1, 10)]
    states = [project / "data/07_model_output" / run / "state_002.json" for run in runs]
    obstacle = states[1].parent
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.touch()

    failed = grid_search(project, "tiny", "--env", "smoke")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"failed: {runs[1]}" in failed.stderr
    assert "File exists" in failed.stderr, "the last lines of what the run said"
    assert states[0].exists(), "one failure does not stop the others"
    assert not list(project.glob("data/08_reporting/smoke-grid-tiny*/summary.json")), "nothing is chosen of a part"

    obstacle.unlink()
    finished = grid_search(project, "tiny", "--env", "smoke", "--jobs", "1")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "2 trials of autosimulate, 1 to run, 1 at a time" in finished.stdout
    table = pd.read_csv(
        project / "data/08_reporting/smoke-grid-tiny/grid.csv", index_col="run", float_precision="round_trip"
    )
    assert set(table.index) == set(runs)
    assert list(table.columns) == ["hypergradient.damping", "val mAP", "val mIoU", "images", "minutes"]
    assert table["val mAP"].is_monotonic_decreasing
    assert list(table["images"]) == [8, 8]
    chosen = table.index[0]
    (summary_file,) = project.glob("data/08_reporting/smoke-grid-tiny*/summary.json")
    assert summary_file.parent.name == chosen
    summary = json.loads(summary_file.read_text())
    assert (table["val mAP"].iloc[0], table["val mIoU"].iloc[0]) == (summary["val_map"][-1], summary["val_miou"][-1])
    *_, told, table_told, report = finished.stdout.splitlines()
    assert told.startswith(f"chosen: hypergradient.damping={chosen.rpartition('=')[2]}, test")
    assert table_told.strip() == "data/08_reporting/smoke-grid-tiny/grid.csv"
    assert report.strip() == f"data/08_reporting/{chosen}/report.html"

    before = {path: path.stat().st_mtime_ns for path in (*states, summary_file)}
    again = grid_search(project, "tiny", "--env", "smoke")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 to run" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before

    lost = states[1 - runs.index(chosen)]
    content = lost.read_bytes()
    lost.unlink()
    repaired = grid_search(project, "tiny", "--env", "smoke")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "1 to run" in repaired.stdout
    assert lost.read_bytes() == content
    assert {path for path in before if path.stat().st_mtime_ns != before[path]} == {lost}

    with sqlite3.connect(project / "mlflow.db") as database:
        found = database.execute(
            "SELECT name, run_uuid, status FROM runs WHERE name LIKE 'smoke-grid-tiny%'"
        ).fetchall()
        children = database.execute(
            "SELECT name, tags.value FROM tags JOIN runs USING (run_uuid) "
            "WHERE key = 'mlflow.parentRunId' AND name LIKE 'smoke-grid-tiny%'"
        ).fetchall()
        points = database.execute(
            "SELECT name, key FROM metrics JOIN runs USING (run_uuid) WHERE name LIKE 'smoke-grid-tiny%'"
        ).fetchall()
    ids = {name: run_id for name, run_id, _ in found}
    assert sorted(ids) == sorted(["smoke-grid-tiny", *runs])
    assert len(found) == 3, "a run that goes on stays one run"
    assert {status for _, _, status in found} == {"FINISHED"}
    assert sorted(children) == sorted((run, ids["smoke-grid-tiny"]) for run in runs)
    assert {name for name, key in points if key.startswith("test/")} == {chosen, "smoke-grid-tiny"}
    for key in ("grid/val_mAP", "grid/val_mIoU"):
        assert sorted(name for name, other in points if other == key) == sorted(ids), "one point each"
