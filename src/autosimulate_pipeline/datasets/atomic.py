"""Writing that leaves a whole file or folder, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write a file or folder to; on success it takes the place of `target`, on failure it is removed.

    Raises:
        OSError: from writing, such as a full disk; `target` is then as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield draft
        if target.is_dir():
            shutil.rmtree(
                target
            )  # a folder cannot be replaced in one step; a kill in between leaves it missing, not torn
        draft.replace(target)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)
