"""Scenes as a table: one row a scene, what is scored beside what is rendered."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.distributions.product import DRAW_SUFFIX, SEED_COLUMN
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import Scene


def draw_scenes(distribution: ProductDistribution, num_scenes: int, seed: int, *purpose: str | int) -> pd.DataFrame:
    """`num_scenes` scenes from p_ψ.

    Columns: `seed` for the renderer's randomness, `<parameter>` as rendered (clipped to the range, in its units) and
    `<parameter>.draw` as drawn and scored (unclipped; the index of a category).
    """
    draws = distribution.sample(num_scenes, derive_generator(seed, "scenes", *purpose))
    values = pd.DataFrame(distribution.scenes(draws))
    scored = pd.DataFrame(draws.numpy(), columns=[name + DRAW_SUFFIX for name in distribution.parameters])
    seeds = pd.Series([derive_seed(seed, "render", *purpose, k) for k in range(num_scenes)], name=SEED_COLUMN)
    return pd.concat([seeds, values, scored], axis=1)


def scenes_of(table: pd.DataFrame) -> list[Scene]:
    """What the simulator gets."""
    names = [name for name in table.columns if name != SEED_COLUMN and not name.endswith(DRAW_SUFFIX)]
    return [dict(zip(names, row, strict=True)) for row in table[names].itertuples(index=False, name=None)]


def seeds_of(table: pd.DataFrame) -> list[int]:
    """The render seed of each scene."""
    return [int(seed) for seed in table[SEED_COLUMN]]


def draws_of(table: pd.DataFrame) -> Tensor:
    """The unclipped draws, shape (num_scenes, num_dimensions), float64."""
    names = [name for name in table.columns if name.endswith(DRAW_SUFFIX)]
    return torch.from_numpy(table[names].to_numpy(dtype="float64", copy=True))
