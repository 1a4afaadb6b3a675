"""Annotated datasets in the layout of the BOP benchmark: masks, depth, poses, camera. bop_writing.py is the other way.

A scene folder holds `rgb/IMID.png`, `depth/IMID.png`, `mask/IMID_GTID.png` (as if nothing hid the instance),
`mask_visib/IMID_GTID.png`, `scene_gt.json`, `scene_gt_info.json` and `scene_camera.json`; GTID counts the entries of an
image in `scene_gt.json` from 0. The format: https://bop.felk.cvut.cz/datasets and bop_toolkit's bop_datasets_format.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from autosimulate_pipeline.annotations import bop_files
from autosimulate_pipeline.annotations.bop_files import Pictures, Scene, find_pictures
from autosimulate_pipeline.annotations.instance_layers import Layers, as_layers, cropped, layered
from autosimulate_pipeline.files import checked_files
from autosimulate_pipeline.files.checked_files import is_name
from autosimulate_pipeline.records import (
    MAX_LABELS,
    AnnotatedDataset,
    AnnotatedImage,
    Geometry,
)

COLUMNS_NOT_STEPS = np.array([0.0, 0.0, 1.0, 1.0])
"""Our boxes less BOP's, which go from the first to the last column and row."""

_MAX_OBJECT_ID = 999_999  # BOP's model files are obj_OBJID.ply with six digits


def read_bop(
    folder: Path,
    objects: Mapping[int, str],
    image_ids: Collection[int] | None = None,
    *,
    allow_empty: bool = False,
) -> AnnotatedDataset:
    """The dataset in a BOP scene folder (or the one scene in `folder`), exactly as `write_bop` got it; or BOP's own.

    Images come in the order of their ids, instances in that of scene_gt.json. Boxes are those of bbox_obj, amodal.
    Left out are instances that BOP gives no extent (−1, −1, −1, −1) and, where mask_visib/ exists,
    those without a visible pixel; where visible masks overlap the smaller lies on the larger. Without mask_visib/
    `instance_mask` is 0 everywhere; without mask/ or depth/ the geometry has none. A folder that exists must be
    complete.

    BOP's width is last column − first column; ours is the number of columns, one more. In the LM-O test images bbox_obj
    is what pixels with centres at (j + 0.5, i + 0.5) give, and rotations are up to 0.5 % off orthonormal: K and
    rotations come as given, corrected for none of this.

    Args:
        objects: category name by BOP object id, in the order of the categories; other objects are left out.
        image_ids: which images to read; None: all.
        allow_empty: accept a dataset without images or without any instance.

    Raises:
        FileNotFoundError: if the folder, one of its JSON files or an image is missing.
        ValueError: if something in it is wrong, named in one line.
    """
    object_ids = tuple(objects)
    check_objects(object_ids, objects.values())
    scene = bop_files.read_scene(folder, image_ids)
    kept = {image_id: _kept_entries(scene, image_id, object_ids) for image_id in scene.poses}
    for what, number in (("image", len(kept)), ("instance", sum(len(entries) for entries in kept.values()))):
        if not number and not allow_empty:
            path = scene.folder / bop_files.SCENE_GT
            raise ValueError(f"{path} must hold at least 1 {what} of the wanted objects {object_ids}, got 0")
    pictures = {image_id: find_pictures(scene, image_id, entries) for image_id, entries in kept.items()}
    images = tuple(
        _annotated_image(scene, image_id, entries, pictures[image_id], object_ids) for image_id, entries in kept.items()
    )
    return AnnotatedDataset(tuple(objects.values()), images, object_ids)


def scene_image_ids(folder: Path) -> list[int]:
    """The ids of all images of a scene folder, sorted, once its JSON files are checked; errors as in `read_bop`."""
    return sorted(_scene_with_images(folder).poses)


def bop_image_files(folder: Path) -> list[Path]:
    """The image files of a scene folder in the order in which `read_bop` has their images; errors as there."""
    scene = _scene_with_images(folder)
    return [find_pictures(scene, image_id, ()).photograph.path for image_id in scene.poses]


def _scene_with_images(folder: Path) -> Scene:
    scene = bop_files.read_scene(folder, None)
    if not scene.poses:
        raise ValueError(f"{scene.folder / bop_files.SCENE_GT} must hold at least 1 image, got 0")
    return scene


