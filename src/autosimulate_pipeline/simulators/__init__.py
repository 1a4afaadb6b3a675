"""Simulators: scenes in, annotated images out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autosimulate_pipeline.simulators.base import Simulator
from autosimulate_pipeline.simulators.clevr.simulator import Clevr
from autosimulate_pipeline.simulators.external.settings import ExternalSettings
from autosimulate_pipeline.simulators.external.simulator import External
from autosimulate_pipeline.simulators.own import ENTRY_POINTS, OwnSimulator, find_class, installed_simulators
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealSettings
from autosimulate_pipeline.simulators.toy import ToySimulator
from autosimulate_pipeline.workers.pool import ParallelSettings

__all__ = ["SIMULATORS", "ParallelSettings", "Simulator", "build_simulator", "check_name"]


class NoOptions(BaseModel):
    """Of simulators that have none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _photoreal(settings: PhotorealSettings, parallel: ParallelSettings) -> Simulator:
    from autosimulate_pipeline.simulators.photoreal.simulator import Photoreal  # trimesh takes a second to import

    return Photoreal(settings, parallel)


SIMULATORS: dict[str, tuple[type[BaseModel], Callable[[Any, ParallelSettings], Simulator]]] = {
    "clevr": (NoOptions, lambda _options, parallel: Clevr(parallel)),
    "external": (ExternalSettings, External),
    "photoreal": (PhotorealSettings, _photoreal),
    "toy": (NoOptions, lambda _options, _parallel: ToySimulator()),
}
"""By name: what its options are, and how it is built from them. Any other name is a user's class, see `own`."""


def check_name(name: str) -> None:
    """Raises ValueError if `name` is no simulator: none of ours, of an installed package, or of the user's modules."""
    if name in SIMULATORS:
        return
    installed = installed_simulators()
    if ":" not in name and name not in installed:
        known = ", ".join((*SIMULATORS, *installed))
        raise ValueError(
            f"must be one of {known}, a name of the entry point group {ENTRY_POINTS}, or a class as "
            f"package.module:Class, got {name!r}"
        )
    find_class(name)


def build_simulator(name: str, options: Mapping[str, Any], parallel: ParallelSettings) -> Simulator:
    """The simulator of that name.

    Raises:
        ValueError: if an option is wrong, or an asset that it names cannot be read.
        FileNotFoundError: if such an asset is missing.
        TypeError: if a user's class is malformed.
    """
    if name not in SIMULATORS:
        return OwnSimulator(name, options, parallel)
    model, build = SIMULATORS[name]
    try:
        settings = model.model_validate(dict(options))
    except ValidationError as failure:
        complaints = []
        for error in failure.errors():
            key, message = ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
            if error["type"] == "extra_forbidden":
                complaints.append(f"{name} has no option {key}, only {_keys_beside(model, error['loc'])}")
            elif error["type"] == "value_error":  # of a validator of ours, which names the value itself
                complaints.append(f"{key}: {message}" if key else message)
            else:
                complaints.append(f"{key}: {message[0].lower()}{message[1:]}, got {error['input']!r}")
        raise ValueError("; ".join(complaints)) from None
    return build(settings, parallel)


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """The names of the settings in the block of a key; `none` if there are none."""
    fields = model.model_fields
    for part in location[:-1]:
        block = fields[str(part)].annotation if str(part) in fields else None
        fields = getattr(block, "model_fields", {})
    return ", ".join(fields) or "none"
