"""Whether a dataset's folder is what its format's publisher says: COCO, YOLO or BOP.

COCO is opened by pycocotools, not by our own reader. YOLO is held against Ultralytics' documentation of detection
datasets (see yolo_writing.py), BOP against bop_toolkit's (see bop.py).
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from pycocotools.coco import COCO

from autosimulate_pipeline.annotations import bop_files
from autosimulate_pipeline.annotations.coco import ANNOTATIONS, BOX_TOLERANCE, IMAGES, displayed_size
from autosimulate_pipeline.annotations.labelled_folder import is_bop
from autosimulate_pipeline.annotations.training_sets import SPLITS
from autosimulate_pipeline.annotations.yolo_writing import DATA
from autosimulate_pipeline.records import enclosing_box

_TOLERANCE = 1e-5  # of shares written with six digits
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Contents:
    """What a folder holds: images by split, and instances by category and split."""

    format: str
    images: dict[str, int]
    instances: dict[str, dict[str, int]]

    def __str__(self) -> str:
        splits = ", ".join(f"{split} {count}" for split, count in self.images.items())
        lines = [f"{self.format}: {sum(self.images.values())} images ({splits})"]
        for category, counts in self.instances.items():
            by_split = ", ".join(f"{split} {count}" for split, count in counts.items())
            lines.append(f"  {category}: {sum(counts.values())} instances ({by_split})")
        return "\n".join(lines)


def check_dataset(folder: Path) -> Contents:
    """What is in the folder: a training set as `generate` writes it, or a COCO folder or BOP scene of anyone's.

    Raises:
        FileNotFoundError, ValueError: at the first thing that breaks the format's rules, naming the file, in one line.
    """
    if (folder / DATA).is_file():
        name, splits = "yolo", _check_yolo(folder)
    elif is_bop(folder):
        name, splits = "bop", {folder.name: _check_scenes([folder], folder)}
    elif (folder / f"{SPLITS[0]}_pbr").is_dir():
        _check_camera(folder / "camera.json")
        scenes = {split: sorted((folder / f"{split}_pbr").iterdir()) for split in SPLITS}
        name, splits = "bop", {split: _check_scenes(scenes[split], folder) for split in SPLITS}
    elif (folder / SPLITS[0] / ANNOTATIONS).is_file():
        name, splits = "coco", {split: _check_coco(folder / split) for split in SPLITS}
    elif (folder / ANNOTATIONS).is_file():
        name, splits = "coco", {folder.name: _check_coco(folder)}
    else:
        wanted = f"{ANNOTATIONS} or {SPLITS[0]}/{ANNOTATIONS} (COCO), {DATA} (YOLO), scene_gt.json or train_pbr/ (BOP)"
        raise FileNotFoundError(f"{folder} must hold {wanted}, got none of these")
    categories = dict.fromkeys(category for _, counts in splits.values() for category in counts)
    return Contents(
        name,
        {split: num_images for split, (num_images, _) in splits.items()},
        {category: {split: counts[category] for split, (_, counts) in splits.items()} for category in categories},
    )


_Split = tuple[int, "Counter[str]"]
"""Number of images, and of instances by category; every category of the folder is in it."""


def _check_coco(folder: Path) -> _Split:
    path = folder / ANNOTATIONS
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it is loading
            coco = COCO(path)
        categories = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
        if len(set(categories.values())) < len(coco.dataset["categories"]):
            raise ValueError(f"{path}: ids and names of categories must differ, got one twice")
        for kind, index in (("images", coco.imgs), ("annotations", coco.anns)):
            if len(index) < len(coco.dataset[kind]):
                raise ValueError(f"{path}: ids of {kind} must differ, got one twice")
        for image in coco.imgs.values():
            size = (image["width"], image["height"])
            _check_size(folder / IMAGES / image["file_name"], size, folder)
        counts = Counter(dict.fromkeys(categories.values(), 0))
        for annotation in coco.anns.values():
            _check_coco_annotation(coco, annotation, f"{path}: annotation {annotation['id']}")
            counts[categories[annotation["category_id"]]] += 1
    except (KeyError, TypeError, IndexError, AssertionError, json.JSONDecodeError) as failure:
        raise ValueError(f"{path}: {type(failure).__name__}: {failure}") from None
    return len(coco.imgs), counts


def _check_coco_annotation(coco: COCO, annotation: Mapping[str, Any], where: str) -> None:
    image = coco.imgs[annotation["image_id"]]
    x, y, width, height = annotation["bbox"]
    area, numbers = annotation["area"], (annotation["area"], x, y, width, height)
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{where}: area and bbox must be finite numbers, got {numbers}")
    if not (width > 0 and height > 0 and area > 0):
        raise ValueError(f"{where}: width, height and area must be above 0, got {width}, {height}, {area}")
    if annotation["category_id"] not in coco.cats:
        raise ValueError(f"{where}: category_id must be one of {sorted(coco.cats)}, got {annotation['category_id']}")
    if min(x, y) < 0 or x + width > image["width"] or y + height > image["height"]:
        raise ValueError(f"{where}: bbox must stay inside {image['width']}x{image['height']}, got {annotation['bbox']}")
    if annotation.get("segmentation"):
        mask = coco.annToMask(annotation).astype(bool)
        around = enclosing_box(mask) if mask.any() else None
        if around is None or not np.allclose(around, annotation["bbox"], rtol=0, atol=BOX_TOLERANCE):
            raise ValueError(f"{where}: bbox must be around the segmentation, {around}, got {annotation['bbox']}")


def _check_yolo(folder: Path) -> dict[str, _Split]:
    path = folder / DATA
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as failure:
        raise ValueError(f"{path} must be YAML: {' '.join(str(failure).split())}") from None
    if not isinstance(content, dict) or not {"names", *SPLITS} <= content.keys():
        raise ValueError(f"{path} must have train, val and names, got {content}")
    names = content["names"]
    by_class = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(by_class, dict) or list(by_class) != list(range(len(by_class))) or not by_class:
        raise ValueError(f"{path}: names must be a list, or number classes from 0, got {names}")
    return {split: _check_yolo_split(folder, folder / str(content[split]), by_class) for split in SPLITS}


def _check_yolo_split(root: Path, folder: Path, names: Mapping[int, str]) -> _Split:
    if not folder.is_dir() or not folder.resolve().is_relative_to((root / "images").resolve()):
        raise ValueError(f"{root / DATA} must name folders in {root / 'images'}, got {folder}")
    labels = root / "labels" / folder.relative_to(root / "images")
    counts = Counter(dict.fromkeys(names.values(), 0))
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    for file in files:
        _check_size(file, None, root)
        path = labels / f"{file.stem}.txt"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            counts[names[_check_yolo_line(line, len(names), f"{path}:{number}")]] += 1
    if strays := {path.stem for path in labels.iterdir()} - {path.stem for path in files}:
        raise ValueError(f"{labels / min(strays)}.txt must have an image in {folder}, got none")
    return len(files), counts


def _check_yolo_line(line: str, num_classes: int, where: str) -> int:
    """The line's class."""
    try:
        index, box = int(line.split()[0]), [float(number) for number in line.split()[1:]]
    except (ValueError, IndexError):
        raise ValueError(f"{where} must be a class and four numbers, got {line!r}") from None
    if len(box) != 4 or not 0 <= index < num_classes:
        raise ValueError(f"{where} must be a class below {num_classes} and four numbers, got {line!r}")
    x, y, width, height = box
    for centre, side in ((x, width), (y, height)):
        is_inside = centre - side / 2 > -_TOLERANCE and centre + side / 2 < 1 + _TOLERANCE
        if not (0 < side <= 1 and is_inside):
            raise ValueError(f"{where} must be a box within [0, 1] of width and height above 0, got {line!r}")
    return index


