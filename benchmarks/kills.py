"""Runs that are killed again and again, and whether they end with the same bytes as one that was left alone.

    python benchmarks/kills.py [--kills 50] [--seed 0] [--cases …] [--write]

Two copies of the project run the same commands. In one of them nothing happens. In the other, processes die by SIGKILL:
in turn the whole process group, as in a power cut, and the command's own process alone, as by the kernel when memory is
short. They die at a random moment or in a random stage, while a file or MLflow's database is written too, and the same
command is given again and killed again, a few times for each run; then it is left to end. Whole rounds of this are done
until there were as many kills as asked for; any difference ends the benchmark. About a quarter of an hour.
--write puts the table into docs/results/.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import torch
import yaml
from joblib.externals.loky import get_reusable_executor
from kedro.framework.startup import bootstrap_project

from autosimulate_pipeline.cli import cli
from kills_evidence import BRIEF, STAGES, differences, leftovers, processes_of, stage_of, stages_ahead

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "docs" / "results"
MARKER = "AUTOSIMULATE_KILLS"
"""An environment variable by which our processes know each other."""
IMPORTED = (
    "alembic.command",
    "autosimulate_pipeline.pipeline_registry",
    "autosimulate_pipeline.settings",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna.samplers",
    "pyarrow.parquet",
    "torch._dynamo",
    "torch._inductor.config",
)
"""What a run imports when it is needed."""

EXPLANATION = """\
Tiny runs, killed by SIGKILL at a random moment or in a stage chosen at random, and started again by the same command,
up to twelve times each; in half of the kills the whole process group died, as in a power cut, in the others the
command's own process alone. A stage is read from files: the first of the run's that was missing, or what was being
written. So `training` includes the drawing of the contact sheet before it, and `hypergradient` is the step of ψ in
`lts` and `bayesian`, which have none.

The same as in runs that were left alone: every file of `data/` byte by byte (scenes, images, labels, weights, states,
figures, training sets), and MLflow's runs (one of each name, finished, with the same parameters and values, one point
of each metric and step). Left out, for they tell the time or the process: `stage_seconds*.json`, the seconds of
`summary.json`, `report.html` (which shows them), the minutes of `grid.csv`, MLflow's `seconds/…`, `mlflow_run_id` and
the run's `.lock`. Afterwards no draft or process was left, and no temporary file but the folders of what died:
Blender's sessions (`blender_…`) and models on their way to MLflow (`autosimulate-model-…`).

