"""Whether memory, open files and temporary files stay flat in long work, and what large sizes cost.

    python benchmarks/load.py [--renders 500] [--iterations 100] [--long 200] [--images 5000] [--write]

Renders CLEVR images in one worker; then runs the environment `smoke` with many iterations, and two runs of the toy
simulator, one of more iterations and one with many validation images. Their processes are looked at every second.
About twenty minutes on one core. --write puts tables and figure into docs/results/.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from matplotlib.figure import Figure

from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.reporting.palette import BLUE, VERMILION
from autosimulate_pipeline.simulators import ParallelSettings, build_simulator
from benchmark_runs import RESULTS
from kills import copy_project
from rendering import random_scenes
from tables import markdown

BATCH = 10
"""Images between two looks at the worker."""


@dataclass(frozen=True)
class Look:
    """At a process and its descendants.

    Attributes:
        progress: what the work has come to: images, or iterations.
        own_mb: resident memory of the process itself, MiB.
        workers_mb: that of its descendants.
        open_files: file descriptors of all of them.
    """

    progress: int
    own_mb: float
    workers_mb: float
    open_files: int


@dataclass(frozen=True)
class Watched:
    """A run that has ended.

    Attributes:
        first_iteration: seconds until the first iteration was done, the start of Python included.
        last_iteration: seconds until the last was.
        seconds: until the end, the report included.
        left: names in its folder for temporary files afterwards.
    """

    looks: list[Look]
    first_iteration: float
    last_iteration: float
    seconds: float
    left: list[str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and perhaps writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renders", type=int, default=500, help="CLEVR images in one worker")
    parser.add_argument("--iterations", type=int, default=100, help="of the run in Blender")
    parser.add_argument("--long", type=int, default=200, help="iterations of the toy run")
    parser.add_argument("--images", type=int, default=5000, help="validation images of the other toy run")
    parser.add_argument("--write", action="store_true", help="into docs/results/load.md and load.png")
    options = parser.parse_args(arguments)
    rendering = looks_at_renders(options.renders)
    with tempfile.TemporaryDirectory(prefix="autosimulate-load-") as folder:
        project = copy_project(Path(folder) / "project")
        many = "reference_data.hidden_simulator.num_validation_images"
        runs = {
            f"smoke, {options.iterations} iterations": watch(
                project, "smoke", {"loop.num_iterations": options.iterations}
            ),
            f"toy, {options.long} iterations": watch(project, "toy", {"loop.num_iterations": options.long}),
            f"toy, {options.images} validation images": watch(project, "toy", {many: options.images}),
        }
    tables = [renders_table(rendering), runs_table(runs)]
    print("\n\n".join(tables))
    if options.write:
        page = [
            "# Long and large runs",
            "    python benchmarks/load.py --write",
            "![Memory over the iterations of the first run](load.png)",
        ]
        (RESULTS / "load.md").write_text("\n\n".join([*page, *tables]) + "\n")
        figure(next(iter(runs.values())).looks).savefig(RESULTS / "load.png", dpi=120)


def looks_at_renders(num_images: int) -> list[Look]:
    """At one worker, after every `BATCH` images."""
    simulator = build_simulator("clevr", {}, ParallelSettings(num_workers=1))
    scenes = random_scenes(48, 8, num_images)
    looks = []
    for first in range(0, num_images, BATCH):
        batch = scenes[first : first + BATCH]
        simulator.render(batch, range(first, first + len(batch)), ignore_progress)
        looks.append(look(psutil.Process(), first + len(batch)))
    return looks


def watch(project: Path, environment: str, overrides: Mapping[str, int]) -> Watched:
    """Runs `kedro run` in the project and looks at it every second.

    Raises:
        CalledProcessError: if it failed.
    """
    run = "-".join([environment, *overrides]).replace(".", "-").replace("_", "-")
    parameters = ",".join(f"{key}={value}" for key, value in overrides.items())
    command = [sys.executable, "-m", "kedro", "run", "--env", environment, "--params", f"run={run},{parameters}"]
    variables = os.environ | {"TMPDIR": str(project / "tmp"), "OMP_NUM_THREADS": "1"}
    begun = time.monotonic()
    states = project / "data/07_model_output" / run
    looks, reached = [], dict[int, float]()
    with subprocess.Popen(command, cwd=project, env=variables, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            done = len(list(states.glob("state_*.json"))) - 1
            reached.setdefault(done, time.monotonic() - begun)
            if done > 0:
                looks.append(look(psutil.Process(process.pid), done))
            time.sleep(1)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    left = sorted(path.name for path in (project / "tmp").iterdir())
    first = min(done for done in reached if done > 0)
    return Watched(looks, reached[first], reached[max(reached)], time.monotonic() - begun, left)


def look(process: psutil.Process, progress: int) -> Look:
    """At what lives just now."""
    own = process.memory_info().rss
    workers, open_files = 0, process.num_fds()
    for child in process.children(recursive=True):
        try:
            workers += child.memory_info().rss
            open_files += child.num_fds()
        except psutil.NoSuchProcess:
            continue
    return Look(progress, own / 2**20, workers / 2**20, open_files)


def renders_table(looks: Sequence[Look]) -> str:
    """The worker at the beginning, in the middle and at the end."""
    chosen = (looks[len(looks) // 10], looks[len(looks) // 2], looks[-1])
    rows = [[str(one.progress), f"{one.workers_mb:.0f}", str(one.open_files)] for one in chosen]
    return "## Renders in one worker\n\n" + markdown(["images", "memory of the worker, MiB", "open files"], rows)


def runs_table(runs: Mapping[str, Watched]) -> str:
    """A row for each run; memory is that of the run's process, after a tenth of the iterations and in their last."""
    rows = []
    for name, run in runs.items():
        num_iterations = run.looks[-1].progress
        in_loop = [one for one in run.looks if one.progress < num_iterations]
        early, late = in_loop[len(in_loop) // 10], in_loop[-1]
        rows.append(
            [
                name,
                f"{run.first_iteration:.0f}",
                f"{(run.last_iteration - run.first_iteration) / max(num_iterations - 1, 1):.2f}",
                f"{run.seconds - run.last_iteration:.0f}",
                f"{early.own_mb:.0f} → {late.own_mb:.0f}",
                f"{early.workers_mb:.0f} → {late.workers_mb:.0f}",
                f"{early.open_files} → {late.open_files}",
                ", ".join(run.left) or "none",
            ]
        )
    columns = ["run", "first iteration done, s", "s an iteration", "last evaluation and report, s"]
    columns += ["memory, MiB", "of workers", "open files", "temporary files left"]
    return "## Runs\n\n" + markdown(columns, rows)


def figure(run: Sequence[Look]) -> Figure:
    """Memory over iterations."""
    drawing = Figure(figsize=(6, 2.8), layout="constrained")
    axes = drawing.subplots()
    axes.plot([one.progress for one in run], [one.own_mb for one in run], color=BLUE, label="the run's process")
    axes.plot([one.progress for one in run], [one.workers_mb for one in run], color=VERMILION, label="its workers")
    axes.set(
        xlabel="iterations of a run", ylabel="resident memory, MiB", ylim=(0, 1.2 * max(one.own_mb for one in run))
    )
    axes.legend(frameon=False)
    return drawing


if __name__ == "__main__":
    main()
