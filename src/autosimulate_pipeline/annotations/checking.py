"""Whether a dataset's folder is what its format's publisher says: COCO, YOLO or BOP.

COCO is read as a run reads it. YOLO is held against Ultralytics' documentation of detection datasets (see yolo.py), BOP
against bop_toolkit's (see bop.py). Images are decoded; of BOP's many masks only the headers are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from autosimulate_pipeline.annotations import bop_files
from autosimulate_pipeline.annotations.coco import open_coco
from autosimulate_pipeline.annotations.coco_file import ANNOTATIONS
from autosimulate_pipeline.annotations.labelled_folder import is_bop
from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.annotations.training_sets import SPLITS
from autosimulate_pipeline.annotations.yolo import YoloSplit, yolo_root, yolo_splits
from autosimulate_pipeline.annotations.yolo_writing import DATA
from autosimulate_pipeline.files.checked_files import read_json, read_pixels
from autosimulate_pipeline.files.user_paths import existing_folder


class _BopCamera(BaseModel):
    """What camera.json must hold."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    cx: float
    cy: float
    depth_scale: float
    fx: float
    fy: float
    height: int
    width: int


_BOP_CAMERA = TypeAdapter(_BopCamera)


@dataclass(frozen=True)
class Contents:
    """What a folder holds: images by split, and instances by category and split.

    Attributes:
        notices: what was read with tolerance, a line a kind.
    """

    format: str
    images: dict[str, int]
    instances: dict[str, dict[str, int]]
    notices: tuple[str, ...] = ()

    def __str__(self) -> str:
        splits = ", ".join(f"{split} {count}" for split, count in self.images.items())
        lines = [f"{self.format}: {sum(self.images.values())} images ({splits})"]
        for category, counts in self.instances.items():
            by_split = ", ".join(f"{split} {count}" for split, count in counts.items())
            lines.append(f"  {category}: {sum(counts.values())} instances ({by_split})")
        return "\n".join([*lines, *(f"note: {line}" for line in self.notices)])


def check_dataset(folder: Path) -> Contents:
    """What is in the folder: a training set as `generate` writes it, or a COCO or YOLO folder or BOP scene of anyone's.

    Raises:
        FileNotFoundError, ValueError: at the first thing that breaks the format's rules, naming the file, in one line.
    """
    folder, notices = existing_folder(folder), Notices()
    if is_bop(folder):
        name, splits = "bop", {folder.name: _check_scenes([folder], folder)}
    elif (folder / f"{SPLITS[0]}_pbr").is_dir():
        read_json(folder / "camera.json", folder, _BOP_CAMERA)
        scenes = {split: sorted((folder / f"{split}_pbr").iterdir()) for split in SPLITS}
        name, splits = "bop", {split: _check_scenes(scenes[split], folder) for split in SPLITS}
    elif (folder / ANNOTATIONS).is_file():
        name, splits = "coco", {folder.name: _check_coco(folder, notices, False)}
    elif (folder / SPLITS[0] / ANNOTATIONS).is_file():
        name, splits = "coco", {split: _check_coco(folder / split, notices, True) for split in SPLITS}
    elif yolo_root(folder):
        name, splits = "yolo", {split.name: _check_yolo(split) for split in yolo_splits(folder, notices)}
    else:
        wanted = f"{ANNOTATIONS} or {SPLITS[0]}/{ANNOTATIONS} (COCO), {DATA} (YOLO), scene_gt.json or train_pbr/ (BOP)"
        raise FileNotFoundError(f"{folder} must hold {wanted}, got none of these")
    categories = dict.fromkeys(category for _, counts in splits.values() for category in counts)
    return Contents(
        name,
        {split: num_images for split, (num_images, _) in splits.items()},
        {category: {split: counts[category] for split, (_, counts) in splits.items()} for category in categories},
        notices.lines,
    )


_Split = tuple[int, "Counter[str]"]
"""Number of images, and of instances by category; every category of the folder is in it."""


def _check_coco(folder: Path, notices: Notices, allow_empty: bool) -> _Split:
    images = open_coco(folder, allow_empty=allow_empty, notices=notices)
    num_images, counts = 0, Counter(dict.fromkeys(images.categories, 0))
    for image in images:
        num_images += 1
        counts.update(images.categories[category - 1] for category in image.counted_categories)
    return num_images, counts


def _check_yolo(split: YoloSplit) -> _Split:
    counts = Counter(dict.fromkeys(split.classes, 0))
    for image in split:
        counts.update(split.classes[category - 1] for category in image.instance_categories)
    return len(split.files), counts


def _check_scenes(scenes: Iterable[Path], root: Path) -> _Split:
    names = bop_files.read_objects(root) if (root / bop_files.OBJECTS).is_file() else {}
    num_images, counts = 0, Counter(dict.fromkeys(names.values(), 0))
    for folder in scenes:
        scene = bop_files.read_scene(folder, None)
        num_images += len(scene.poses)
        for image_id, poses in scene.poses.items():
            pictures = bop_files.find_pictures(scene, image_id, range(len(poses)))
            for picture in filter(None, (pictures.photograph, pictures.depth)):
                read_pixels(picture.path)
            for pose in poses:
                if names and pose.obj_id not in names:
                    raise ValueError(f"{folder}: image {image_id}: obj_id must be in objects.json, got {pose.obj_id}")
                counts[names.get(pose.obj_id, f"object {pose.obj_id}")] += 1
            for extent in scene.extents[image_id]:
                if extent.visib_fract > 0 and min(extent.bbox_obj[2:]) < 0:
                    box = extent.bbox_obj
                    raise ValueError(f"{folder}: image {image_id}: a visible object must have a box, got {box}")
    return num_images, counts
