"""A trained task model as MLflow has it: images in, a table of what is found out; Kedro is not needed.

MLflow keeps a copy of this file beside the weights and runs it when the model is loaded ("models from code"), so that
nothing is pickled. What it was trained as stands in the model's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from safetensors.torch import load_file

from autosimulate_pipeline.annotations.coco_writing import run_lengths
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Prediction, enclosing_box
from autosimulate_pipeline.task_models import DetectorSettings, TaskModelSettings, build_task_model

WEIGHTS = "weights"
"""The model's one artifact, a .safetensors file."""


class ObjectFinder(PythonModel):
    """A task model with its weights."""

    def load_context(self, context: PythonModelContext) -> None:
        """Builds the network, on the CPU."""
        file = Path(context.artifacts[WEIGHTS])
        settings = TaskModelSettings.model_validate({**context.model_config["task_model"], "device": "cpu"})
        if isinstance(settings, DetectorSettings):  # the network is as those weights wanted it, and as these still do
            settings = settings.starting_from(file)
        self._categories = tuple(context.model_config["categories"])
        self._task_model = build_task_model(self._categories, settings)
        self._weights = load_file(file)

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # type: ignore[type-arg]  # the one array type that MLflow does not warn of
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """What is found in the images, a row for each object, see `table_of`.

        Args:
            model_input: sRGB, shape (number of images, height, width, 3), uint8; any height and width.
        """
        unlabelled = np.zeros(model_input.shape[1:3], dtype=np.uint8)
        images = tuple(AnnotatedImage(image, unlabelled, ()) for image in model_input)
        dataset = AnnotatedDataset(self._categories, images)
        return table_of(self._task_model.predict(self._weights, dataset), self._categories)


def table_of(predictions: Sequence[Prediction], categories: Sequence[str]) -> pd.DataFrame:
    """A row for each object: image (from 0), category, score, box (x, y, width, height in pixels), most certain first.

    A segmentation adds the mask, as COCO's compressed run lengths (`pycocotools.mask.decode`).
    """
    rows = [row for image, prediction in enumerate(predictions) for row in _rows(image, prediction, categories)]
    columns = ["image", "category", "score", "x", "y", "width", "height"]
    if any(prediction.instance_masks is not None for prediction in predictions):
        columns.append("segmentation")
    return pd.DataFrame(rows, columns=columns)


def _rows(image: int, prediction: Prediction, categories: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    masks, boxes = prediction.instance_masks, prediction.instance_boxes
    for index in np.argsort(prediction.instance_scores, kind="stable")[::-1]:
        found = (image, categories[prediction.instance_categories[index] - 1], prediction.instance_scores[index])
        if masks is not None:
            yield *found, *map(float, enclosing_box(masks[index])), run_lengths(masks[index])
        elif boxes is not None:
            yield *found, *boxes[index].tolist()


set_model(ObjectFinder())
