"""What exists is whole: datasets are written beside their target and renamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DatasetError
from matplotlib.figure import Figure

from autosimulate_pipeline.datasets import (
    AnnotatedImagesDataset,
    FigureDataset,
    RecordDataset,
    ScenesDataset,
    WeightsDataset,
)
from autosimulate_pipeline.files.atomic import replacing
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, EvaluationReport, Geometry


def test_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "kept.txt"
    target.write_text("whole")
    with pytest.raises(OSError, match="disk is full"), replacing(target) as draft:
        draft.write_text("to")
        raise OSError("the disk is full")
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with replacing(target) as draft:
            draft.mkdir()
            (draft / name).touch()
    assert [path.name for path in target.iterdir()] == ["second"]


def test_folder_that_cannot_be_replaced_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "first").touch()
    with pytest.raises(FileNotFoundError), replacing(target) as draft:
        draft.mkdir()
        # The system refuses between the two steps, when the old folder has been moved away.
        monkeypatch.setattr(Path, "replace", lambda path, _: path.rename(tmp_path / "nowhere/folder"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in target.iterdir()] == ["first"]


def test_images_without_any_object_make_the_round_trip(tmp_path: Path) -> None:
    empty = AnnotatedImage(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), ())
    dataset = AnnotatedImagesDataset(str(tmp_path / "images"))
    for images in ((empty,), ()):
        dataset.save(AnnotatedDataset(("cube",), images))
        assert dataset.exists()
        assert len(dataset.load()) == len(images)


def test_images_of_bop_objects_are_kept_as_a_bop_scene(tmp_path):
    mask = np.zeros((12, 16), dtype=np.uint8)
    mask[2:6, 3:9] = 1
    image = AnnotatedImage(
        np.full((12, 16, 3), 7, dtype=np.uint8),
        mask,
        (2,),
        np.array([[1.0, 2.0, 8.0, 4.0]]),
        (0.75,),
        Geometry(np.diag([20.0, 20.0, 1.0]), np.eye(3)[None], np.array([[1.0, 2.0, 800.0]])),
    )
    dataset = AnnotatedImagesDataset(str(tmp_path / "images"))
    dataset.save(AnnotatedDataset(("ape", "can"), (image,), (1, 5)))
    assert dataset.exists() and (tmp_path / "images/000000/scene_gt.json").is_file()
    again = dataset.load()
    assert again.categories == ("ape", "can") and again.object_ids == (1, 5)
    np.testing.assert_array_equal(again.images[0].instance_mask, mask)
    np.testing.assert_array_equal(again.images[0].boxes, image.boxes)
    assert again.images[0].visible_fractions == (0.75,)


def test_torn_folder_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "images" / "images").mkdir(parents=True)
    assert not AnnotatedImagesDataset(str(tmp_path / "images")).exists()


def test_records_tables_weights_and_figures_make_the_round_trip(tmp_path: Path) -> None:
    report = EvaluationReport(0.5, 0.25, 0.5, 0.75, {"cube": 0.25}, {"cube": 0.75}, 3)
    records = RecordDataset(str(tmp_path / "report.json"), "autosimulate_pipeline.records.EvaluationReport")
    records.save(report)
    assert records.load() == report
    table = pd.DataFrame({"seed": [1, 2], "cube_x": [0.5, -1.0], "cube_material": ["rubber", "metal"]})
    scenes = ScenesDataset(str(tmp_path / "scenes.parquet"))
    scenes.save(table)
    pd.testing.assert_frame_equal(scenes.load(), table)
    weights = WeightsDataset(str(tmp_path / "weights.safetensors"))
    weights.save({"a": torch.arange(3.0)})
    torch.testing.assert_close(weights.load(), {"a": torch.arange(3.0)})
    figure = FigureDataset(str(tmp_path / "figure.png"))
    figure.save(Figure(figsize=(1, 1)))
    assert figure.load().startswith(b"\x89PNG")


def test_record_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"loss": "low"}')
    records = RecordDataset(str(tmp_path / "report.json"), "autosimulate_pipeline.records.EvaluationReport")
    with pytest.raises(DatasetError, match="loss"):
        records.load()
