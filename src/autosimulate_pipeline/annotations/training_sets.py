"""A training set with its validation part, in the layouts that training programs read: COCO, BOP, YOLO."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from autosimulate_pipeline.annotations.bop_writing import DEPTH_SCALE, write_objects, write_scene
from autosimulate_pipeline.annotations.coco_writing import CocoFolder
from autosimulate_pipeline.annotations.yolo_writing import write_yolo_data, write_yolo_image
from autosimulate_pipeline.records import AnnotatedDataset

SPLITS = ("train", "val")


@dataclass(frozen=True, eq=False)
class Part:
    """What is in memory at a time: images of one split that were rendered together.

    Attributes:
        split: of `SPLITS`.
        number: of the shard that they come from.
        image_ids: their numbers in the whole set, which differ, from 0.
    """

    split: str
    number: int
    image_ids: tuple[int, ...]
    images: AnnotatedDataset


Parts = Iterable[Part]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """A training set that is still to be written.

    Attributes:
        format: a name in `FORMATS`.
        object_ids: the BOP object id of each category, where they are BOP objects.
        parts: read as they are written, in the order of their shards; both splits must be among them.
        card: its README, Markdown.
        contact_sheet: a picture of a few of its images.
    """

    format: str
    categories: tuple[str, ...]
    object_ids: tuple[int, ...] | None
    parts: Parts
    card: str
    contact_sheet: Image.Image


def write_training_set(training_set: TrainingSet, folder: Path) -> None:
    """Writes images and labels in the set's format to a new folder, with README.md and contact_sheet.png beside."""
    folder.mkdir(parents=True)
    write = FORMATS[training_set.format]
    write(training_set.parts, training_set.categories, training_set.object_ids, folder)
    (folder / "README.md").write_text(training_set.card, encoding="utf-8")
    training_set.contact_sheet.save(folder / "contact_sheet.png")


def write_coco_set(parts: Parts, categories: tuple[str, ...], object_ids: tuple[int, ...] | None, folder: Path) -> None:
    """Writes two COCO folders, `train/` and `val/`."""
    splits = {split: CocoFolder(folder / split, categories) for split in SPLITS}
    for part in parts:
        for image_id, image in zip(part.image_ids, part.images.images, strict=True):
            splits[part.split].add(image, image_id)
    for split in splits.values():
        split.close()


def write_yolo_set(parts: Parts, categories: tuple[str, ...], object_ids: tuple[int, ...] | None, folder: Path) -> None:
    """Writes `images/` and `labels/` with a folder for each split, and `data.yaml`."""
    for part in parts:
        for image_id, image in zip(part.image_ids, part.images.images, strict=True):
            write_yolo_image(image, folder, part.split, image_id)
    write_yolo_data(categories, SPLITS, folder)


def write_bop_set(parts: Parts, categories: tuple[str, ...], object_ids: tuple[int, ...] | None, folder: Path) -> None:
    """Writes `train_pbr/` and `val_pbr/` with a scene for each part, `camera.json` and `objects.json`."""
    camera = None
    for part in parts:
        write_scene(part.images, folder / f"{part.split}_pbr" / f"{part.number:06d}", part.image_ids)
        camera = camera or _camera(part.images)
    (folder / "camera.json").write_text(json.dumps(camera, indent=1) + "\n", encoding="utf-8")
    write_objects(categories, object_ids, folder)


def _camera(dataset: AnnotatedDataset) -> dict[str, float]:
    """BOP's camera.json, from the first image; the cameras of all are in the scenes' own files."""
    image = dataset.images[0]
    if image.geometry is None:
        raise ValueError("an image must have geometry (poses, camera) to be written as BOP, got none")
    height, width = image.instance_mask.shape
    (fx, _, cx), (_, fy, cy), _ = image.geometry.camera_matrix.tolist()
    return {"cx": cx, "cy": cy, "depth_scale": DEPTH_SCALE, "fx": fx, "fy": fy, "height": height, "width": width}


FORMATS: dict[str, Callable[[Parts, tuple[str, ...], tuple[int, ...] | None, Path], None]] = {
    "coco": write_coco_set,
    "bop": write_bop_set,
    "yolo": write_yolo_set,
}
"""By name: what writes the parts, one after the other."""
