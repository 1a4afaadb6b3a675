"""The files of photographs in a labelled folder: found under the names that labelling tools write, links followed.

A name is often spelled for another system than this one: macOS takes ö apart (Unicode's NFD), Windows writes
backslashes, Label Studio begins with `images/`, and others write a space as %20. Each of these names the same file.

A split is often made of links (`ln -s`, DVC, git-annex). A link may lead anywhere, if a regular file is at its end;
whether this is a PNG or JPEG image is found out before a pixel is decoded. All other files stay in the folder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from autosimulate_pipeline.files.checked_files import check_file, is_file, is_name


def find_photograph(images: Path, name: str, root: Path, missing: str = "") -> Path:
    """The file below the folder `images` that is named so, or has that name in another spelling.

    Args:
        root: the labelled folder; `images` is in it.
        missing: what is said of a file that is not there.

    Raises:
        FileNotFoundError, ValueError: as `check_photograph`; of a missing file the message shows what is named alike.
    """
    path = images / name
    if not is_file(path):
        others = (_named_alike(images, spelling) for spelling in _spellings(name))
        path = next((other for other in others if other is not None), None) or path
        missing += _hint(images, name)
    check_photograph(path, root, missing)
    return path


def check_photograph(path: Path, root: Path, missing: str = "") -> None:
    """Nothing, if the path is a file in `root`, or a link in `root` that leads to a regular file.

    Args:
        missing: what is said of a file that is not there.

    Raises:
        ValueError: if the path itself leads out of `root`, or the file is empty.
        FileNotFoundError: if there is no such file.
    """
    if not path.is_relative_to(root) or ".." in path.relative_to(root).parts:
        check_file(path, root, missing)
    if not is_file(path):
        raise FileNotFoundError(f"{path} is missing{missing}{_end_of_link(path)}")
    if not path.stat().st_size:  # files of /proc and /sys among them: some would be waited for
        raise ValueError(f"{path} must be a PNG or JPEG image, got an empty file")


def _end_of_link(path: Path) -> str:
    try:
        return f"; it is a link to {str(path.readlink())!r}, where no file is"
    except OSError:  # no link, or not there
        return ""


def _spellings(name: str) -> Iterator[str]:
    """Other spellings of the name, the likeliest first."""
    plain = name.replace("\\", "/")
    for spelling in dict.fromkeys((plain, unquote(plain))):
        if is_name(spelling):
            yield spelling
            yield spelling.removeprefix("./").removeprefix("images/")


def _named_alike(images: Path, spelling: str) -> Path | None:
    """The file below `images` whose name is this one, if NFC and NFD count as equal."""
    parts = PurePosixPath(spelling).parts
    if not parts or spelling.startswith("/") or ".." in parts:
        return None
    path = images
    for part in parts:
        names = _names(path)
        path /= names.get(part) or names.get(unicodedata.normalize("NFC", part), part)
    return path if is_file(path) else None


def _hint(images: Path, name: str) -> str:
    """What file may be meant: its name differs in its suffix, or in small and capital letters, or lies elsewhere."""
    wanted = PurePosixPath(name.replace("\\", "/"))
    is_below = not (wanted.is_absolute() or ".." in wanted.parts)
    for folder in dict.fromkeys([images / wanted.parent, images] if is_below else [images]):
        for other in _names(folder).values():
            if _folded(other) == _folded(wanted.name) and is_name(other):
                return f"; {folder} has {other}"
    return ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(name).stem).casefold()


def _names(folder: Path) -> dict[str, str]:
    """The names in a folder, by themselves and by their NFC forms."""
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=64)
def _listed(folder: Path, _modified: int) -> dict[str, str]:
    names = sorted(path.name for path in folder.iterdir())
    return {unicodedata.normalize("NFC", name): name for name in names} | {name: name for name in names}
