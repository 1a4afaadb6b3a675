"""A run in numbers: what `summary.json` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autosimulate_pipeline.records import EvaluationReport, StageSeconds
from autosimulate_pipeline.search.base import SearchState


def test_results(summary: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Test mAP and mIoU of every network that a summary reports on, by what it was trained on."""
    results = {where: (summary["test_map"][where], summary["test_miou"][where]) for where in summary["test_map"]}
    if "polished" in summary:
        results["polished"] = (summary["polished"]["test_map"], summary["polished"]["test_miou"])
    return results


def summarise(
    *,
    run: str,
    experiment: str,
    mode: str,
    start: SearchState,
    learned: SearchState,
    validation: Sequence[EvaluationReport],
    test: Mapping[str, EvaluationReport],
    seconds: StageSeconds,
) -> dict[str, Any]:
    """The run as plain JSON values.

    Lists go by iteration. `start` and `learned` are networks retrained from scratch on as many fresh images from the ψ
    before and after the loop; `polished` is the loop's own network.

    Args:
        test: reports on the test images, for "start", "learned" and "polished".
    """
    return {
        "run": run,
        "method": learned.method,
        "experiment": experiment,
        "mode": mode,
        "seed": learned.seed,
        "iterations": learned.iteration,
        "stopped": learned.stopped,
        "images_rendered": learned.images_rendered,
        "seconds": {stage: round(value, 2) for stage, value in asdict(seconds).items()},
        "val_map": [report.map for report in validation],
        "val_miou": [report.miou for report in validation],
        "val_loss": [report.loss for report in validation],
        "test_map": {where: test[where].map for where in ("start", "learned")},
        "test_miou": {where: test[where].miou for where in ("start", "learned")},
        "polished": {"test_map": test["polished"].map, "test_miou": test["polished"].miou},
        "simulator_parameters": {
            "start": start.distribution.entries(),
            "learned": learned.distribution.entries(),
        },
    }