SIGKILL leaves what the operating system still has to write; a real power cut does not. Files are flushed to the disk
before they are renamed into place, which this does not test."""

_UNIFORM = {"distribution": "gaussian", "low": -10, "high": 10}
TOY: dict[str, Any] = {
    "experiment": "toy",
    "simulator": {
        "type": "toy",
        "parameters": {
            "ambient_light": {"distribution": "gaussian", "low": 0, "high": 100, "mean": 15},
            "square_x": _UNIFORM | {"mean": 5},
            "disc_material": {"distribution": "bernoulli", "values": ["rubber", "metal"], "probability": 0.8},
        },
    },
    "reference_data": {
        "hidden_simulator": {
            "num_validation_images": 6,
            "num_test_images": 8,
            "parameters": {
                "ambient_light": {"distribution": "gaussian", "low": 0, "high": 100, "mean": 60, "width": 0.05},
                "square_x": _UNIFORM | {"mean": -5, "width": 0.1},
                "disc_material": {"distribution": "bernoulli", "values": ["rubber", "metal"], "probability": 0.1},
            },
        }
    },
    "task_model": {"input_size": 32, "base_channels": 8},
    "pilot": {"num_images": 20},
    "inference": {"num_trees": 50},
    "training": {"first_epochs": 8, "epochs": 4, "window": 2},
    "loop": {"num_iterations": 4, "num_images": 8},
    "search": {"lts": {"num_datasets": 2}},
    "final_evaluation": {
        "num_images": 8,
        "retraining": {"epochs": 4},
        "own_network": {"epochs": 2},
    },
}
GRID = {"tiny": {"parameters": {"loop.num_iterations": 2}, "grid": {"hypergradient.damping": [0.1, 10]}}}


@dataclass(frozen=True)
class Case:
    """A command of `kedro`, and the runs that it works on.

    Attributes:
        runs: a pattern of their names.
        most_kills: of one round.
    """

    name: str
    command: tuple[str, ...]
    runs: str
    most_kills: int = 12

    @property
    def is_generation(self) -> bool:
        """Whether it renders from a run that is there."""
        return "generate" in self.command


CASES = (
    Case("autosimulate, toy", ("run", "--env", "toy"), "toy-autosimulate"),
    Case(
        "generate, toy",
        ("run", "--pipeline", "generate", "--params", "run=toy-autosimulate,generate.num_images=230"),
        "toy-autosimulate",
    ),
    Case("lts, toy", ("run", "--env", "toy", "--pipeline", "lts"), "toy-lts"),
    Case("bayesian, toy", ("run", "--env", "toy", "--pipeline", "bayesian"), "toy-bayesian"),
    Case("autosimulate, Blender", ("run", "--env", "smoke"), "smoke-autosimulate", most_kills=8),
    Case("grid-search, toy", ("grid-search", "tiny", "--env", "toy", "--jobs", "2"), "toy-grid-tiny*", most_kills=4),
)


@dataclass(frozen=True)
class Kill:
    """What was killed, whether with all its processes, and the stage that its files then showed."""

    case: str
    whole_group: bool
    stage: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Kills, compares, prints and perhaps writes.

    Raises:
        SystemExit: if something was not as in the run that was left alone.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="by default all")
    parser.add_argument("--write", action="store_true", help="into docs/results/kills.md")
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if options.cases is None or case.name in options.cases]

    for module in IMPORTED:
        import_module(module)
    torch.set_num_threads(1)  # no other thread lives when a process forks
    generator, kills = random.Random(options.seed), list[Kill]()  # noqa: S311  # it chooses moments
    with tempfile.TemporaryDirectory(prefix="autosimulate-kills-") as folder:
        alone, rounds, seconds = copy_project(Path(folder) / "alone"), 0, dict[str, float]()
        while len(kills) < options.kills:
            rounds += 1
            killed = copy_project(Path(folder) / f"round_{rounds}")
            for case in cases:
                if case.name not in seconds:
                    seconds[case.name] = seconds_alone(alone, case)
                kills += kill_and_resume(killed, case, seconds[case.name], generator, options.kills - len(kills))
                fail_if([*leftovers(killed), *processes_of(f"{MARKER}={killed}", patience=20)])
                print(f"{case.name}: {len(kills)} kills so far", flush=True)
            # Only now are both complete: a generation works in the folders of the run before it.
            fail_if([fault for case in cases for fault in differences(alone, killed, case.runs)])
            print(f"round {rounds}: no difference", flush=True)
    found = f"{len(kills)} kills in {rounds} rounds: no difference, nothing left behind.\n\n{kills_table(kills, cases)}"
    print(found)
    if options.write:
        command = f"    python benchmarks/kills.py --kills {options.kills} --seed {options.seed} --write"
        (RESULTS / "kills.md").write_text("\n\n".join(("# Kills", command, found, EXPLANATION)) + "\n")


def fail_if(faults: Sequence[str]) -> None:
    """Ends the benchmark with these lines, if there are any."""
    if faults:
        raise SystemExit("\n".join(faults))


def copy_project(folder: Path) -> Path:
    """A copy of the project as a clone has it, with the environment `toy`."""
    for name in ("conf", "src"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, folder)
    (folder / "tmp").mkdir()
    toy = folder / "conf" / "toy"
    toy.mkdir()
    (toy / "parameters.yml").write_text(yaml.safe_dump(TOY))
    (toy / "grids.yml").write_text(yaml.safe_dump(GRID))
    return folder


def start(project: Path, case: Case) -> BaseProcess:
    """The case's command, in a process group of its own; what it says goes to a file.

    It is forked from this process, which has imported everything, and so starts in no time.
    """
    process = get_context("fork").Process(target=_command, args=(project, case), daemon=False)
    process.start()
    return process


def _command(project: Path, case: Case) -> None:
    os.setsid()
    os.chdir(project)
    os.environ |= {MARKER: str(project), "TMPDIR": str(project / "tmp"), "OMP_NUM_THREADS": "1"}
    tempfile.tempdir = None  # TMPDIR anew
    said = (project / "said.txt").open("w", buffering=1)
    for descriptor in (1, 2):
        os.dup2(said.fileno(), descriptor)
    sys.argv, sys.stdout, sys.stderr = ["kedro", *case.command], said, said
    bootstrap_project(project)
    Finalize(
        None, lambda: get_reusable_executor(reuse=True).shutdown(kill_workers=True), exitpriority=10
    )  # else they idle
    cli.main(list(case.command))


def seconds_alone(project: Path, case: Case) -> float:
    """How long the case takes when nothing happens."""
    begun = time.monotonic()
    finish(project, case)
    return time.monotonic() - begun


def finish(project: Path, case: Case) -> None:
    """Runs the case to its end.

    Raises:
        SystemExit: if it failed.
    """
    process = start(project, case)
    process.join()
    if process.exitcode:
        raise SystemExit(f"{case.name} failed:\n{(project / 'said.txt').read_text()}")


def kill_and_resume(project: Path, case: Case, seconds: float, generator: random.Random, most: int) -> list[Kill]:
    """The kills of a run that has then come to its end."""
    kills: list[Kill] = []
    for attempt in range(min(case.most_kills, most)):
        aim = generator.choice([None, *stages_ahead(stage_now(project, case, 0), case.is_generation)])
        begun, process = time.time(), start(project, case)
        latest = begun + seconds / 2 * (generator.random() if aim is None else 1)
        while process.is_alive() and time.time() < latest and stage_now(project, case, begun) != aim:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0 if aim in BRIEF else 0.2))
        whole_group = bool(attempt % 2)
        if whole_group and process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:  # it had come to its end before
            break
        kills.append(Kill(case.name, whole_group, stage_now(project, case, begun)))
        print(kills[-1], flush=True)
    finish(project, case)
    return kills


def stage_now(project: Path, case: Case, begun: float) -> str:
    """The stage that the case's process, which began then, is in; with 0, the one that its run has come to."""
    return stage_of(project, case.runs, case.is_generation, begun)


def kills_table(kills: Sequence[Kill], cases: Sequence[Case]) -> str:
    """How many kills fell where, a column for each case."""
    names = [case.name for case in cases]
    count = Counter((kill.stage, kill.case) for kill in kills)
    rows = {stage: [count[stage, name] for name in names] for stage in STAGES}
    rows["all"] = [sum(kill.case == name for kill in kills) for name in names]
    rows["of these, whole groups"] = [sum(kill.whole_group for kill in kills if kill.case == name) for name in names]
    lines = [["killed in", *names, "all"], ["---", *["---:"] * (len(names) + 1)]]
    lines += [[row, *map(str, counts), str(sum(counts))] for row, counts in rows.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
