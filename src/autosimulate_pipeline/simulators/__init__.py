"""Simulators: scenes in, annotated images out."""

from __future__ import annotations

from collections.abc import Callable

from autosimulate_pipeline.simulators.base import Simulator
from autosimulate_pipeline.simulators.clevr import Clevr
from autosimulate_pipeline.simulators.rendering.pool import ParallelSettings
from autosimulate_pipeline.simulators.toy import ToySimulator

SIMULATORS: dict[str, Callable[[ParallelSettings], Simulator]] = {
    "clevr": Clevr,
    "toy": lambda _parallel: ToySimulator(),
}

__all__ = ["SIMULATORS", "ParallelSettings", "Simulator"]
