"""Paths that users write: `~` wherever conf or a command takes a path, and what is said of one that is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from kedro.io import DataCatalog

from autosimulate_pipeline.annotations import read_labelled_folder
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.cli import validate_dataset
from autosimulate_pipeline.configuration import ConfigurationError, check_parameters
from autosimulate_pipeline.datasets import RecordDataset
from autosimulate_pipeline.files.user_paths import expanded
from autosimulate_pipeline.pipelines.reference_data.nodes import read_bop_scene, read_folders
from autosimulate_pipeline.provenance import digest
from autosimulate_pipeline.runs.record import check_run, record_provenance, record_run
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealSettings
from autosimulate_pipeline.simulators.toy import ToySimulator
from test_external_simulator import SCENES, TEMPLATE, render
from test_own_validation import CATEGORIES, bop_scene, masks, parameters


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_home_is_known_and_a_strangers_is_not(home: Path) -> None:
    assert expanded(Path("~/photos")) == home / "photos"
    assert expanded(Path("photos/~")) == Path("photos/~")
    assert expanded(Path("~no-such-user-here/photos")) == Path("~no-such-user-here/photos")


def test_reference_folders_may_be_at_home_and_stay_as_written_in_the_record(home: Path, tmp_path: Path) -> None:
    masks(home / "validation", 0)
    masks(home / "test", 1)
    written = (Path("~/validation"), Path("~/test"))
    raw = parameters(*written)
    checked = check_parameters(raw)
    assert (checked.reference_data.validation_folder, checked.reference_data.test_folder) == written
    validation, test = read_folders(*written, ToySimulator())
    assert len(validation) == len(test) == 2
    catalog = DataCatalog(
        {"provenance": RecordDataset(str(tmp_path / "p.json"), "autosimulate_pipeline.provenance.History")}
    )
    assert record_provenance(catalog, checked).inputs == {
        "reference_data.validation_folder": digest(home / "validation"),
        "reference_data.test_folder": digest(home / "test"),
    }
    record_run(tmp_path / "run", "autosimulate", checked)
    (record,) = (tmp_path / "run").iterdir()
    assert '"~/validation"' in record.read_text() and str(home) not in record.read_text()


def test_a_bop_scene_may_be_at_home(home: Path) -> None:
    class BopSimulator(ToySimulator):
        object_ids = (1, 2, 3)

    scene = bop_scene(home / "scene", CATEGORIES, (1, 2, 3), (1, 2, 3))
    files = [*(scene / "000000").rglob("000000*")]
    for file in files:
        shutil.copy(file, file.with_name(file.name.replace("000000", "000001", 1)))
    for name in ("scene_gt", "scene_gt_info", "scene_camera"):
        path = scene / f"000000/{name}.json"
        entry = path.read_text().strip()[1:-1]
        path.write_text("{" + entry + "," + entry.replace('"0"', '"1"', 1) + "}")
    raw = parameters(None, None)
    settings = {"folder": "~/scene", "num_validation_images": 1, "num_blocks": 2}
    raw["reference_data"] |= {"validation_folder": None, "test_folder": None, "bop_scene": settings}
    checked = check_parameters(raw).reference_data
    assert checked.bop_scene is not None
    assert [len(dataset) for dataset in read_bop_scene(checked.bop_scene, BopSimulator())] == [1, 1]


def test_weights_models_and_commands_may_be_at_home(home: Path) -> None:
    raw = parameters(masks(home / "validation", 0), masks(home / "test", 1), type="yolov3_spp", input_size=64)
    raw["task_model"] = {"type": "yolov3_spp", "weights": "~/none.weights"}
    with pytest.raises(ConfigurationError, match=f"must be a file, got {home}/none.weights, which is missing"):
        check_parameters(raw)
    settings = PhotorealSettings.model_validate({"models_folder": "~/models", "cache_folder": "~/cache"})
    assert (settings.models_folder, settings.cache_folder) == (home / "models", home / "cache")
    shutil.copy(TEMPLATE, home / "command.py")
    assert len(render(["python", "~/command.py"], SCENES[:1])) == 1
    program = home / "render"
    program.write_text(f'#!/bin/sh\nexec python {TEMPLATE} "$@"\n')
    program.chmod(0o755)
    assert len(render(["~/render"], SCENES[:1])) == 1


def test_the_command_takes_a_path_at_home(home: Path) -> None:
    bop_scene(home / "own", CATEGORIES, (1, 2, 3), (1, 2, 3))
    told = CliRunner().invoke(validate_dataset, ["~/own"])
    assert told.exit_code == 0 and told.output.startswith("bop: 1 images (own 1)")


@pytest.mark.parametrize("read", [check_dataset, lambda folder: read_labelled_folder(folder, CATEGORIES)])
def test_a_folder_that_is_not_there_is_said_to_be_missing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: object
) -> None:
    assert callable(read)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for path, message in {
        "photos": f"photos is missing: there is no such folder in {tmp_path}",
        "~/photos": "~/photos is missing: there is no such folder",
        str(home / "photos"): f"{home}/photos is missing: there is no such folder",
        "file": "file must be a folder, got a file",
    }.items():
        with pytest.raises(OSError) as refusal:
            read(Path(path))
        assert str(refusal.value) == message


def test_a_new_run_is_refused_before_it_starts_and_an_old_one_does_without(home: Path, tmp_path: Path) -> None:
    validation, test = masks(home / "validation", 0), masks(home / "test", 1)
    checked = check_parameters(parameters(validation, test))
    check_run(tmp_path / "old", "autosimulate", checked)
    record_run(tmp_path / "old", "autosimulate", checked)
    shutil.rmtree(test)
    check_run(tmp_path / "old", "autosimulate", checked)
    message = f"^reference_data.test_folder: {test} is missing: there is no such folder$"
    with pytest.raises(ConfigurationError, match=message):
        check_run(tmp_path / "new", "autosimulate", checked)