def _check_scenes(scenes: Iterable[Path], root: Path) -> _Split:
    names = bop_files.read_objects(root) if (root / bop_files.OBJECTS).is_file() else {}
    num_images, counts = 0, Counter(dict.fromkeys(names.values(), 0))
    for folder in scenes:
        scene = bop_files.read_scene(folder, None)
        num_images += len(scene.poses)
        for image_id, poses in scene.poses.items():
            bop_files.find_pictures(scene, image_id, range(len(poses)))
            for pose in poses:
                if names and pose.obj_id not in names:
                    raise ValueError(f"{folder}: image {image_id}: obj_id must be in objects.json, got {pose.obj_id}")
                counts[names.get(pose.obj_id, f"object {pose.obj_id}")] += 1
            for extent in scene.extents[image_id]:
                if extent.visib_fract > 0 and min(extent.bbox_obj[2:]) < 0:
                    box = extent.bbox_obj
                    raise ValueError(f"{folder}: image {image_id}: a visible object must have a box, got {box}")
    return num_images, counts


def _check_camera(path: Path) -> None:
    wanted = {"cx", "cy", "depth_scale", "fx", "fy", "height", "width"}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as failure:
        raise ValueError(f"{path} must be JSON: {failure}") from None
    if not isinstance(content, dict) or not wanted <= content.keys():
        raise ValueError(f"{path} must have {', '.join(sorted(wanted))}, got {content}")


def _check_size(path: Path, size: tuple[int, int] | None, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} must stay inside {folder}, got a way out of it")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        with Image.open(path) as opened:
            found = displayed_size(opened)
    except (OSError, SyntaxError, Image.DecompressionBombError) as failure:
        raise ValueError(f"{path} must be an image: {failure}") from None
    if size is not None and found != size:
        raise ValueError(f"{path} must be {size[0]}x{size[1]} as in {ANNOTATIONS}, got {found[0]}x{found[1]}")
