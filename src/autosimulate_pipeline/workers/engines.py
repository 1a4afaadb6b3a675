"""Workers of an existing engine, on this machine or others: Dask or Ray.

An engine is a `concurrent.futures`-like executor. Its own client, not joblib's backend for it, because that tells a
lost worker from a failed job, and one job's loss from its neighbours'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from typing import Any

from autosimulate_pipeline import __version__
from autosimulate_pipeline.workers.engine import Engine, WorkerLostError
from autosimulate_pipeline.workers.processes import run_in_engine

PACKAGES = {"dask": "distributed", "ray": "ray"}
"""What each engine imports; the extra of this package that brings it has the engine's name."""

_open: dict[tuple[str, str | None, int], Engine] = {}  # one at most; workers are kept from call to call


def open_engine(backend: str, address: str | None, num_workers: int) -> Engine:
    """The engine at that address; without one, a local engine of so many workers, which ends with this process.

    Raises:
        ConnectionError: if nothing answers there.
    """
    key = (backend, address, num_workers)
    if key not in _open:
        close_engine()
        if backend == "dask":
            from autosimulate_pipeline.workers.dask_engine import DaskEngine

            _open[key] = DaskEngine(address, num_workers)
        else:
            from autosimulate_pipeline.workers.ray_engine import RayEngine

            _open[key] = RayEngine(address, num_workers)
    return _open[key]


def close_engine() -> None:
    """Closes the engine that is open, if one is."""
    while _open:
        _open.popitem()[1].close()


def missing_extra(backend: str) -> str | None:
    """What to install for the backend, or None where nothing is missing."""
    package = PACKAGES.get(backend)
    if package is None or find_spec(package):
        return None
    return f"needs the package {package}, which is not installed: pip install '.[{backend}]' in the project's folder"


def run_on(
    engine: Engine, function: str, jobs: Sequence[Any], batches: Sequence[list[int]], timeout_seconds: float
) -> Iterator[tuple[list[int], list[Any]]]:
    """Each batch with its outputs, in the order in which they finish.

    Raises:
        WorkerLostError: after all other batches, if the engine has given one up because its worker died.
        RuntimeError: if no worker is left, or the engine has ended.
    """
    finished: SimpleQueue[Future[Any]] = SimpleQueue()
    running: dict[Future[Any], list[int]] = {}
    lost: Exception | None = None
    try:
        for batch in batches:
            outgoing = [jobs[index] for index in batch]
            future = engine.submit(run_in_engine, function, outgoing, timeout_seconds, __version__)
            running[future] = batch
            future.add_done_callback(finished.put)
        while running:
            try:
                future = finished.get(timeout=timeout_seconds)
            except Empty:  # others' work may be before ours; a worker that hangs ends itself
                engine.count_workers(timeout_seconds)
                continue
            batch = running.pop(future)
            try:
                outputs = future.result()
            except CancelledError:
                raise RuntimeError("the engine dropped the work: is its scheduler running?") from None
            except engine.losses as failure:
                lost = failure
            else:
                yield batch, outputs
    finally:
        for future in running:
            future.cancel()
    if lost is not None:
        raise WorkerLostError(str(lost)) from lost
