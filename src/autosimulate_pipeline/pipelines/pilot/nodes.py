"""Pilot scenes: uniform over all that the learned parameters may be."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.loop.scenes import draw_scenes
from autosimulate_pipeline.loop.simulation import SimulatorSettings


class PilotSettings(BaseModel):
    """Images rendered before any search, uniformly over the learned parameters' ranges; runs that need the same share
    them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(
        100, ge=0, description="for inference, pretraining and the run's own network; counted in every budget"
    )
    seed: int | None = Field(None, ge=0, description="of scenes and renders; null: the run's")


def sample_pilot_scenes(simulator: SimulatorSettings, settings: PilotSettings, seed: int) -> pd.DataFrame:
    """Scenes drawn uniformly over the ranges of the learned parameters; the others as conf has them."""
    own_seed = seed if settings.seed is None else settings.seed
    return draw_scenes(simulator.parameters.uniform(), settings.num_images, own_seed, "pilot")
