"""What a BOP scene folder holds, checked before any pixel is decoded: a folder may be a stranger's, or half copied.

File names come from integer ids alone. Every refusal is one line that names the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from autosimulate_pipeline.annotations.photograph_files import check_photograph
from autosimulate_pipeline.annotations.photographs import has_16_bits
from autosimulate_pipeline.files.checked_files import Name, read_header, read_json

SCENE_GT = "scene_gt.json"
SCENE_GT_INFO = "scene_gt_info.json"
SCENE_CAMERA = "scene_camera.json"
OBJECTS = "objects.json"

_MAX_REACH = 1e6  # pixels; a box from further away is no box of this image
# Of the entries of R Rᵀ. BOP's own LM-O has rotations that are off by up to 0.0096 (the can's scale by 1.0045), and its
# boxes were rendered with them as they are.
_ROTATION_TOLERANCE = 0.02

# Pillow's names; 16-bit PNGs are "I" or "I;16", depending on its version.
_PHOTOGRAPH_MODES = ("L", "P", "RGB", "RGBA")
_MASK_MODES = ("1", "L")
_DEPTH_MODES = ("I", "I;16")

_Content = TypeVar("_Content")
_Id = Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,8})$")]  # of an image or object, as JSON keys are text
_Pixels = Annotated[float, Field(ge=-_MAX_REACH, le=_MAX_REACH)]
_Matrix = Annotated[tuple[float, ...], Field(min_length=9, max_length=9)]  # row-wise


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Pose(_Record):
    """An entry of scene_gt.json: from the model's coordinates to the camera's, mm."""

    obj_id: int
    rotation: _Matrix = Field(alias="cam_R_m2c")
    shift_mm: tuple[float, float, float] = Field(alias="cam_t_m2c")


class Extent(_Record):
    """An entry of scene_gt_info.json: the amodal box [x, y, width, height] and the visible fraction."""

    bbox_obj: tuple[_Pixels, _Pixels, _Pixels, _Pixels]
    visib_fract: float = Field(ge=0, le=1)


class Camera(_Record):
    """An entry of scene_camera.json: K, and mm per unit of the depth image."""

    matrix: _Matrix = Field(alias="cam_K")
    depth_scale: float = Field(gt=0, le=1000)


_POSES = TypeAdapter(dict[_Id, list[Pose]])
_EXTENTS = TypeAdapter(dict[_Id, list[Extent]])
_CAMERAS = TypeAdapter(dict[_Id, Camera])
_NAMES = TypeAdapter(dict[_Id, Name])


@dataclass(frozen=True)
class Scene:
    """The three JSON files of a scene folder, by image id; `poses[i]` and `extents[i]` have equal lengths.

    Attributes:
        root: the folder that no file may lie outside of, after following links.
        folder: the scene folder, `root` or a folder in it.
    """

    root: Path
    folder: Path
    poses: dict[int, list[Pose]]
    extents: dict[int, list[Extent]]
    cameras: dict[int, Camera]


@dataclass(frozen=True)
class Picture:
    """An image file whose header has been read; `size` is (width, height)."""

    path: Path
    size: tuple[int, int]


@dataclass(frozen=True)
class Pictures:
    """The files of one image, masks in the order of the entries asked for; None: the scene has no such folder."""

    photograph: Picture
    depth: Picture | None
    full_masks: list[Picture] | None
    visible_masks: list[Picture] | None


def read_objects(folder: Path) -> dict[int, str]:
    """Category name by object id, in the order of `folder/objects.json`, which `write_bop` leaves there.

    Raises:
        FileNotFoundError, ValueError: if the file is missing or something in it is wrong.
    """
    return {int(key): name for key, name in read_json(folder / OBJECTS, folder, _NAMES).items()}


def read_scene(root: Path, image_ids: Collection[int] | None) -> Scene:
    """The scene in `root`, or in the one folder with a six-digit name in it, reduced to `image_ids` if given.

    Raises:
        FileNotFoundError, ValueError: as `read_bop` says.
    """
    folder = _scene_folder(root)
    poses = _by_image(read_json(folder / SCENE_GT, root, _POSES))
    needed = ": it holds each instance's box and visible fraction"
    extents = _by_image(read_json(folder / SCENE_GT_INFO, root, _EXTENTS, needed))
    cameras = _by_image(read_json(folder / SCENE_CAMERA, root, _CAMERAS))
    for name, ids in ((SCENE_GT_INFO, extents.keys()), (SCENE_CAMERA, cameras.keys())):
        if ids != poses.keys():
            image_id = min(ids ^ poses.keys())
            has, lacks = (SCENE_GT, name) if image_id in poses else (name, SCENE_GT)
            raise ValueError(f"{folder / lacks}: image {image_id} must be in it as in {has}, got no such image")
    for image_id, camera in cameras.items():
        _check_camera(camera, f"{folder / SCENE_CAMERA}: image {image_id}")
        if len(extents[image_id]) != len(poses[image_id]):
            wanted, got = len(poses[image_id]), len(extents[image_id])
            where = f"{folder / SCENE_GT_INFO}: image {image_id}"
            raise ValueError(f"{where} must have {wanted} entries as in {SCENE_GT}, got {got}")
        for index, pose in enumerate(poses[image_id]):
            _check_rotation(pose, f"{folder / SCENE_GT}: image {image_id}, entry {index}")
    selected = sorted(poses.keys() if image_ids is None else set(image_ids))
    for image_id in selected:
        if image_id not in poses:
            raise ValueError(f"{folder / SCENE_GT}: image_ids must be among its images, got {image_id}")
    return Scene(
        root,
        folder,
        poses={image_id: poses[image_id] for image_id in selected},
        extents={image_id: extents[image_id] for image_id in selected},
        cameras={image_id: cameras[image_id] for image_id in selected},
    )


def find_pictures(scene: Scene, image_id: int, entries: Collection[int]) -> Pictures:
    """The image's files and those of its `entries` in scene_gt.json, each checked to its header."""
    png, jpg = (scene.folder / "rgb" / f"{image_id:06d}.{suffix}" for suffix in ("png", "jpg"))
    if not png.is_file() and not jpg.is_file():
        raise FileNotFoundError(f"{png} (or .jpg) is missing: {SCENE_GT} lists image {image_id}")
    photograph = _picture(scene.root, png if png.is_file() else jpg, _PHOTOGRAPH_MODES)
    if has_16_bits(photograph.path):
        raise ValueError(f"{photograph.path} must have 8 bits a channel, got 16")

    def of_folder(name: str, suffixes: Collection[str], modes: tuple[str, ...]) -> list[Picture] | None:
        if not (scene.folder / name).is_dir():
            return None
        paths = [scene.folder / name / f"{image_id:06d}{suffix}.png" for suffix in suffixes]
        return [_of_size(photograph, _picture(scene.root, path, modes)) for path in paths]

    numbers = [f"_{entry:06d}" for entry in entries]
    depth = of_folder("depth", [""], _DEPTH_MODES)
    return Pictures(
        photograph,
        depth=depth[0] if depth else None,
        full_masks=of_folder("mask", numbers, _MASK_MODES),
        visible_masks=of_folder("mask_visib", numbers, _MASK_MODES),
    )