def split_by_blocks(image_ids: Iterable[int], num_first: int, num_blocks: int) -> tuple[list[int], list[int]]:
    """Two sets of ids made of whole blocks of neighbours: `num_first` ids in the first, all others in the second.

    Frames of a video resemble their neighbours, so a random split would put near-copies on both sides. The sorted ids
    are cut into `num_blocks` blocks, of which the first set gets its share n, rounded, spread evenly: block b, from 0,
    is the first set's where ⌊(b + 1) n / num_blocks⌋ > ⌊b n / num_blocks⌋. Within a set, block sizes differ by at most
    1, so that 100 images which come in ten runs of 10 are split 40 to 60 between runs when num_blocks is 10.

    Raises:
        ValueError: if an id appears twice, or a set or a block would be empty.
    """
    ids = sorted(image_ids)
    if len(set(ids)) < len(ids):
        raise ValueError("image_ids must differ, got one twice")
    if not 0 < num_first < len(ids):
        raise ValueError(f"num_first must be from 1 to {len(ids) - 1} for {len(ids)} images, got {num_first}")
    if not 2 <= num_blocks <= len(ids):
        raise ValueError(f"num_blocks must be from 2 to {len(ids)} for {len(ids)} images, got {num_blocks}")
    num_second = len(ids) - num_first
    share = (2 * num_blocks * num_first + len(ids)) // (2 * len(ids))
    blocks_first = min(max(share, 1), num_blocks - 1)  # no block is empty, as num_blocks is at most len(ids)
    blocks_second = num_blocks - blocks_first
    first: list[int] = []
    second: list[int] = []
    start = done_first = 0
    for block in range(1, num_blocks + 1):
        done_before, done_first = done_first, block * blocks_first // num_blocks
        end = num_first * done_first // blocks_first + num_second * (block - done_first) // blocks_second
        (first if done_first > done_before else second).extend(ids[start:end])
        start = end
    return first, second


def _annotated_image(
    scene: Scene, image_id: int, entries: list[int], pictures: Pictures, object_ids: tuple[int, ...]
) -> AnnotatedImage:
    """The image with those of its instances that are left, from their `entries` in scene_gt.json."""
    poses, extents, camera = scene.poses[image_id], scene.extents[image_id], scene.cameras[image_id]
    pixels = checked_files.read_pixels(pictures.photograph.path, "RGB")
    size = pixels.shape[:2]
    layers = Layers(np.zeros(size, dtype=np.uint8), None)
    left = list(range(len(entries)))  # positions in `entries`
    if pictures.visible_masks is not None:
        masks = [checked_files.read_pixels(picture.path) > 0 for picture in pictures.visible_masks]
        left = [position for position, mask in enumerate(masks) if mask.any()]
        crops = (cropped(masks[position]) for position in left)
        layers = as_layers(layered(crops, size, f"{scene.folder}: image {image_id}"))
    full_masks = depth_mm = None
    if pictures.full_masks is not None:
        full_masks = np.zeros((len(left), *size), dtype=bool)
        for mask, position in zip(full_masks, left, strict=True):
            mask[:] = checked_files.read_pixels(pictures.full_masks[position].path) > 0
    if pictures.depth is not None:
        depth_mm = (checked_files.read_pixels(pictures.depth.path) * camera.depth_scale).astype(np.float32)
    chosen = [entries[position] for position in left]
    return AnnotatedImage(
        pixels,
        layers.instance_mask,
        tuple(object_ids.index(poses[entry].obj_id) + 1 for entry in chosen),
        instance_boxes=np.array([extents[entry].bbox_obj for entry in chosen]).reshape(-1, 4) + COLUMNS_NOT_STEPS,
        visible_fractions=tuple(extents[entry].visib_fract for entry in chosen),
        geometry=Geometry(
            camera_matrix=np.array(camera.matrix, dtype=np.float64).reshape(3, 3),
            rotations=np.array([poses[entry].rotation for entry in chosen], dtype=np.float64).reshape(-1, 3, 3),
            translations_mm=np.array([poses[entry].shift_mm for entry in chosen], dtype=np.float64).reshape(-1, 3),
            depth_mm=depth_mm,
            full_masks=full_masks,
        ),
        masks_below=layers.masks_below,
    )


def _kept_entries(scene: Scene, image_id: int, object_ids: tuple[int, ...]) -> list[int]:
    """Which entries of the image are of our objects and have an extent (BOP: −1, −1, −1, −1 where all is hidden)."""
    pairs = zip(scene.poses[image_id], scene.extents[image_id], strict=True)
    return [
        entry
        for entry, (pose, extent) in enumerate(pairs)
        if pose.obj_id in object_ids and min(extent.bbox_obj[2:]) >= 0
    ]


def check_objects(object_ids: Iterable[int], names: Iterable[str]) -> None:
    ids, categories = tuple(object_ids), tuple(names)
    num_different = len(set(ids)) if len(set(ids)) == len(set(filter(is_name, categories))) == len(ids) else 0
    if not 0 < num_different <= MAX_LABELS or min(ids) < 0 or max(ids) > _MAX_OBJECT_ID:
        raise ValueError(
            f"objects must be 1 to {MAX_LABELS} different ids from 0 to {_MAX_OBJECT_ID} with different names, "
            f"got {ids} named {categories}"
        )
