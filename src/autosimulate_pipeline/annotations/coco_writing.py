"""Annotated datasets written as COCO folders; see coco.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from autosimulate_pipeline.annotations.coco_file import ANNOTATIONS, IMAGES
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage


class CocoLabels:
    """The labels of one COCO file, image by image.

    Args:
        categories: names by category id; position c of them is category c + 1 of the images.
    """

    def __init__(self, categories: Mapping[int, str]) -> None:
        self._categories = categories
        self._ids = tuple(categories)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image: AnnotatedImage, image_id: int, file_name: str) -> None:
        """The image's size and instances; ids must differ."""
        height, width = image.instance_mask.shape
        self._images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        for category, label in _labels(image):
            annotation_id = len(self._annotations) + 1  # from 1: COCO's matcher takes id 0 for "no match"
            ids = {"id": annotation_id, "image_id": image_id, "category_id": self._ids[category - 1]}
            self._annotations.append({**ids, **label})

    def write(self, path: Path) -> None:
        """Writes the file."""
        categories = [{"id": category_id, "name": name} for category_id, name in self._categories.items()]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        with path.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")


class CocoFolder:
    """A COCO folder that images are added to one by one: pixels go to disk at once, labels when it is closed.

    Raises:
        FileExistsError: if the folder has something in it already.
    """

    def __init__(self, folder: Path, categories: tuple[str, ...]) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} must be empty or new to write a COCO dataset to it")
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._labels = CocoLabels(dict(enumerate(categories, start=1)))

    def add(self, image: AnnotatedImage, number: int) -> None:
        """Writes `images/<number>.png`, six digits; its id is one more, and numbers must differ."""
        file_name = f"{number:06d}.png"
        Image.fromarray(image.image).save(self._folder / IMAGES / file_name)
        self._labels.add(image, number + 1, file_name)

    def close(self) -> None:
        """Writes `annotations.json`."""
        self._labels.write(self._folder / ANNOTATIONS)


def write_coco(dataset: AnnotatedDataset, folder: Path) -> None:
    """Writes the dataset to `folder/images/000000.png`, … and `folder/annotations.json`: equal datasets, equal bytes.

    Instances that have boxes and no mask are written with an empty segmentation. Those that can hardly be seen
    are left out, as they count nowhere; crowds are written as such.

    Raises:
        FileExistsError: if the folder has something in it already.
    """
    coco = CocoFolder(folder, dataset.categories)
    for number, image in enumerate(dataset.images):
        coco.add(image, number)
    coco.close()


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The mask as COCO's compressed run lengths, of which JSON can be made."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}


def _labels(image: AnnotatedImage) -> Iterator[tuple[int, dict[str, Any]]]:
    """Of each instance that counts, and of each crowd, the category, and segmentation, area, box and iscrowd."""
    labels = map(_mask_label, image.instance_masks) if image.has_masks else map(_box_label, image.boxes.tolist())
    crowds = image.is_crowd or (False,) * len(image.instance_categories)
    for category, counts, crowd, label in zip(image.instance_categories, image.counted, crowds, labels, strict=True):
        if counts or crowd:
            yield category, {**label, "iscrowd": int(crowd)}


def _mask_label(mask: NDArray[np.bool_]) -> dict[str, Any]:
    rle = run_lengths(mask)
    return {"segmentation": rle, "area": int(coco_mask.area(rle)), "bbox": coco_mask.toBbox(rle).tolist()}


def _box_label(box: list[float]) -> dict[str, Any]:
    return {"segmentation": [], "area": box[2] * box[3], "bbox": box}
