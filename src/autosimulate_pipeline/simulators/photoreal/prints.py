"""Printed matter for the photorealistic rooms, drawn in code: magazines, pages, screens, labels, a board of markers.

Photographs on them are pieces of the panoramas that light the rooms. All is drawn from fixed seeds: every process
draws the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

TILE = 384
"""Width and height of one print in pixels."""

TILES_PER_ROW = 4
KINDS = ("cover",) * 6 + ("page", "page", "text", "text", "photo", "screen", "screen", "label", "label", "label")
"""What the tiles of the atlas show, row by row from the top."""

BOARD_SIZE = 1024
"""Width and height of the board of markers in pixels."""

BOARD_MARKERS = 6
"""Markers along each side of the board, as in LineMOD."""

WORDS = (
    *("the", "light", "of", "open", "matter", "field", "guide", "new", "digital", "garden", "model", "journal"),
    *("measure", "colour", "north", "winter", "code"),
)


def print_atlas(panoramas: Sequence[Picture]) -> Picture:
    """All prints in one picture, so that a change of print is a change of texture coordinates.

    Args:
        panoramas: sRGB, each of shape (height, 2 height, 3).

    Returns: shape (TILES_PER_ROW TILE, TILES_PER_ROW TILE, 3), uint8.
    """
    draw = {"cover": _cover, "page": _page, "text": _text, "photo": _photo, "screen": _screen, "label": _label}
    tiles = [
        np.asarray(draw[kind](np.random.default_rng(seed), panoramas).resize((TILE, TILE), Image.Resampling.LANCZOS))
        for seed, kind in enumerate(KINDS)
    ]
    rows = [np.concatenate(tiles[i : i + TILES_PER_ROW], axis=1) for i in range(0, len(tiles), TILES_PER_ROW)]
    return np.concatenate(rows)


def marker_board(panoramas: Sequence[Picture]) -> Picture:
    """LineMOD's kind of board: white, square markers along its four edges, magazines glued inside.

    Returns: shape (BOARD_SIZE, BOARD_SIZE, 3), uint8.
    """
    generator = np.random.default_rng(100)
    board = Image.new("RGB", (BOARD_SIZE, BOARD_SIZE), (238, 239, 240))
    low, high = int(0.16 * BOARD_SIZE), int(0.84 * BOARD_SIZE)
    inside = Image.new("RGB", (high - low, high - low), (70, 90, 120))
    for corner in ((-40, -60), (330, -30), (-70, 300), (260, 340), (120, 150)):
        magazine = _cover(generator, panoramas).resize((360, 470)).convert("RGBA")
        turned = magazine.rotate(generator.uniform(-14, 14), expand=True, resample=Image.Resampling.BICUBIC)
        inside.paste(turned, corner, turned)
    board.paste(inside, (low, low))
    canvas = ImageDraw.Draw(board)
    pitch = BOARD_SIZE / BOARD_MARKERS
    edge = (0, BOARD_MARKERS - 1)
    for row, column in np.ndindex(BOARD_MARKERS, BOARD_MARKERS):
        if row in edge or column in edge:
            _draw_marker(canvas, (column + 0.5) * pitch, (row + 0.5) * pitch, 0.36 * pitch, generator)
    return np.asarray(board)


def _draw_marker(canvas: ImageDraw.ImageDraw, x: float, y: float, half: float, generator: np.random.Generator) -> None:
    """A black square with a white figure of 4 × 4 cells in its middle, whose corners tell it from the others."""
    canvas.rectangle((x - half, y - half, x + half, y + half), fill=(18, 18, 20))
    is_white = np.ones((4, 4), dtype=bool)
    is_white[[0, 0, 3, 3, 0, 3], [0, 3, 0, 3, 1, 2]] = generator.random(6) < 0.5
    cell = half / 4
    for row, column in np.argwhere(is_white):
        left, top = x + (column - 2) * cell, y + (row - 2) * cell
        canvas.rectangle((left, top, left + cell, top + cell), fill=(238, 239, 240))


def _crop(generator: np.random.Generator, panoramas: Sequence[Picture], width: int, height: int) -> Image.Image:
    """A piece of a panorama about its horizon, its colours changed a little."""
    panorama = panoramas[generator.integers(len(panoramas))]
    tall, wide = panorama.shape[:2]
    crop_height = int(tall * generator.uniform(0.25, 0.4))
    crop_width = min(int(crop_height * width / height), wide - 1)
    top = int(tall * generator.uniform(0.3, 0.45))
    left = int(generator.integers(wide - crop_width))
    piece = panorama[top : top + crop_height, left : left + crop_width].astype(np.float64) / 255
    piece = piece / max(float(np.percentile(piece, 97)), 0.05)
    grey = piece.mean(axis=-1, keepdims=True)
    coloured = np.clip(grey + (piece - grey) * 1.5, 0, 1) * generator.uniform(0.75, 1.0, 3)
    image = Image.fromarray((255 * np.clip(coloured, 0, 1)).astype(np.uint8))
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _colour(generator: np.random.Generator, darkest: int = 10, lightest: int = 240) -> tuple[int, int, int]:
    """A colour in which one channel is strong and one weak."""
    channels = generator.permutation([lightest, darkest, int(generator.integers(darkest, lightest))])
    red, green, blue = (int(channel) for channel in channels * generator.uniform(0.5, 1.0))
    return red, green, blue


def _title(generator: np.random.Generator, num_words: int) -> str:
    return " ".join(generator.choice(WORDS, num_words))


def _lines(canvas: ImageDraw.ImageDraw, box: tuple[int, int, int, int], step: int, ink: int, seed: int) -> None:
    """Small type that fills the box."""
    generator = np.random.default_rng(seed)
    font = ImageFont.load_default(step * 0.85)
    left, top, right, bottom = box
    for y in range(top, bottom - step, step):
        text, x = "", left
        while x < right - 2 * step:
            text += f"{generator.choice(WORDS)} "
            x = left + int(canvas.textlength(text, font=font))
        canvas.text((left, y), text[:-4], fill=(ink, ink, ink), font=font)


def _cover(generator: np.random.Generator, panoramas: Sequence[Picture]) -> Image.Image:
    """The front of a magazine: a photograph or a plain colour, a title, lines of type."""
    image = Image.new("RGB", (384, 512), _colour(generator, darkest=5, lightest=230))
    canvas = ImageDraw.Draw(image)
    if generator.random() < 0.6:
        image.paste(_crop(generator, panoramas, 384, 512), (0, 0))
    else:
        image.paste(_crop(generator, panoramas, 340, 260), (22, 130))
    for _ in range(generator.integers(1, 4)):
        x, y = generator.uniform(0, 384), generator.uniform(100, 512)
        radius = generator.uniform(20, 90)
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(generator))
    if generator.random() < 0.6:
        canvas.rectangle((0, 0, 384, 100), fill=_colour(generator))
    white = (245, 245, 240)
    canvas.text((14, 12), _title(generator, 1).upper(), fill=white, font=ImageFont.load_default(68))
    canvas.text((16, 400), _title(generator, 3), fill=white, font=ImageFont.load_default(34))
    canvas.text((16, 450), _title(generator, 5), fill=_colour(generator, darkest=120), font=ImageFont.load_default(20))
    return image


def _page(generator: np.random.Generator, panoramas: Sequence[Picture]) -> Image.Image:
    """A page of a magazine: photograph, headline, two columns."""
    image = Image.new("RGB", (384, 512), (236, 234, 228))
    image.paste(_crop(generator, panoramas, 384, 210), (0, 0))
    canvas = ImageDraw.Draw(image)
    canvas.text((20, 222), _title(generator, 3), fill=(30, 30, 30), font=ImageFont.load_default(30))
    for left in (20, 200):
        _lines(canvas, (left, 270, left + 165, 500), 10, 60, int(generator.integers(99)))
    return image


def _text(generator: np.random.Generator, _panoramas: Sequence[Picture]) -> Image.Image:
    """A sheet of office paper with type on it."""
    image = Image.new("RGB", (384, 512), (240, 241, 242))
    canvas = ImageDraw.Draw(image)
    canvas.text((50, 34), _title(generator, 3), fill=(20, 20, 20), font=ImageFont.load_default(22))
    _lines(canvas, (50, 80, 340, 300), 13, 50, int(generator.integers(99)))
    canvas.rectangle((50, 320, 330, 430), outline=(60, 60, 60))
    for left in range(70, 320, 36):
        canvas.rectangle((left, 430 - int(generator.uniform(20, 100)), left + 22, 430), fill=_colour(generator))
    return image


def _photo(generator: np.random.Generator, panoramas: Sequence[Picture]) -> Image.Image:
    return _crop(generator, panoramas, 512, 384)


def _screen(generator: np.random.Generator, panoramas: Sequence[Picture]) -> Image.Image:
    """A computer's screen: a photograph behind one or two windows."""
    image = _crop(generator, panoramas, 640, 400)
    canvas = ImageDraw.Draw(image)
    for _ in range(generator.integers(0, 3)):
        x, y = int(generator.integers(20, 280)), int(generator.integers(20, 150))
        canvas.rectangle((x, y, x + 300, y + 200), fill=(238, 240, 243))
        canvas.rectangle((x, y, x + 300, y + 16), fill=(60, 90, 150))
        _lines(canvas, (x + 12, y + 26, x + 290, y + 190), 11, 70, int(generator.integers(99)))
    canvas.rectangle((0, 386, 640, 400), fill=(40, 60, 110))
    return image


def _label(generator: np.random.Generator, panoramas: Sequence[Picture]) -> Image.Image:
    """A side of a cardboard package."""
    image = Image.new("RGB", (400, 400), _colour(generator, darkest=60, lightest=235))
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, 250, 400, 330), fill=_colour(generator))
    image.paste(_crop(generator, panoramas, 150, 120), (210, 70))
    canvas.text((20, 60), _title(generator, 1), fill=(250, 250, 250), font=ImageFont.load_default(62))
    canvas.text((20, 265), _title(generator, 2), fill=(250, 250, 250), font=ImageFont.load_default(40))
    _lines(canvas, (20, 150, 195, 240), 12, 40, int(generator.integers(99)))
    return image
