"""Photographs as 8-bit sRGB: turned as EXIF says, laid on white where they are transparent, 16 bits scaled down."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.files.checked_files import read_header, read_pixels

TRANSPARENT = "laid {image|images} with transparent parts on white"
DEEP = "scaled {image|images} of 16 bits a channel to 8: their values reach {most}"

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras fill of the 16 that a file has."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_BITS_AT = 24  # bits a channel, in the header chunk


class Photographs:
    """Reads image files of one folder, whose values mean the same.

    Args:
        paths: of all its images: 16-bit values are scaled by what the largest of them all reaches.
    """

    def __init__(self, paths: Iterable[Path], notices: Notices) -> None:
        self._paths, self._notices = paths, notices

    def read(self, path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
        """sRGB, shape (height, width, 3), turned as EXIF says.

        Args:
            size: width and height that the image must have then. Nothing larger is decoded.

        Raises:
            ValueError: if it is no PNG or JPEG, damaged, or of another size.
        """
        pixels = None
        stored = read_header(path).size
        if sorted(stored) == sorted(size):  # which side is which, only the pixels tell
            pixels = self._shallow(path) if has_16_bits(path) else read_pixels(path, "RGBA", turned=True)
        height, width = stored[::-1] if pixels is None else pixels.shape[:2]
        if pixels is None or (width, height) != size:
            raise ValueError(f"{path} must be {size[0]}x{size[1]} as in annotations.json, got {width}x{height}")
        return self._opaque(pixels)

    def _opaque(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Without the fourth channel, alpha."""
        colours, alpha = pixels[..., :3], pixels[..., 3:]
        if alpha.min(initial=255) == 255:
            return np.ascontiguousarray(colours)
        self._notices.add(TRANSPARENT)
        share = alpha.astype(np.float32) / 255
        return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)

    def _shallow(self, path: Path) -> NDArray[np.uint8]:
        """An image of 16 bits as RGBA of 8."""
        pixels = _read_16_bits(path).astype(np.float32)
        self._notices.add(DEEP, amount=self._largest)
        bits = next(bits for bits in _DEPTHS if self._largest < 2**bits)
        num_channels = pixels.shape[2]
        has_alpha = num_channels in (2, 4)
        colours = pixels[..., : num_channels - has_alpha] * (255 / (2**bits - 1))
        alpha = pixels[..., -1:] * (255 / 65535) if has_alpha else np.full_like(pixels[..., :1], 255)
        rgb = np.broadcast_to(colours, (*colours.shape[:2], 3))
        return np.rint(np.concatenate([rgb, alpha], axis=2)).astype(np.uint8)

    @cached_property
    def _largest(self) -> int:
        """The largest colour of the folder's images of 16 bits; alpha is none."""
        largest = 0
        for path in self._paths:
            if has_16_bits(path):
                pixels = _read_16_bits(path)
                largest = max(largest, int(pixels[..., : pixels.shape[2] - (pixels.shape[2] in (2, 4))].max()))
        return largest


def has_16_bits(path: Path) -> bool:
    """Whether it is a PNG of 16 bits a channel; Pillow keeps the upper 8 of RGB, and says nothing of it."""
    with path.open("rb") as file:
        start = file.read(_PNG_BITS_AT + 1)
    return start.startswith(_PNG_START) and start[_PNG_BITS_AT:] == b"\x10"


def _read_16_bits(path: Path) -> NDArray[np.uint16]:
    """The PNG's pixels as they are, shape (height, width, channels).

    Raises:
        ValueError: as `read_pixels`, which decodes all files but keeps 8 bits.
    """
    read_pixels(path)
    import torch  # torchvision takes seconds to import, and such files are rare
    from torchvision.io import decode_png

    file = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    return decode_png(file).permute(1, 2, 0).numpy()
