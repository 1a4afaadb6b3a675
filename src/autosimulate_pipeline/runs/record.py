"""A run's settings and provenance in its folder: other settings are refused, and `generate` renders by them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kedro.io import CatalogProtocol

from autosimulate_pipeline.configuration import ConfigurationError, Parameters, can_change_results, flattened
from autosimulate_pipeline.files.atomic import replacing
from autosimulate_pipeline.files.user_paths import expanded
from autosimulate_pipeline.pipelines.generate.pipeline import plan_name
from autosimulate_pipeline.pipelines.generate.plan import check_plan, plan_generation
from autosimulate_pipeline.provenance import History, Provenance, digest, provenance_of
from autosimulate_pipeline.runs.folders import RECORD_NAME, read_object

PROVENANCE_NAME = "provenance.json"
"""File name of the run's provenance, the catalog's `provenance`."""


def check_run(folder: Path, pipeline: str, parameters: Parameters) -> None:
    """Check that the run is new or was made with these settings.

    Raises:
        ConfigurationError: if it was made with others, naming the first that differ; or if a folder that a new run
            reads is not there.
    """
    path = folder / RECORD_NAME
    if not path.exists():
        try:
            parameters.reference_data.check_folders()
        except ValueError as failure:
            raise ConfigurationError(str(failure)) from None
        return
    recorded = read_object(path)
    wanted = _settings(pipeline, parameters)
    changed = [key for key in wanted | recorded if wanted.get(key) != recorded.get(key)]
    if changed:
        changes = ", ".join(f"{key}: {recorded.get(key)!r} → {wanted.get(key)!r}" for key in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ConfigurationError(
            f"run {parameters.run!r} was made with other settings ({changes}{more}); choose another name with "
            f"--params run=NAME, or delete the run's folders with make clean-run RUN={parameters.run}"
        )


def check_inputs(names: Iterable[str], catalog: CatalogProtocol[Any, Any], run: str) -> None:
    """Check that datasets exist which the nodes asked for read and do not make: `--nodes` may leave out their makers.

    Raises:
        ConfigurationError: if one is missing; the message names the first.
    """
    missing = sorted(name for name in names if not catalog.exists(name))
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise ConfigurationError(
            f"run {run!r} has no {shown} yet, which the nodes asked for read: first run it without choosing nodes"
        )


def check_generation(catalog: CatalogProtocol[Any, Any], parameters: Parameters, overrides: dict[str, Any]) -> None:
    """Check that `generate` can render from the run, and that images it has rendered before are of the same ψ.

    Raises:
        ConfigurationError: if there is no such run, it has no ψ, or the user asks for a simulator other than the run's.
    """
    for key in flattened(overrides):
        if key != "run" and not key.startswith(("generate.", "parallel.")):
            raise ConfigurationError(f"generate takes run, generate.* and parallel.*, the rest is the run's; got {key}")
    run = parameters.run
    if not catalog.exists("run_parameters"):
        raise ConfigurationError(f"run must be one that exists (--params run=NAME, in data/08_reporting), got {run!r}")
    records = catalog.load("search_records") if catalog.exists("search_records") else {}
    plan = plan_name(parameters.generate)
    try:
        wanted = plan_generation(run, catalog.load("run_parameters"), records, parameters.generate)
        if catalog.exists(plan):
            check_plan(catalog.load(plan), wanted)
    except (ValueError, OSError) as failure:
        raise ConfigurationError(str(failure)) from None


def record_run(folder: Path, pipeline: str, parameters: Parameters) -> None:
    """Record the settings of a run, before it keeps its first result."""
    if not (folder / RECORD_NAME).exists():
        with replacing(folder / RECORD_NAME) as draft:
            draft.write_text(json.dumps(_settings(pipeline, parameters), indent=1) + "\n", encoding="utf-8")


def record_provenance(catalog: CatalogProtocol[Any, Any], parameters: Parameters) -> Provenance:
    """The run's provenance now, appended to its history where it is new; the inputs are those of the run's start."""
    history: History = catalog.load("provenance") if catalog.exists("provenance") else ()
    inputs = history[0].inputs if history else {key: digest(path) for key, path in _inputs(parameters).items()}
    provenance = provenance_of(inputs)
    if provenance not in history:
        catalog.save("provenance", (*history, provenance))
    return provenance


def _inputs(parameters: Parameters) -> dict[str, Path]:
    """The user's files and folders that the run reads, by the parameter that names them."""
    reference, simulator = parameters.reference_data, parameters.simulator
    named = {
        "reference_data.validation_folder": reference.validation_folder,
        "reference_data.test_folder": reference.test_folder,
        "reference_data.bop_scene.folder": reference.bop_scene.folder if reference.bop_scene else None,
        "task_model.weights": parameters.task_model.starting_file,
    }
    if simulator.type == "photoreal":
        named["simulator.options.models_folder"] = simulator.options.get("models_folder")
    elif simulator.type == "external":
        words = ((index, expanded(Path(word))) for index, word in enumerate(simulator.options["command"]))
        named |= {f"simulator.options.command.{index}": path for index, path in words if path.is_file()}
    elif ":" in simulator.type and (module := find_spec(simulator.type.partition(":")[0])) and module.origin:
        named["simulator.type"] = Path(module.origin)
    paths = {key: expanded(Path(path)) for key, path in named.items() if path is not None}
    return {key: path for key, path in paths.items() if path.exists()}


def _settings(pipeline: str, parameters: Parameters) -> dict[str, Any]:
    """All settings but those that cannot change a result."""
    settings = flattened(parameters.model_dump(mode="json"))
    return {"pipeline": pipeline, **{key: value for key, value in settings.items() if can_change_results(key)}}
