"""Annotated images written in the layout that Ultralytics documents for detection.

`images/<split>/NAME.png` beside `labels/<split>/NAME.txt`, one line an object: its class, counted from 0, then x and y
of the centre, width and height of its box, in shares of the image's width and height. `data.yaml` names the splits and
the classes. The format: https://docs.ultralytics.com/datasets/detect/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from autosimulate_pipeline.records import AnnotatedImage

DATA = "data.yaml"


def write_yolo_image(image: AnnotatedImage, folder: Path, split: str, number: int) -> None:
    """Writes `images/<split>/<number>.png` and its labels, a text file that is empty where there is no object.

    Boxes are those around the visible pixels; of instances without masks the given ones, cut at the image's border.
    Instances that can hardly be seen (`AnnotatedImage.counted`) are left out.
    """
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.image).save(folder / "images" / split / f"{number:06d}.png")
    lines = [f"{category - 1} " + " ".join(f"{share:.6f}" for share in box) + "\n" for category, box in _shares(image)]
    (folder / "labels" / split / f"{number:06d}.txt").write_text("".join(lines), encoding="utf-8")


def write_yolo_data(categories: Sequence[str], splits: Sequence[str], folder: Path) -> None:
    """Writes `data.yaml`. It has no `path`: Ultralytics then takes the folder that the file lies in."""
    content = {split: f"images/{split}" for split in splits} | {"names": dict(enumerate(categories))}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / DATA).write_text(text, encoding="utf-8")


def _shares(image: AnnotatedImage) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Category, and [x of the centre, y of the centre, width, height] in [0, 1], of each instance that counts."""
    height, width = image.instance_mask.shape
    size = np.array([width, height])
    boxes = replace(image, instance_boxes=None).boxes if image.has_masks else image.boxes
    for category, counts, box in zip(image.instance_categories, image.counted, boxes, strict=True):
        if not counts:
            continue
        low, high = np.clip([box[:2], box[:2] + box[2:]], 0, size)
        if (high > low).all():
            yield category, np.concatenate([(low + high) / 2, high - low]) / np.tile(size, 2)
