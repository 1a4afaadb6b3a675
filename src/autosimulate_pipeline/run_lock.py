"""One process at a time: at a run, and at what several runs share.

The locks are open files (flock), so that they end with their process, however it ends, and hold on all machines that
share the project's folder.
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

from autosimulate_pipeline.atomic import TORN, remove
from autosimulate_pipeline.configuration import run_folder

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"


def claim(project: Path, run: str, layer: str = "08_reporting") -> TextIO:
    """The lock of the run, held until it is closed; waits, and says so, while another process has it.

    What that process, or one before it, was writing when it was killed is removed.

    Args:
        run: or a name like one, of what runs share: a folder of data/<layer>/.
    """
    path = run_folder(project, layer, run) / LOCK_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        logger.warning("Run %r waits for another process that is at it: %s.", run, lock.read().strip())
        fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate(0)
    print(f"process {os.getpid()} on {socket.gethostname()}", file=lock, flush=True)
    for folder in project.glob(f"data/*/{run}"):
        for torn in [*folder.glob(TORN), *folder.glob(f"*/{TORN}")]:
            remove(torn)
    return lock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process is within the same."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