def _picture(root: Path, path: Path, modes: tuple[str, ...]) -> Picture:
    """The image file at this path, which must be there, in `root` or a link there, and in one of Pillow's `modes`."""
    check_photograph(path, root, f": {path.parent.name}/ must hold all of {SCENE_GT}, or not exist")
    header = read_header(path)
    if header.mode not in modes:
        raise ValueError(f"{path} must be of Pillow's mode {' or '.join(modes)}, got {header.mode}")
    return Picture(path, header.size)


def _of_size(photograph: Picture, picture: Picture) -> Picture:
    if picture.size != photograph.size:
        wanted, got = (f"{width}x{height}" for width, height in (photograph.size, picture.size))
        raise ValueError(f"{picture.path} must be {wanted} as {photograph.path.name}, got {got}")
    return picture


def _scene_folder(root: Path) -> Path:
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is missing: a BOP scene folder holds {SCENE_GT}, {SCENE_CAMERA} and rgb/")
    if (root / SCENE_GT).is_file():
        return root
    scenes = sorted(path for path in root.iterdir() if re.fullmatch("[0-9]{6}", path.name) and path.is_dir())
    if len(scenes) > 1:
        raise ValueError(
            f"{root} must be one scene folder or hold one, got {scenes[0].name}, {scenes[1].name} and so on"
        )
    return scenes[0] if scenes else root


def _by_image(content: dict[str, _Content]) -> dict[int, _Content]:
    return {int(key): value for key, value in content.items()}


def _check_camera(camera: Camera, where: str) -> None:
    fx, _, _, k10, fy, _, *last_row = camera.matrix
    if not (fx > 0 and fy > 0 and k10 == 0 and last_row == [0, 0, 1]):
        raise ValueError(f"{where}: cam_K must be [fx, s, cx, 0, fy, cy, 0, 0, 1], row-wise, got {list(camera.matrix)}")


def _check_rotation(pose: Pose, where: str) -> None:
    rotation = np.array(pose.rotation).reshape(3, 3)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if not (error <= _ROTATION_TOLERANCE and np.linalg.det(rotation) > 0):
            raise ValueError(
                f"{where}: cam_R_m2c must be a rotation (within {_ROTATION_TOLERANCE}), got {rotation.tolist()}"
            )
