"""Writing that leaves a whole file or folder, or nothing; reading that says what to do with one that is not whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from pydantic import ValidationError

from autosimulate_pipeline.files.checked_files import in_one_line

TORN = ".*.part"
"""Names of what a process was writing, or replacing, when it was killed."""


class DamagedFileError(ValueError):
    """A file of a run whose content cannot be read; rerunning the command regenerates it once it is deleted."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write a file or folder to; on success it takes the place of `target`, on failure it is removed.

    File, folder and rename reach the disk before the next step, so that a power cut leaves no empty file under the
    name of a whole one. The path is random: several machines may write to one file system.

    Raises:
        OSError: from writing, such as a full disk; `target`, file or folder, is then as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    token = token_hex(4)
    draft, replaced = (target.with_name(f".{target.name}.{token}.{what}.part") for what in ("new", "old"))
    try:
        yield draft
        for file in [draft, *draft.rglob("*")]:
            _flush(file)
        if target.is_dir():  # it cannot be replaced in one step; a kill in between leaves it missing, not torn
            target.rename(replaced)
        draft.replace(target)
        _flush(target.parent)
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
def reading(path: Path, *unreadable: type[Exception]) -> Iterator[None]:
    """Names a file or folder of a run, and what to do, where its content cannot be read.

    Args:
        unreadable: what the reader raises for such content, besides ValueError and an OSError without a number. Every
            other exception is a fault of the code, not of the file, and passes.

    Raises:
        DamagedFileError: if the file is there and its content cannot be read, or does not fit the code; one line.
        OSError: if the file is missing, or the system refuses to read it.
    """
    expected: tuple[type[Exception], ...] = (ValueError, OSError, *unreadable)
    try:
        yield
    except expected as failure:
        shown = os.path.relpath(path)
        if isinstance(failure, FileNotFoundError):
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), shown) from failure
        elif isinstance(failure, OSError) and failure.errno is not None:
            raise
        what, remedy = f"is damaged ({in_one_line(failure)})", "delete it and rerun the command to regenerate it"
        if isinstance(failure, ValidationError):
            first = failure.errors()[0]
            reason = ": ".join([*map(str, first["loc"]), first["msg"]])
            what = f"is damaged ({reason})"
            if first["type"] != "json_invalid":  # files appear whole: whole JSON of other fields is other code's
                what = f"does not fit this version of the code ({reason})"
                remedy = f"use the version that wrote it, or {remedy}"
        raise DamagedFileError(f"{shown} {what}: {remedy}") from failure


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
