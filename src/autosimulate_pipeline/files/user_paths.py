"""Paths as users write them, in conf and on the command line: `~` is their home, and a typing error is named as one."""

from __future__ import annotations

from pathlib import Path


def expanded(path: Path) -> Path:
    """The path with a leading `~` or `~name` replaced by that home folder; unchanged where nobody has that name."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def existing_folder(path: Path) -> Path:
    """The folder at this path, `~` expanded.

    Raises:
        FileNotFoundError: if nothing is there; for a relative path the message names the folder it starts from.
        NotADirectoryError: if it is a file.
    """
    folder = expanded(path)
    if not folder.exists():
        start = "" if folder.is_absolute() else f" in {Path.cwd()}"
        raise FileNotFoundError(f"{path} is missing: there is no such folder{start}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{path} must be a folder, got a file")
    return folder
