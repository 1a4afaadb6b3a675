"""What runs have left on disk, for the page that compares them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autosimulate_pipeline.datasets import RecordDataset
from autosimulate_pipeline.files.atomic import reading
from autosimulate_pipeline.reporting.run_comparison import ComparedRun
from autosimulate_pipeline.reporting.summary import test_metrics

RECORD_NAME = "parameters.json"
"""What a run was asked to do, in its folder of data/08_reporting."""


def read_runs(data: Path, names: Sequence[str]) -> list[ComparedRun]:
    """The runs of these names, each once.

    Args:
        data: the folder of Kedro's layers.

    Raises:
        ValueError: if there is no run of a name; the message names those there are. Or if a file of it is damaged.
        DatasetError: likewise, of a record.
    """
    known = sorted(path.parent.name for path in (data / "08_reporting").glob(f"*/{RECORD_NAME}"))
    for name in names:
        if name not in known:
            raise ValueError(f"run must be one of {', '.join(known) or 'none so far'}, got {name!r}")
    return [_read(data, name) for name in dict.fromkeys(names)]


def _read(data: Path, name: str) -> ComparedRun:
    reporting, output = data / "08_reporting" / name, data / "07_model_output" / name
    summary, summary_file = None, reporting / "summary.json"
    if summary_file.exists():
        summary = read_object(summary_file)
        with reading(summary_file, LookupError, TypeError, AttributeError):
            test_metrics(summary)
    reports = _series(output, "validation_report", "records.EvaluationReport")
    return ComparedRun(
        name=name,
        settings=read_object(reporting / RECORD_NAME),
        states=_series(output, "state", "search.base.SearchState"),
        validation=[report for report in reports if report.num_images],
        seconds=[of_one.total for of_one in _series(output, "stage_seconds", "records.StageSeconds")],
        summary=summary,
    )


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file.

    Raises:
        DamagedFileError, OSError: if there is none.
    """
    with reading(path):
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError(f"wanted a JSON object, got {type(content).__name__}")
        return content


def _series(folder: Path, name: str, record: str) -> list[Any]:
    """The records of a run by iteration, as far as it has come."""
    records: list[Any] = []
    while (path := folder / f"{name}_{len(records):03d}.json").exists():
        records.append(RecordDataset(str(path), f"autosimulate_pipeline.{record}").load())
    return records
