"""Work spread over long-lived worker processes that may crash or hang.

joblib runs the processes, so `joblib.parallel_config(backend=...)` around a call sends the work elsewhere.
"""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import pkgutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import joblib
from joblib._parallel_backends import LokyBackend
from joblib.executor import get_memmapping_executor
from joblib.externals.loky.process_executor import BrokenProcessPool
from joblib.parallel import get_active_backend
from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.records import Progress

logger = logging.getLogger(__name__)

LARGEST_BATCH = 8
"""Jobs sent to a worker at a time, so that sending costs little beside the smallest renders (a few milliseconds)."""


class ParallelSettings(BaseModel):
    """How work is spread over processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="processes; auto: one for each core we may run on"
    )
    timeout_seconds: float = Field(default=600, gt=0, description="a worker hangs if nothing comes back for this long")
    max_attempts: int = Field(default=3, ge=1, description="give up when one job has lost its worker this often")

    @property
    def worker_count(self) -> int:
        return len(os.sched_getaffinity(0)) if self.num_workers == "auto" else self.num_workers


def run_in_workers(function: str, jobs: Sequence[Any], settings: ParallelSettings, progress: Progress) -> list[Any]:
    """`function(job)` of every job, in the order of the jobs.

    Jobs whose worker died or hung are done again. A worker is a fresh interpreter, pinned to a core that no other
    worker has (Cycles with one thread still keeps a second core busy otherwise).

    Args:
        function: where the workers find it, as "package.module:function"; only they import the module.
        progress: called with the number of jobs done since its last call.

    Raises:
        RuntimeError: if a job loses its worker `settings.max_attempts` times.
        Exception: what `function` itself raises; that is not tried again.
    """
    results: dict[int, Any] = {}
    losses: Counter[int] = Counter()
    while missing := [index for index in range(len(jobs)) if index not in results]:
        num_workers = settings.worker_count
        if not losses:
            batches = _split(missing, num_workers)
        elif losses[missing[0]] == settings.max_attempts - 1:
            num_workers, batches = 1, [missing[:1]]  # alone, so that no neighbour's crash is laid at its door
        else:
            batches = [[index] for index in missing]
        try:
            for batch, outputs in _run_batches(function, jobs, batches, num_workers, settings.timeout_seconds):
                results.update(zip(batch, outputs, strict=True))
                progress(len(batch))
        except (BrokenProcessPool, multiprocessing.TimeoutError) as failure:
            job = next(index for index in missing if index not in results)
            losses[job] += 1
            fate = "hung" if isinstance(failure, multiprocessing.TimeoutError) else "died"
            if losses[job] == settings.max_attempts:
                raise RuntimeError(f"a worker {fate} on attempt {losses[job]} at job {job}: {jobs[job]}") from failure
            logger.warning("A worker %s near job %d; %d jobs are run again.", fate, job, len(jobs) - len(results))
    return [results[index] for index in range(len(jobs))]


def _split(indices: list[int], num_workers: int) -> list[list[int]]:
    """The jobs in batches, at least four for each worker so that all of them finish at about the same time."""
    size = min(LARGEST_BATCH, ceil(len(indices) / (4 * num_workers)))
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _run_batches(
    function: str, jobs: Sequence[Any], batches: list[list[int]], num_workers: int, timeout_seconds: float
) -> Iterator[tuple[list[int], list[Any]]]:
    """Each batch with its outputs, in the order in which they finish."""
    backend, _ = get_active_backend()
    parallel = joblib.Parallel(
        n_jobs=num_workers,
        backend=WorkerProcesses(inner_max_num_threads=1) if isinstance(backend, LokyBackend) else backend,
        return_as="generator_unordered",
        batch_size=1,
        timeout=timeout_seconds,
    )
    tasks = (joblib.delayed(_run_batch)(function, batch, [jobs[index] for index in batch]) for batch in batches)
    return iter(parallel(tasks))


class WorkerProcesses(LokyBackend):
    """joblib's loky backend, with a process of its own for a single worker too (loky would use the caller's)."""

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None, **memmapping: Any
    ) -> int:
        environment = self._prepare_worker_env(n_jobs=n_jobs)
        self._workers = get_memmapping_executor(n_jobs, env=environment, context_id=parallel._id, **memmapping)
        self.parallel = parallel
        return max(n_jobs, 2)  # at 1, joblib runs the tasks itself


def _run_batch(function: str, batch: list[int], jobs: list[Any]) -> tuple[list[int], list[Any]]:
    _pin_to_own_core()
    _end_with_parent()
    run = pkgutil.resolve_name(function)
    return batch, [run(job) for job in jobs]


@cache
def _end_with_parent() -> None:
    """Ends this worker within a second of its parent's death: an orphan would keep its core's place for good."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@cache
def _pin_to_own_core() -> None:
    """Pins this worker, once, to the core that the fewest workers hold: its own, unless there are more than cores.

    A place on a core is a locked file; the lock ends with the process, however it ends. Threads started later inherit
    the pin.
    """
    folder = Path(tempfile.gettempdir()) / f"autosimulate-cores-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    for number in count():
        place, core = number // len(cores), cores[number % len(cores)]
        lock = os.open(folder / f"{core}-{place}", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            os.sched_setaffinity(0, {core})
            return
