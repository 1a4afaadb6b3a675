"""A simulator together with the distribution of its scenes."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.loop.scenes import scenes_of, seeds_of
from autosimulate_pipeline.records import AnnotatedDataset, Progress
from autosimulate_pipeline.simulators import ParallelSettings, Simulator, build_simulator, check_name


class SimulatorSettings(BaseModel):
    """Which simulator, and p_ψ at the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(
        "clevr", description="`clevr`, `photoreal`, `toy`, `external`, an entry point's name, or `package.module:Class`"
    )
    options: dict[str, Any] = Field({}, description="what is the same in every image; the simulator's own")
    parameters: ProductDistribution = Field(
        description="p_ψ at the start; null switches a parameter off, to its fixed value"
    )

    @field_validator("type")
    @classmethod
    def _is_known(cls, name: str) -> str:
        check_name(name)
        return name

    def build(self, parallel: ParallelSettings) -> Simulator:
        """The simulator itself."""
        return build_simulator(self.type, self.options, parallel)

    def owners(self, categories: tuple[str, ...]) -> dict[str, int]:
        """The category, counted from 1, of the object that a parameter belongs to; see `Simulator.owners`."""
        return numbered_owners(self.build(ParallelSettings()), self.parameters, categories)

    def check(self, block: str = "simulator") -> Simulator:
        """The simulator, once it is known to render all that the distribution reaches.

        Args:
            block: conf's, that options and parameters come from.

        Raises:
            ValueError: naming the key, if it does not; or if it does not take an option, cannot read its assets, or is
                a user's class and no simulator.
        """
        try:
            simulator = self.build(ParallelSettings())
        except (ValueError, OSError) as failure:
            raise ValueError(f"{block}.options: {failure}") from None
        except TypeError as failure:
            raise ValueError(f"simulator.type: {failure}") from None
        for scene in self.parameters.extremes():
            try:
                simulator.check(scene)
            except ValueError as failure:
                raise ValueError(f"{block}.parameters: {failure}") from None
        return simulator


def numbered_owners(
    simulator: Simulator, distribution: ProductDistribution, categories: tuple[str, ...]
) -> dict[str, int]:
    """The category, counted from 1, of the object that a parameter of the distribution belongs to."""
    owners = simulator.owners
    return {name: 1 + categories.index(owners[name]) for name in distribution.parameters if name in owners}


def render_scenes(
    simulator: SimulatorSettings, parallel: ParallelSettings, table: pd.DataFrame, progress: Progress
) -> AnnotatedDataset:
    """The table's scenes as annotated images, in its order."""
    return simulator.build(parallel).render(scenes_of(table), seeds_of(table), progress)
