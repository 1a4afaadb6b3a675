"""Trials of a grid, each a `kedro run` in a process of its own: on this machine, or where an engine has workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from rich.markup import escape

from autosimulate_pipeline.grids import Trial
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.simulators.rendering.engines import open_engine

NUM_LAST_LINES = 10
"""How much of a failed run's output is shown."""

STOP_SECONDS = 5
"""How long trials may take to end by themselves where Ctrl-C in a terminal has reached them too."""

_processes: set[subprocess.Popen[str]] = set()
"""Of the trials that run on this machine now."""


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
    whose worker dies goes on in another, which is its next of `parallel.max_attempts`. `while_waiting` is called once a
    second.
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
    finally:  # stopped: trials that have not begun do not begin, and those that have are stopped too
        for future in running:
            future.cancel()
        if pool is not None:
            if wait(running, STOP_SECONDS).not_done:
                for process in tuple(_processes):
                    process.terminate()
            pool.shutdown()


def run_trial(trial: Trial, *choices: str) -> str | None:
    """None, or what a failed `kedro run` said last; `choices` are more arguments of it.

    That process waits while another is at this run already: one that outlives its killed worker, on any machine.
    """
    failed = f"[bold red]failed:[/] {trial.run}"
    if not trial.project.is_dir():
        return f"{failed}, {socket.gethostname()} has no {trial.project}: all machines must share it"
    with subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", *trial.arguments, *choices],
        cwd=trial.project,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as many trials as cores: more threads only wait for each other
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        _processes.add(process)
        output, _ = process.communicate()
        _processes.discard(process)
    if not process.returncode:
        return None
    last_lines = "\n".join(output.splitlines()[-NUM_LAST_LINES:])
    return f"{failed}, exit status {process.returncode}\n{escape(last_lines)}"
