"""Okabe and Ito's colours, safe for the colour-blind, and what each stands for."""

from __future__ import annotations

import numpy as np

from autosimulate_pipeline.records import STAGES

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILION, SKY, YELLOW, BLACK, GREY = "#D55E00", "#56B4E9", "#F0E442", "#000000", "#7F7F7F"

LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY, YELLOW)
"""Of lines, in this order; the first is for what a figure is about."""

CATEGORY_LINES = tuple(LINES.index(hue) for hue in (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, YELLOW, GREY))
"""Of object categories, as indices into `LINES`: category i has number i - 1, repeating."""

CATEGORIES = np.array([tuple(bytes.fromhex(LINES[index][1:])) for index in CATEGORY_LINES])
"""The same as RGB, shape (8, 3)."""

STAGE_COLOURS = dict(zip((*STAGES, "other"), (ORANGE, YELLOW, GREEN, SKY, BLUE, PURPLE, VERMILION, GREY), strict=True))


def category_line(category: int) -> int:
    """Index into `LINES` of a category, from 1."""
    return CATEGORY_LINES[(category - 1) % len(CATEGORY_LINES)]


def category_colour(category: int) -> tuple[int, int, int]:
    """RGB, 0 to 255, of a category, from 1."""
    red, green, blue = CATEGORIES[(category - 1) % len(CATEGORIES)].tolist()
    return red, green, blue
