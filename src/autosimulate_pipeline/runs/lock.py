"""Locks: one process at a time works on a run, or on what several runs share.

A lock is an open file (flock): it ends with its process, however that ends, and holds on all machines that share the
project's folder.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from autosimulate_pipeline.configuration import run_folder
from autosimulate_pipeline.files.atomic import TORN, remove

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"


def claim(project: Path, run: str, layer: str = "08_reporting") -> TextIO:
    """The lock of the run, held until it is closed; waits, and says so, while another process holds it.

    Files that a killed process left half written are removed.

    Args:
        run: the run's name, or that of a folder of data/<layer>/ that runs share.
    """
    path = run_folder(project, layer, run) / LOCK_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        logger.warning("Run %r is in use by another process (%s); waiting.", run, lock.read().strip())
        fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate(0)
    print(f"process {os.getpid()} on {socket.gethostname()}", file=lock, flush=True)
    for folder in project.glob(f"data/*/{run}"):
        for torn in [*folder.glob(TORN), *folder.glob(f"*/{TORN}")]:
            remove(torn)
    return lock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds this lock, then holds it."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process, of this machine or another, holds this lock."""
    try:
        with path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
