"""What a run was asked to do, kept in its folder, so that nobody goes on with it under other settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autosimulate_pipeline.configuration import ConfigurationError, Parameters, flattened
from autosimulate_pipeline.datasets.atomic import replacing

RECORD_NAME = "parameters.json"


def check_run(folder: Path, pipeline: str, parameters: Parameters) -> None:
    """Nothing, if the run is new or was made with these settings.

    Raises:
        ConfigurationError: if it was made with others; the message names the first that differ.
    """
    path = folder / RECORD_NAME
    if not path.exists():
        return
    recorded, wanted = json.loads(path.read_text()), _settings(pipeline, parameters)
    changed = [key for key in wanted | recorded if wanted.get(key) != recorded.get(key)]
    if changed:
        changes = ", ".join(f"{key}: {recorded.get(key)!r} → {wanted.get(key)!r}" for key in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ConfigurationError(
            f"run {parameters.run!r} was made with other settings ({changes}{more}); choose another name with "
            f"--params run=NAME, or delete the run's folders with make clean-run RUN={parameters.run}"
        )


def record_run(folder: Path, pipeline: str, parameters: Parameters) -> None:
    """Writes down the settings of a run that is about to keep its first result."""
    if not (folder / RECORD_NAME).exists():
        with replacing(folder / RECORD_NAME) as draft:
            draft.write_text(json.dumps(_settings(pipeline, parameters), indent=1) + "\n")


def _settings(pipeline: str, parameters: Parameters) -> dict[str, Any]:
    """All settings but `parallel` and `task_model.device`, which cannot change a result."""
    settings = parameters.model_dump(mode="json", exclude={"parallel": True, "task_model": {"device"}})
    return {"pipeline": pipeline, **flattened(settings)}
