"""Annotated datasets written in the layout of the BOP benchmark; see bop.py.

BOP itself names no objects; `write_bop` adds `objects.json` for that. The visible masks and boxes stand once more in
`scene_gt_coco.json`, as BOP has it for programs that read COCO.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autosimulate_pipeline.annotations import bop_files
from autosimulate_pipeline.annotations.bop import COLUMNS_NOT_STEPS, check_objects
from autosimulate_pipeline.annotations.coco_writing import CocoLabels
from autosimulate_pipeline.records import (
    AnnotatedDataset,
    AnnotatedImage,
    Geometry,
    enclosing_box,
)

SCENE_GT_COCO = "scene_gt_coco.json"
DEPTH_SCALE = 0.1  # mm per unit of the 16-bit depth image
FAR_DEPTH_SCALE = 1.0  # of an image with something further away than 6.55 m
_MAX_DEPTH_MM = 65535 * FAR_DEPTH_SCALE


def write_bop(dataset: AnnotatedDataset, folder: Path) -> None:
    """Writes the dataset as one scene, `folder/000000/`, and `folder/objects.json`: equal datasets, equal bytes.

    Image ids are positions in `dataset.images`; the rest is as `write_scene` says.

    Raises:
        FileExistsError: if the folder has something in it already.
        ValueError: as `write_scene`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} must be empty or new to write a BOP dataset to it")
    write_scene(dataset, folder / "000000", range(len(dataset)))
    write_objects(dataset.categories, dataset.object_ids, folder)


def write_objects(categories: Sequence[str], object_ids: Sequence[int] | None, folder: Path) -> None:
    """Writes `folder/objects.json`, the names of the BOP objects by id."""
    _write_json(folder / bop_files.OBJECTS, _checked_objects(categories, object_ids))


def write_scene(dataset: AnnotatedDataset, scene: Path, image_ids: Sequence[int]) -> None:
    """Writes the dataset's images, of these ids, to a scene folder that is not there yet.

    The labels go to scene_gt.json, scene_gt_info.json and scene_camera.json, and those that COCO knows to
    scene_gt_coco.json, with object ids as category ids.

    Where an image has no `instance_boxes`, bbox_obj encloses the full mask; where it has no `visible_fractions`,
    visib_fract is px_count_visib / px_count_all. The counts are those of the image's own pixels, while a given box or
    fraction may reach beyond it. Masks, full masks and depth are written if all images have them.

    Raises:
        ValueError: if the dataset has no object ids, an image no poses, only some images a depth or masks, or one a
            depth beyond 0 to 6553.5 mm.
    """
    objects = _checked_objects(dataset.categories, dataset.object_ids)
    object_ids, coco = list(objects), CocoLabels(objects)
    geometries = [_checked_geometry(image, f"image {index}") for index, image in enumerate(dataset.images)]
    with_instances = [image for image in dataset.images if image.instance_categories]
    kinds = {
        "depth": _all_or_none("depth_mm", [geometry.depth_mm is not None for geometry in geometries]),
        "mask": _all_or_none("full_masks", [geometry.full_masks is not None for geometry in geometries]),
        "mask_visib": _all_or_none("instance_mask", [image.has_masks for image in with_instances]),
    }
    for kind in ("rgb", *(kind for kind, is_there in kinds.items() if is_there)):
        (scene / kind).mkdir(parents=True, exist_ok=True)
    poses: dict[int, Any] = {}
    extents: dict[int, Any] = {}
    cameras: dict[int, Any] = {}
    for image_id, image, geometry in zip(image_ids, dataset.images, geometries, strict=True):
        image_name = f"{image_id:06d}.png"
        Image.fromarray(image.image).save(scene / "rgb" / image_name)
        coco.add(image, image_id, f"rgb/{image_name}")
        depth_scale = _depth_scale(geometry)
        if geometry.depth_mm is not None:
            depth = np.rint(geometry.depth_mm.astype(np.float64) / depth_scale).astype(np.uint16)
            Image.fromarray(depth).save(scene / "depth" / image_name)
        cameras[image_id] = {"cam_K": geometry.camera_matrix.ravel().tolist(), "depth_scale": depth_scale}
        poses[image_id], extents[image_id] = [], []
        for index, (category, mask) in enumerate(zip(image.instance_categories, image.instance_masks, strict=True)):
            name = f"{image_id:06d}_{index:06d}.png"
            visible = mask if kinds["mask_visib"] else None
            full = None if geometry.full_masks is None else geometry.full_masks[index]
            if visible is not None:
                Image.fromarray(visible.astype(np.uint8) * 255).save(scene / "mask_visib" / name)
            if full is not None:
                Image.fromarray(full.astype(np.uint8) * 255).save(scene / "mask" / name)
            poses[image_id].append(
                {
                    "cam_R_m2c": geometry.rotations[index].ravel().tolist(),
                    "cam_t_m2c": geometry.translations_mm[index].tolist(),
                    "obj_id": object_ids[category - 1],
                }
            )
            extents[image_id].append(_extent(image, index, visible, full, geometry.depth_mm))
    _write_json(scene / bop_files.SCENE_GT, poses)
    _write_json(scene / bop_files.SCENE_GT_INFO, extents)
    _write_json(scene / bop_files.SCENE_CAMERA, cameras)
    coco.write(scene / SCENE_GT_COCO)


