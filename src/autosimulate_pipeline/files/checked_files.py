"""Files of a folder that may be a stranger's: known to lie in it, and to be of a sensible size, before they are read.

Every refusal is one line that names the file.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import AfterValidator, TypeAdapter, ValidationError

MAX_JSON_BYTES = 200_000_000
MAX_NAME = 255  # characters; file systems end at as many bytes
MAX_SIDE = 8192  # pixels; a larger image is more likely a decompression bomb than a photograph

_Content = TypeVar("_Content")


def is_name(value: object) -> bool:
    """Whether it can be the name of a file, a category or an object: a text of one line, no control character in it."""
    is_text = isinstance(value, str) and 0 < len(value) <= MAX_NAME
    return is_text and not any(unicodedata.category(character).startswith("C") for character in str(value))


def _checked_name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"must be 1 to {MAX_NAME} characters without line breaks and the like")
    return name


Name = Annotated[str, AfterValidator(_checked_name)]


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself: Pillow's mode, and width and height as stored, not turned by EXIF."""

    mode: str
    size: tuple[int, int]


def in_one_line(error: object) -> str:
    """The error's words, line breaks taken out; its kind, where it has no words."""
    return " ".join(str(error).split()) or type(error).__name__


def is_file(path: Path) -> bool:
    """Whether the path is a regular file, links followed; neither a name too long nor links in a circle are one."""
    try:
        return path.is_file()
    except (OSError, RuntimeError):
        return False


def check_inside(path: Path, root: Path) -> None:
    """Raises ValueError if the path leads out of `root`, links followed."""
    try:
        is_inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # as `is_file`: this leads nowhere
        return
    if not is_inside:
        way = f"a link to {str(path.readlink())!r}" if path.is_symlink() else "a way out of it"
        raise ValueError(f"{path} must stay inside {root}, got {way}")


def check_file(path: Path, root: Path, missing: str = "") -> None:
    """Nothing, if the path is a file in `root`, links followed.

    Args:
        missing: what is said of a file that is not there.

    Raises:
        ValueError: if the path leads out of `root`.
        FileNotFoundError: if there is no such file.
    """
    check_inside(path, root)
    if not is_file(path):
        raise FileNotFoundError(f"{path} is missing{missing}")


def read_json(path: Path, root: Path, wanted: TypeAdapter[_Content], missing: str = "") -> _Content:
    """What the file holds, as `wanted`; the arguments are those of `check_file`.

    Raises:
        FileNotFoundError, ValueError: as `check_file`; or if the file is too large, no JSON, or not as wanted.
    """
    content = _read_bytes(path, root, MAX_JSON_BYTES, missing).removeprefix(codecs.BOM_UTF8)
    try:
        return wanted.validate_json(content)
    except ValidationError as failure:
        first = failure.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:80] or "content"
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {place.encode('unicode_escape').decode()}: {message}") from None


def read_text(path: Path, root: Path, max_bytes: int) -> str:
    """The file's text, without a byte order mark; errors as of `read_json`."""
    try:
        return _read_bytes(path, root, max_bytes).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as failure:
        raise ValueError(f"{path} must be text in UTF-8: {failure.reason} at byte {failure.start}") from None


def read_header(path: Path, content: bytes | None = None) -> ImageHeader:
    """The image's header; no pixel is decoded.

    Args:
        content: of an image that lies within another file; `path` then only names it.

    Raises:
        ValueError: if the file is no PNG or JPEG image, or has a side above `MAX_SIDE`.
    """
    with _opened(path, content) as opened:
        return ImageHeader(opened.mode, opened.size)


def read_pixels(path: Path, mode: str | None = None, *, turned: bool = False) -> NDArray[Any]:
    """The decoded pixels, shape (height, width) or (height, width, channels), as Pillow gives them.

    Args:
        mode: Pillow's, to convert to.
        turned: whether the image is turned as its EXIF orientation says.

    Raises:
        ValueError: as `read_header`, or if the file is cut off or damaged.
    """
    with _opened(path) as opened:
        image = ImageOps.exif_transpose(opened) if turned else opened
        return np.asarray(image.convert(mode) if mode else image)


@contextmanager
def _opened(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    file = path if content is None else io.BytesIO(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at here
            image = Image.open(file, formats=("PNG", "JPEG"))
        with image as opened:
            size = opened.size
            if max(size) <= MAX_SIDE:
                yield opened
                return
    except Exception as error:  # Pillow raises whatever its decoders stumble over
        raise ValueError(f"{path} must be a PNG or JPEG image: {in_one_line(error)}") from None
    raise ValueError(f"{path} must be at most {MAX_SIDE} px a side, got {size[0]}x{size[1]}")


def _read_bytes(path: Path, root: Path, max_bytes: int, missing: str = "") -> bytes:
    check_file(path, root, missing)
    if (num_bytes := path.stat().st_size) > max_bytes:
        raise ValueError(f"{path} must have at most {max_bytes} bytes, got {num_bytes}")
    return path.read_bytes()
