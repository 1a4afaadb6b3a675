"""The model that a run leaves in MLflow finds what the task model finds, for whoever has the package and MLflow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from safetensors.torch import save_file

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.task_models import TaskModelSettings, UNetSettings, build_task_model
from autosimulate_pipeline.tracking.model import log_model_once, save_model
from autosimulate_pipeline.tracking.model_from_code import table_of
from test_yolo import HEADERS, batch_normalised, write_darknet_weights

CATEGORIES = ("square", "disc")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    folder = tmp_path_factory.mktemp("mlflow")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    client.create_experiment("models", (folder / "mlartifacts").as_uri())
    return client


@pytest.fixture
def run_id(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name("models")
    assert experiment is not None
    return str(client.create_run(experiment.experiment_id).info.run_id)


@pytest.fixture(scope="module")
def darknet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("darknet") / "yolo.weights"
    write_darknet_weights(file, batch_normalised(80), HEADERS["format 0.2"])
    return file


def photographs() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), dtype=np.uint8)


def saver(settings: TaskModelSettings, weights: Path) -> Callable[..., None]:
    return partial(save_model, settings=settings, categories=CATEGORIES, weights=weights, image=photographs()[0])


def loaded(client: MlflowClient, run_id: str) -> mlflow.pyfunc.PyFuncModel:
    mlflow.set_tracking_uri(client.tracking_uri)
    return mlflow.pyfunc.load_model(f"runs:/{run_id}/task_model")


@pytest.mark.parametrize("kind", ["unet", "yolov3_spp", "yolov3_spp of Darknet", "faster_rcnn_efficientnet_lite0_fpn"])
def test_model_that_is_loaded_back_finds_what_the_task_model_finds(
    kind: str, client: MlflowClient, run_id: str, darknet_file: Path, tmp_path: Path
) -> None:
    network, _, is_from_file = kind.partition(" of ")
    options = {"unet": {"base_channels": 8}, "yolov3_spp": {"width": 1 / 16}}.get(network, {})
    weights = {"weights": str(darknet_file)} if is_from_file else {}
    settings = TaskModelSettings.model_validate({"type": network, "input_size": 64} | options | weights)
    task_model = build_task_model(CATEGORIES, settings)
    fresh, file = task_model.initial_weights(0), tmp_path / "weights.safetensors"
    weights = {name: weight + 4 * name.endswith("convolution.bias") for name, weight in fresh.items()}  # YOLO is sure
    save_file(weights, file)
    log_model_once(client, run_id, saver(settings, file))
    if is_from_file:
        darknet_file.unlink()
    unlabelled = np.zeros((40, 56), dtype=np.uint8)
    dataset = AnnotatedDataset(CATEGORIES, tuple(AnnotatedImage(image, unlabelled, ()) for image in photographs()))
    predictions = task_model.predict(weights, dataset)
    found = loaded(client, run_id).predict(photographs())
    pd.testing.assert_frame_equal(found, table_of(predictions, CATEGORIES))
    assert len(found) and found["score"].groupby(found["image"]).is_monotonic_decreasing.all()
    for image, prediction in enumerate(predictions):
        rows = found[found["image"] == image]
        assert sorted(rows["score"]) == sorted(prediction.instance_scores)
        if prediction.semantic_mask is not None:
            for row in rows.to_dict("records"):
                mask = coco_mask.decode(row["segmentation"])
                assert (mask == (prediction.semantic_mask == CATEGORIES.index(row["category"]) + 1)).all()


def test_run_has_one_model_with_signature_and_example_and_a_torn_one_is_replaced(
    client: MlflowClient, run_id: str, tmp_path: Path
) -> None:
    settings, file = UNetSettings(input_size=16, base_channels=4), tmp_path / "weights.safetensors"
    save_file(build_task_model(CATEGORIES, settings).initial_weights(0), file)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log_model_once(client, run_id, killed)
    model_id = log_model_once(client, run_id, saver(settings, file))
    assert log_model_once(client, run_id, killed) == model_id
    experiment_id = client.get_run(run_id).info.experiment_id
    (model,) = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    assert (model.model_id, model.status) == (model_id, "READY")
    metadata = loaded(client, run_id).metadata
    (images,), columns = metadata.signature.inputs.inputs, metadata.signature.outputs.input_names()
    assert (images.type, images.shape) == (np.dtype(np.uint8), (-1, -1, -1, 3))
    assert columns == ["image", "category", "score", "x", "y", "width", "height", "segmentation"]
    assert metadata.saved_input_example_info is not None
    folder = Path(model.artifact_location.removeprefix("file://"))
    files = {path.name for path in folder.rglob("*")}
    assert "weights.safetensors" in files and not [name for name in files if name.endswith((".pkl", ".pickle"))]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < file.stat().st_size + 100_000


def test_loading_needs_no_kedro(client: MlflowClient, run_id: str, tmp_path: Path) -> None:
    settings, file = UNetSettings(input_size=16, base_channels=4), tmp_path / "weights.safetensors"
    save_file(build_task_model(CATEGORIES, settings).initial_weights(0), file)
    log_model_once(client, run_id, saver(settings, file))
    program = f"""
import sys
sys.modules["kedro"] = None
import mlflow, numpy
mlflow.set_tracking_uri({client.tracking_uri!r})
print(len(mlflow.pyfunc.load_model("runs:/{run_id}/task_model").predict(numpy.zeros((1, 20, 30, 3), numpy.uint8))))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) <= len(CATEGORIES)
