"""Trials of a grid, each a `kedro run` in a process of its own: on this machine, or where an engine has workers.

A trial is wanted while the grid search holds its lock, `.wanted` in the run's folder. Where the search is stopped or
dies, the lock goes with it, and the trial is ended on whatever machine it runs.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TextIO

from rich.markup import escape

from autosimulate_pipeline.grid.grids import Trial
from autosimulate_pipeline.runs.lock import is_locked
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.workers.engines import open_engine

NUM_LAST_LINES = 10
"""How much of a failed run's output is shown."""

WANTED = ".wanted"

STOP_SECONDS = 5
"""How long a trial may take to end without SIGTERM: Ctrl-C in a terminal has reached it too."""

ENGINE_SECONDS = 30
"""How long an engine's trials may take to end before the engine drops them."""


def run_trials(
    trials: Sequence[Trial],
    num_jobs: int,
    parallel: ParallelSettings,
    *,
    until_last_state: bool,
    while_waiting: Callable[[], None] = lambda: None,
) -> Generator[tuple[Trial, str | None], None, None]:
    """Each trial as it ends, with None or what failed.

    `num_jobs` run at a time on this machine; those of an engine at an address run as its workers are free. A trial
    whose worker dies is resumed in another, up to `parallel.max_attempts` in all. `while_waiting` is called once a
    second. Trials that still run when the generator is closed are stopped.
    """
    if not trials:
        return
    submit: Callable[..., Future[str | None]]
    losses: tuple[type[Exception], ...] = ()
    pool = None
    if parallel.backend == "loky":
        pool = ThreadPoolExecutor(num_jobs)
        submit = pool.submit
    else:
        engine = open_engine(parallel.backend, parallel.address, num_jobs)
        engine.count_workers(parallel.timeout_seconds)
        submit, losses = engine.submit, engine.losses

    def start(trial: Trial) -> Future[str | None]:
        choices = ["--to-outputs", trial.last_state, "--only-missing-outputs"] if until_last_state else []
        return submit(run_trial, trial, *choices)

    locks = [_hold(trial) for trial in trials]
    running = {start(trial): trial for trial in trials}
    attempts = Counter(trial.run for trial in trials)
    try:
        while running:
            finished = wait(running, timeout=1, return_when=FIRST_COMPLETED).done
            while_waiting()
            for future in finished:
                trial = running.pop(future)
                try:
                    yield trial, future.result()
                except losses as loss:
                    if attempts[trial.run] < parallel.max_attempts:
                        attempts[trial.run] += 1
                        running[start(trial)] = trial
                    else:
                        yield trial, f"[bold red]failed:[/] {trial.run}, {attempts[trial.run]} workers died: {loss}"
    finally:
        for lock in locks:
            lock.close()
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        else:
            wait(running, ENGINE_SECONDS)
            for future in running:
                future.cancel()


def _hold(trial: Trial) -> TextIO:
    """The lock without which the trial does not run, held until it is closed; several searches may hold it."""
    path = trial.file("08_reporting", WANTED)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("a+")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def run_trial(trial: Trial, *choices: str) -> str | None:
    """None, or the last lines of a `kedro run` that failed or is no longer wanted; `choices` are more of its arguments.

    That process waits while another works on this run: one that outlives its killed worker, on any machine.
    """
    failed = f"[bold red]failed:[/] {trial.run}"
    if not trial.project.is_dir():
        return f"{failed}, {socket.gethostname()} has no {trial.project}: all machines must share it"
    if not is_locked(trial.file("08_reporting", WANTED)):
        return f"{failed}, it was stopped before it began"
    with subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", *trial.arguments, *choices],
        cwd=trial.project,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},  # a thread each: trials fill the cores
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
    ) as process:
        output = _output_of(process, trial.file("08_reporting", WANTED))
    if not process.returncode:
        return None
    last_lines = "\n".join(output.splitlines()[-NUM_LAST_LINES:])
    return f"{failed}, exit status {process.returncode}\n{escape(last_lines)}"


def _output_of(process: subprocess.Popen[str], wanted: Path) -> str:
    """All that the process prints until it ends; it is terminated soon after nobody holds the lock `wanted`."""
    while True:
        try:
            return process.communicate(timeout=1)[0]
        except subprocess.TimeoutExpired:
            if is_locked(wanted):
                continue
        try:
            return process.communicate(timeout=STOP_SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.terminate()
            return process.communicate()[0]
