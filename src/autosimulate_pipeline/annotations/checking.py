"""Whether a dataset's folder is what its format's publisher says: COCO, YOLO or BOP.

COCO is opened by pycocotools too, once our own reader has found nothing in it that pycocotools could stumble over. YOLO
is held against Ultralytics' documentation of detection datasets (see yolo.py), BOP against bop_toolkit's (see
bop.py). Images are decoded; of BOP's many masks only the headers are read.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pycocotools.coco import COCO
from pydantic import BaseModel, ConfigDict, TypeAdapter

from autosimulate_pipeline.annotations import bop_files
from autosimulate_pipeline.annotations.checked_files import read_json, read_pixels
from autosimulate_pipeline.annotations.coco import (
    ANNOTATIONS,
    CocoAnnotation,
    CocoFile,
    CocoImage,
    annotations_by_image,
    instance_mask,
    read_coco_image,
)
from autosimulate_pipeline.annotations.labelled_folder import is_bop
from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.annotations.training_sets import SPLITS
from autosimulate_pipeline.annotations.yolo import YoloSplit, yolo_root, yolo_splits
from autosimulate_pipeline.annotations.yolo_writing import DATA
from autosimulate_pipeline.user_paths import existing_folder


class _CocoAnnotation(CocoAnnotation):
    model_config = ConfigDict(strict=True)

    area: float


class _CocoFile(CocoFile):
    annotations: list[_CocoAnnotation]  # type: ignore[assignment]  # a list of what CocoFile wants, and not changed


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


_COCO_FILE, _BOP_CAMERA = TypeAdapter(_CocoFile), TypeAdapter(_BopCamera)


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
        name, splits = "coco", {folder.name: _check_coco(folder)}
    elif (folder / SPLITS[0] / ANNOTATIONS).is_file():
        name, splits = "coco", {split: _check_coco(folder / split) for split in SPLITS}
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


def _check_coco(folder: Path) -> _Split:
    path = folder / ANNOTATIONS
    content = read_json(path, folder, _COCO_FILE)
    annotations_by_image(content, path)  # refuses what a run does
    names = {category.id: category.name for category in content.categories}
    name, count = Counter(names.values()).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path}: names of categories must differ, got {name!r} twice")
    images = {image.id: image for image in content.images}
    for image in content.images:
        read_coco_image(folder, image)
    pycoco = COCO()
    pycoco.dataset = content.model_dump()
    with contextlib.redirect_stdout(io.StringIO()):  # it says that it is counting
        pycoco.createIndex()
    counts = Counter(dict.fromkeys(names.values(), 0))
    for annotation in content.annotations:
        _check_coco_annotation(annotation, images[annotation.image_id], pycoco, f"{path}: annotation {annotation.id}")
        counts[names[annotation.category_id]] += 1
    return len(images), counts


def _check_coco_annotation(annotation: _CocoAnnotation, image: CocoImage, pycoco: COCO, where: str) -> None:
    x, y, width, height = annotation.bbox
    if not (width > 0 and height > 0 and annotation.area > 0):
        got = f"{width:g}, {height:g}, {annotation.area:g}"
        raise ValueError(f"{where}: width, height and area must be above 0, got {got}")
    if min(x, y) < 0 or x + width > image.width or y + height > image.height:
        box = list(annotation.bbox)
        raise ValueError(f"{where}: bbox must stay inside {image.width}x{image.height}, got {box}")
    if annotation.segmentation:
        mask = instance_mask(annotation, (image.height, image.width), where)
        if (pycoco.annToMask(pycoco.anns[annotation.id]) != mask).any():
            raise ValueError(f"{where}: segmentation must be what pycocotools reads in it, got another mask")


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
