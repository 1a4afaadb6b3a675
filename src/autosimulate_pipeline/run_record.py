"""What a run was asked to do, kept in its folder, so that nobody goes on with it under other settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autosimulate_pipeline.configuration import ConfigurationError, Parameters, flattened
from autosimulate_pipeline.datasets.atomic import replacing

RECORD_NAME = "parameters.json"


def claim_run(folder: Path, pipeline: str, parameters: Parameters) -> None:
    """Writes the record of a new run, or checks that of the one that is there.

    Settings that cannot change a result, `parallel` and `task_model.device`, may differ.

    Raises:
        ConfigurationError: if the run was made with other settings; the message names the first that differ.
    """
    wanted: dict[str, Any] = {
        "pipeline": pipeline,
        **flattened(parameters.model_dump(mode="json", exclude={"parallel": True, "task_model": {"device"}})),
    }
    path = folder / RECORD_NAME
    if not path.exists():
        with replacing(path) as draft:
            draft.write_text(json.dumps(wanted, indent=1) + "\n")
        return
    recorded = json.loads(path.read_text())
    changed = [key for key in wanted | recorded if wanted.get(key) != recorded.get(key)]
    if changed:
        changes = ", ".join(f"{key}: {recorded.get(key)!r} → {wanted.get(key)!r}" for key in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ConfigurationError(
            f"run {parameters.run!r} was made with other settings ({changes}{more}); "
            "choose another name with --params run=NAME, or delete the run's folders with make clean-run RUN="
            + parameters.run
        )