def _checked_objects(categories: Sequence[str], object_ids: Sequence[int] | None) -> dict[int, str]:
    """Names by id."""
    if object_ids is None or len(object_ids) != len(categories):
        raise ValueError(f"object_ids must name a BOP object for each category, got {object_ids}")
    check_objects(object_ids, categories)
    return dict(zip(object_ids, categories, strict=True))


def _checked_geometry(image: AnnotatedImage, where: str) -> Geometry:
    """The image's geometry, if it is there and all that is written fits together."""
    geometry, num_instances, size = image.geometry, len(image.instance_categories), image.instance_mask.shape
    if geometry is None:
        raise ValueError(f"{where} must have geometry (poses, camera) to be written as BOP, got none")
    if image.has_masks and not np.bincount(image.instance_layers.ravel(), minlength=num_instances + 1)[1:].all():
        raise ValueError(f"{where}: every instance must have a visible pixel, got one without")
    if num_instances and not image.has_masks and image.instance_boxes is None:
        raise ValueError(f"{where} must have masks or boxes of its instances, got neither")
    fractions = np.ones(num_instances) if image.visible_fractions is None else np.array(image.visible_fractions)
    arrays: dict[str, tuple[NDArray[Any] | None, tuple[int, ...]]] = {
        "image": (image.image, (*size, 3)),
        "visible_fractions": (fractions, (num_instances,)),
        "camera_matrix": (geometry.camera_matrix, (3, 3)),
        "rotations": (geometry.rotations, (num_instances, 3, 3)),
        "translations_mm": (geometry.translations_mm, (num_instances, 3)),
        "depth_mm": (geometry.depth_mm, size),
        "full_masks": (geometry.full_masks, (num_instances, *size)),
        "boxes": (image.boxes, (num_instances, 4)),
    }
    for name, (array, shape) in arrays.items():
        if array is not None and (array.shape != shape or not np.isfinite(array).all()):
            raise ValueError(f"{where}: {name} must be finite and of shape {shape}, got shape {array.shape}")
    depth_mm = geometry.depth_mm
    if depth_mm is not None and depth_mm.size and not 0 <= depth_mm.min() <= depth_mm.max() <= _MAX_DEPTH_MM:
        raise ValueError(
            f"{where}: depth_mm must be from 0 to {_MAX_DEPTH_MM:g} (16 bits of {FAR_DEPTH_SCALE:g} mm), "
            f"got {depth_mm.min()} to {depth_mm.max()}"
        )
    if not ((fractions >= 0) & (fractions <= 1)).all():
        raise ValueError(f"{where}: visible_fractions must be from 0 to 1, got {image.visible_fractions}")
    if (image.boxes[:, 2:] < 1).any():
        raise ValueError(
            f"{where}: boxes must have a width and a height of a pixel or more, got {image.boxes.tolist()}"
        )
    return geometry


def _depth_scale(geometry: Geometry) -> float:
    depth_mm = geometry.depth_mm
    is_near = depth_mm is None or not depth_mm.size or depth_mm.max() <= 65535 * DEPTH_SCALE
    return DEPTH_SCALE if is_near else FAR_DEPTH_SCALE


def _all_or_none(name: str, images_have_it: Sequence[bool]) -> bool:
    if 0 < sum(images_have_it) < len(images_have_it):
        raise ValueError(f"{name} must be there in all images or in none to be written as BOP, got it in some")
    return all(images_have_it)


def _extent(
    image: AnnotatedImage,
    index: int,
    visible: NDArray[np.bool_] | None,
    full: NDArray[np.bool_] | None,
    depth_mm: NDArray[np.float32] | None,
) -> dict[str, Any]:
    """The instance's entry in scene_gt_info.json, with what is known."""
    fraction = None if image.visible_fractions is None else image.visible_fractions[index]
    counts: dict[str, Any] = {}
    if full is not None:
        counts["px_count_all"] = int(full.sum())
        if depth_mm is not None:
            counts["px_count_valid"] = int((full & (depth_mm >= DEPTH_SCALE / 2)).sum())
    if visible is not None:
        counts |= {"bbox_visib": _box(visible), "px_count_visib": int(visible.sum())}
        if fraction is None and full is not None:
            fraction = min(counts["px_count_visib"] / max(counts["px_count_all"], 1), 1.0)
    if image.instance_boxes is None and visible is not None:
        box: list[float] = [*_box(visible if full is None else full | visible)]
    else:
        box = (image.boxes[index] - COLUMNS_NOT_STEPS).tolist()
        box = [int(side) if side.is_integer() else side for side in box]  # as BOP's own files have it
    return {"bbox_obj": box, **counts, "visib_fract": 1.0 if fraction is None else fraction}


def _box(mask: NDArray[np.bool_]) -> list[int]:
    """[x, y, width, height] around the pixels of a mask, in BOP's steps from the first to the last."""
    x, y, width, height = enclosing_box(mask)
    return [x, y, width - 1, height - 1]


def _write_json(path: Path, content: Mapping[int, Any]) -> None:
    """One image (or object) a line, as BOP's own files have it."""
    lines = ",\n  ".join(f"{json.dumps(str(key))}: {json.dumps(value)}" for key, value in content.items())
    path.write_text("{\n  " + lines + "\n}\n", encoding="utf-8")
