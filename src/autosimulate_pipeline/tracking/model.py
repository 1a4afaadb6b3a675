"""A trained task model becomes a model of MLflow: weights, settings, what goes in and comes out. Nothing is pickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.task_models import SEGMENTATION_NETWORKS, TaskModelSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import Model, ModelSignature

MODEL_NAME = "task_model"
"""What MLflow calls it: a run's model is runs:/<run id>/task_model."""

EXAMPLE_SIDE = 32
"""Pixels of the example's longer side at most; MLflow writes its numbers as text."""

DISTRIBUTION = "autosimulate-pipeline"
TEMPORARY = "autosimulate-model-"
"""How temporary folders begin; a process that is killed leaves its own."""


def log_model_once(client: MlflowClient, run_id: str, save: Callable[[Path, Model], None]) -> str:
    """The id of the run's model, which `save` writes to a new folder where MLflow does not have it whole."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    experiment_id = client.get_run(run_id).info.experiment_id
    for known in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        if known.status == "READY":
            return known.model_id
        client.delete_logged_model(known.model_id)  # of a process that was killed meanwhile
    model_id = client.create_logged_model(experiment_id, MODEL_NAME, run_id).model_id
    with TemporaryDirectory(prefix=TEMPORARY) as folder:
        save(Path(folder) / MODEL_NAME, Model(run_id=run_id, model_id=model_id))
        client.log_model_artifacts(model_id, str(Path(folder) / MODEL_NAME))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    client.finalize_logged_model(model_id, "READY")
    return model_id


def save_model(
    folder: Path,
    mlflow_model: Model,
    settings: TaskModelSettings,
    categories: Sequence[str],
    weights: Path,
    image: NDArray[np.uint8],
) -> None:
    """Writes a task model as a folder of MLflow's, to be loaded by `mlflow.pyfunc.load_model`.

    Args:
        folder: which must not exist.
        weights: a .safetensors file.
        image: an example of what it is used on, sRGB, shape (height, width, 3), uint8.
    """
    from mlflow import pyfunc

    from autosimulate_pipeline.tracking import model_from_code

    step = -(-max(image.shape[:2]) // EXAMPLE_SIDE)
    pyfunc.save_model(
        str(folder),
        python_model=model_from_code.__file__,
        mlflow_model=mlflow_model,
        artifacts={model_from_code.WEIGHTS: str(weights)},
        model_config={"categories": list(categories), "task_model": settings.model_dump(mode="json")},
        signature=_signature(has_masks=settings.type in SEGMENTATION_NETWORKS),
        input_example=image[None, ::step, ::step],
        pip_requirements=[f"{DISTRIBUTION}=={version(DISTRIBUTION)}"],
    )


def _signature(*, has_masks: bool) -> ModelSignature:
    """Images go in, a table of objects comes out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array, Object, Property

    columns: list[ColSpec | TensorSpec] = [ColSpec(DataType.long, "image"), ColSpec(DataType.string, "category")]
    columns += [ColSpec(DataType.double, name) for name in ("score", "x", "y", "width", "height")]
    if has_masks:
        rle = Object([Property("size", Array(DataType.long)), Property("counts", DataType.string)])
        columns.append(ColSpec(rle, "segmentation"))
    return ModelSignature(Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]), Schema(columns))
