"""Writing that leaves a whole file or folder, or nothing; reading that says what to do with one that is not whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from autosimulate_pipeline.annotations.checked_files import in_one_line

TORN = ".*.part"
"""Names of what a process was writing, or replacing, when it was killed."""


class DamagedFileError(ValueError):
    """A file of a run that cannot be read; the run makes it anew once it is deleted."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write a file or folder to; on success it takes the place of `target`, on failure it is removed.

    It is on the disk before it is renamed, so that a power cut does not leave an empty file of the right name.

    Raises:
        OSError: from writing, such as a full disk; `target`, file or folder, is then as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, replaced = (target.with_name(f".{target.name}.{os.getpid()}.{what}.part") for what in ("new", "old"))
    try:
        yield draft
        for file in [draft, *draft.rglob("*")]:
            _flush(file)
        if target.is_dir():  # it cannot be replaced in one step; a kill in between leaves it missing, not torn
            target.rename(replaced)
        draft.replace(target)
    finally:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        remove(draft)
        remove(replaced)


def remove(path: Path) -> None:
    """The file or folder is gone, if it was there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Reads a file or folder of a run's.

    Raises:
        DamagedFileError: if it is there and makes no sense, whatever its reader raises; one line that says what to do.
        OSError: if the system does not give it.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as failure:
        is_incomplete = isinstance(failure, FileNotFoundError) and path.exists()
        if isinstance(failure, OSError) and failure.errno is not None and not is_incomplete:
            raise
        raise DamagedFileError(
            f"{os.path.relpath(path)} is damaged ({_reason(failure)}): delete it, and the same command makes it again"
        ) from failure


def _reason(failure: Exception) -> str:
    if isinstance(failure, ValidationError):
        first = failure.errors()[0]
        return ": ".join([*map(str, first["loc"]), first["msg"]])
    return in_one_line(failure)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
