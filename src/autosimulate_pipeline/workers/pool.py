"""Work spread over long-lived worker processes that may crash or hang.

joblib's loky runs them on this machine; with `backend` it is Dask or Ray, there or on others.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil
from textwrap import shorten
from typing import Annotated, Any, Literal

import joblib
from joblib._parallel_backends import LokyBackend
from joblib.executor import get_memmapping_executor
from joblib.externals.loky.process_executor import BrokenProcessPool
from pydantic import BaseModel, ConfigDict, Field, model_validator

from autosimulate_pipeline.records import Progress
from autosimulate_pipeline.workers.engine import WorkerLostError
from autosimulate_pipeline.workers.engines import missing_extra, open_engine, run_on
from autosimulate_pipeline.workers.processes import run_batch

logger = logging.getLogger(__name__)

LARGEST_BATCH = 8
"""Jobs sent to a worker at a time, so that sending costs little beside the smallest renders (a few milliseconds)."""

MAX_SHOWN = 200
"""Characters of a job that an error shows: an arranged scene has arrays of poses."""

FATES: dict[type[Exception], str] = {multiprocessing.TimeoutError: "hung", WorkerLostError: "died or hung"}
"""What has happened to a worker, by what its loss raised; all else: it died."""


class ParallelSettings(BaseModel):
    """How work is spread over processes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backend: Literal["loky", "dask", "ray"] = Field(
        default="loky", description="who runs the workers; loky: this process"
    )
    address: str | None = Field(
        default=None,
        min_length=1,
        description="of a Dask scheduler or Ray cluster that runs; null: one on this machine, started and closed",
    )
    num_workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="processes on this machine; auto: one for each core we may run on"
    )
    timeout_seconds: float = Field(
        default=600,
        gt=0,
        description="a worker that is at one job, such as an image, for this long hangs; a command of external: at its "
        "share of the scenes",
        json_schema_extra={"unit": "s"},
    )
    max_attempts: int = Field(default=3, ge=1, description="give up when one job has lost its worker this often")

    @model_validator(mode="after")
    def _can_be_reached(self) -> ParallelSettings:
        if self.address is not None and self.backend == "loky":
            raise ValueError(f"parallel.address must be null where parallel.backend is loky, got {self.address!r}")
        if missing := missing_extra(self.backend):
            raise ValueError(f"parallel.backend {self.backend} {missing}")
        return self

    @property
    def worker_count(self) -> int:
        """Processes on this machine."""
        return len(os.sched_getaffinity(0)) if self.num_workers == "auto" else self.num_workers


def run_in_workers(function: str, jobs: Sequence[Any], settings: ParallelSettings, progress: Progress) -> list[Any]:
    """`function(job)` of every job, in the order of the jobs.

    Jobs whose worker died or hung are done again. A worker is a process of its own, pinned to a core that no other
    worker has (Cycles with one thread still keeps a second core busy otherwise). The results are the same whatever
    the backend and the number of workers, if `function` draws on its job alone.

    Args:
        function: where the workers find it, as "package.module:function"; only they import the module.
        progress: called with the number of jobs done since its last call.

    Raises:
        RuntimeError: if a job loses its worker `settings.max_attempts` times, or an engine has no worker left.
        ConnectionError: if no engine answers at `settings.address`.
        MemoryError: if `function` raised it; with what to do about it.
        Exception: what `function` itself raises; that is not tried again.
    """
    engine = None
    if jobs and settings.backend != "loky":
        engine = open_engine(settings.backend, settings.address, settings.worker_count)
    results: dict[int, Any] = {}
    losses: Counter[int] = Counter()
    while missing := [index for index in range(len(jobs)) if index not in results]:
        num_workers = engine.count_workers(settings.timeout_seconds) if engine else settings.worker_count
        if not losses:
            batches = _split(missing, num_workers)
        elif losses[missing[0]] == settings.max_attempts - 1:
            num_workers, batches = 1, [missing[:1]]  # alone, so that no neighbour's crash is laid at its door
        else:
            batches = [[index] for index in missing]
        try:
            if engine:
                finished = run_on(engine, function, jobs, batches, settings.timeout_seconds)
            else:
                finished = _run_by_loky(function, jobs, batches, num_workers, settings.timeout_seconds)
            for batch, outputs in finished:
                results.update(zip(batch, outputs, strict=True))
                progress(len(batch))
        except (BrokenProcessPool, multiprocessing.TimeoutError, WorkerLostError) as failure:
            job = next(index for index in missing if index not in results)
            losses[job] += 1
            fate = FATES.get(type(failure), "died")
            if losses[job] == settings.max_attempts:
                advice = f"; {_fewer_workers(settings, num_workers)}" if "SIGKILL" in str(failure) else ""
                shown = shorten(str(jobs[job]), MAX_SHOWN, placeholder=" …")
                lost = f"a worker {fate} on attempt {losses[job]} at job {job}: {shown}{advice}"
                raise RuntimeError(lost) from failure
            logger.warning("A worker %s near job %d; %d jobs are run again.", fate, job, len(jobs) - len(results))
        except MemoryError as failure:
            raise MemoryError(
                f"a worker had no memory left ({failure}); {_fewer_workers(settings, num_workers)}"
            ) from failure
    return [results[index] for index in range(len(jobs))]


def _fewer_workers(settings: ParallelSettings, num_workers: int) -> str:
    what = f"the workers at {settings.address}" if settings.address else "parallel.num_workers"
    return f"where memory is short, {what} must be {'fewer' if settings.address else 'lower'}, got {num_workers}"


def _split(indices: list[int], num_workers: int) -> list[list[int]]:
    """The jobs in batches, at least four for each worker so that all of them finish at about the same time."""
    size = min(LARGEST_BATCH, ceil(len(indices) / (4 * num_workers)))
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _run_by_loky(
    function: str, jobs: Sequence[Any], batches: list[list[int]], num_workers: int, timeout_seconds: float
) -> Iterator[tuple[list[int], list[Any]]]:
    """Each batch with its outputs, in the order in which they finish."""
    parallel = joblib.Parallel(
        n_jobs=num_workers,
        backend=WorkerProcesses(inner_max_num_threads=1),
        return_as="generator_unordered",
        batch_size=1,
        timeout=timeout_seconds * max(map(len, batches)),  # with nothing told before a batch is done
    )
    tasks = (joblib.delayed(run_batch)(function, batch, [jobs[index] for index in batch]) for batch in batches)
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
