"""What a run writes down of where it comes from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog

from autosimulate_pipeline.configuration import Parameters, check_parameters
from autosimulate_pipeline.datasets import RecordDataset
from autosimulate_pipeline.provenance import digest
from autosimulate_pipeline.runs.record import record_provenance
from autosimulate_pipeline.task_models import YoloSettings
from test_configuration import load


def test_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_text("text")
    digests = [digest(tmp_path)]
    for change in (
        lambda: (tmp_path / "a/one").write_text("tent"),
        lambda: (tmp_path / "a/one").rename(tmp_path / "a/two"),
        lambda: (tmp_path / "a").rename(tmp_path / "b"),
        lambda: (tmp_path / "b/empty").touch(),
    ):
        change()
        digests.append(digest(tmp_path))
    assert len(set(digests)) == 5
    assert digest(tmp_path / "b/empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def with_inputs(folder: Path) -> Parameters:
    """Parameters that name a file and folders of the user's."""
    for name in ("val", "test"):
        (folder / name).mkdir()
        (folder / name / "annotations.json").write_text(name)
    (folder / "yolo.weights").write_text("weights")
    parameters = check_parameters(load("local"))
    yolo = YoloSettings(input_size=64, weights=str(folder / "yolo.weights"))

    def changed(block: str, **values: Any) -> dict[str, Any]:
        return {block: getattr(parameters, block).model_copy(update=values)}

    folders = {"validation_folder": folder / "val", "test_folder": folder / "test"}
    return parameters.model_copy(update=changed("reference_data", **folders) | {"task_model": yolo})


def test_another_entry_is_written_when_the_software_is_another_and_inputs_are_those_of_the_start(
    tmp_path: Path,
) -> None:
    parameters = with_inputs(tmp_path)
    history = RecordDataset(str(tmp_path / "provenance.json"), "autosimulate_pipeline.provenance.History")
    catalog = DataCatalog({"provenance": history})
    first = record_provenance(catalog, parameters)
    assert first.inputs == {
        "reference_data.validation_folder": digest(tmp_path / "val"),
        "reference_data.test_folder": digest(tmp_path / "test"),
        "task_model.weights": digest(tmp_path / "yolo.weights"),
    }
    (tmp_path / "val/annotations.json").unlink()
    assert record_provenance(catalog, parameters) == first and history.load() == (first,)
    older = dataclasses.replace(first, versions=first.versions | {"torch": "1.0"}, commit=None)
    history.save((older,))
    assert record_provenance(catalog, parameters) == first and history.load() == (older, first)


def test_own_simulators_are_inputs_too(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text("# draws rooms")
    parameters = check_parameters(load("local"))
    options = {"command": ["python", str(tmp_path / "room.py")], "categories": ["ball"]}
    simulator = parameters.simulator.model_copy(update={"type": "external", "options": options})
    catalog = DataCatalog(
        {"provenance": RecordDataset(str(tmp_path / "p.json"), "autosimulate_pipeline.provenance.History")}
    )
    made_by = record_provenance(catalog, parameters.model_copy(update={"simulator": simulator}))
    assert made_by.inputs == {"simulator.options.command.1": digest(tmp_path / "room.py")}
    assert made_by.tags()["sha256/simulator.options.command.1"] == digest(tmp_path / "room.py")
