"""What happens inside a worker process: batches of jobs, on a core of its own."""

from __future__ import annotations

import faulthandler
import fcntl
import math
import os
import pkgutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from joblib.externals.loky import process_executor

from autosimulate_pipeline import __version__

_STDERR = 2
_at_work = threading.Lock()


def run_batch(function: str, batch: list[int], jobs: list[Any]) -> tuple[list[int], list[Any]]:
    """The batch and its outputs; of a worker that joblib started for us alone."""
    _pin_to_own_core()
    _end_with_parent()
    _may_grow()
    run = pkgutil.resolve_name(function)
    return batch, [run(job) for job in jobs]


def run_in_engine(function: str, jobs: list[Any], timeout_seconds: float, version: str) -> list[Any]:
    """The outputs of the jobs; of a worker that an engine started, for us or for others too.

    It is left as it was found: pinned for these jobs alone, and its end is the engine's business. A job that takes
    longer than `timeout_seconds` ends the process, by a timer that needs no Python, so that the engine misses it.

    Raises:
        RuntimeError: if the worker has another version of this package, or runs several tasks at a time.
    """
    where = f"the worker {os.getpid()} on {socket.gethostname()}"
    if version != __version__:  # other versions render other bytes
        raise RuntimeError(f"{where} must have autosimulate-pipeline {version}, got {__version__}")
    if not _at_work.acquire(blocking=False):
        raise RuntimeError(f"{where} must run one task at a time (dask worker --nthreads 1): Blender does")
    try:
        with _on_own_core():
            run = pkgutil.resolve_name(function)
            outputs = []
            for job in jobs:
                faulthandler.dump_traceback_later(timeout_seconds, file=_STDERR, exit=True)
                outputs.append(run(job))
            return outputs
    finally:
        faulthandler.cancel_dump_traceback_later()
        _at_work.release()


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
def _may_grow() -> None:
    """Where psutil is installed, loky ends a worker that has grown by 300 MB, as a leak; Blender with textures has."""
    process_executor._MAX_MEMORY_LEAK_SIZE = math.inf


@cache
def _pin_to_own_core() -> None:
    """Pins this worker for good. Threads started later inherit the pin."""
    os.sched_setaffinity(0, {_own_core()})


@contextmanager
def _on_own_core() -> Iterator[None]:
    """Pins this thread, and those that are started meanwhile, such as Blender's."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_own_core()})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@cache
def _own_core() -> int:
    """The core that the fewest workers hold, claimed once: this one's own, unless there are more than cores.

    A place on a core is a locked file; the lock ends with the process, however it ends.
    """
    folder = Path(tempfile.gettempdir()) / f"autosimulate-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} must be a folder of this user's, got another's: delete it")
    cores = sorted(os.sched_getaffinity(0))
    for number in count():
        place, core = number // len(cores), cores[number % len(cores)]
        lock = os.open(folder / f"{core}-{place}", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return core
    raise AssertionError("count() has no end")
