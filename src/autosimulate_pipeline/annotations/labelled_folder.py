"""A user's own labelled images: a COCO folder, a YOLO folder or a BOP scene, whichever it is."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from autosimulate_pipeline.annotations.bop import bop_image_files, read_bop
from autosimulate_pipeline.annotations.bop_files import OBJECTS, SCENE_GT, read_objects
from autosimulate_pipeline.annotations.coco import (
    OtherCategories,
    coco_annotation_without_mask,
    coco_image_files,
    open_coco,
)
from autosimulate_pipeline.annotations.coco_file import ANNOTATIONS
from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.annotations.yolo import read_yolo, yolo_image_files, yolo_root
from autosimulate_pipeline.files.checked_files import check_inside
from autosimulate_pipeline.files.user_paths import existing_folder
from autosimulate_pipeline.records import AnnotatedDataset

logger = logging.getLogger(__name__)

logger = logging.getLogger(__name__)


def read_labelled_folder(
    folder: Path,
    categories: tuple[str, ...],
    object_ids: Sequence[int] | None = None,
    others: OtherCategories = "left_out",
) -> AnnotatedDataset:
    """The folder's images with labels of these categories, which go by name.

    A BOP scene has its objects' names in `objects.json`; where that is missing they are `object_ids`, one for each
    category. Its other objects are left out, and other classes of a YOLO folder. What of a COCO or YOLO folder is read
    with tolerance is logged, a line a kind.

    Args:
        others: what becomes of a COCO folder's instances of other categories.

    Raises:
        FileNotFoundError: if the folder or a file of it is missing.
        ValueError: if something in it is wrong, named in one line.
    """
    folder = existing_folder(folder)
    if _is_yolo(folder):
        notices = Notices()
        dataset = read_yolo(folder, categories, notices)
        for line in notices.lines:
            logger.warning("%s: %s", folder, line)
        return dataset
    if not is_bop(folder):
        images = open_coco(folder, categories, others=others)
        dataset = AnnotatedDataset(categories, tuple(images))
        for line in images.notices.lines:
            logger.warning("%s: %s", folder, line)
        return dataset
    if (folder / OBJECTS).is_file():
        ids = {name: object_id for object_id, name in read_objects(folder).items()}
        if missing := set(categories) - ids.keys():
            raise ValueError(f"{folder / OBJECTS} must name all of {', '.join(categories)}, got no {min(missing)}")
        return read_bop(folder, {ids[name]: name for name in categories})
    if object_ids is None:
        wanted = f'such as {{"1": "{categories[0]}"}}'
        raise FileNotFoundError(f"{folder / OBJECTS} is missing: it says which BOP object is which category, {wanted}")
    return read_bop(folder, dict(zip(object_ids, categories, strict=True)))


def unlabelled_categories(dataset: AnnotatedDataset) -> list[str]:
    """The categories that no image of the dataset has an instance of that counts."""
    labelled = {category for image in dataset.images for category in image.counted_categories}
    return [name for index, name in enumerate(dataset.categories, start=1) if index not in labelled]


def lack_of_masks(folder: Path) -> str | None:
    """What shows that the folder's labels are boxes alone, in words; None: it has masks. Errors as in reading it."""
    folder = existing_folder(folder)
    if _is_yolo(folder):
        return f"{folder} is a YOLO folder, whose labels are boxes"
    if is_bop(folder):
        (scene,) = {path.parent.parent for path in bop_image_files(folder)}
        return None if (scene / "mask_visib").is_dir() else f"{scene} has no mask_visib/"
    annotation_id = coco_annotation_without_mask(folder)
    return None if annotation_id is None else f"{folder}: annotation {annotation_id} has no segmentation"


def check_disjoint(
    validation: AnnotatedDataset, validation_folder: Path, test: AnnotatedDataset, test_folder: Path
) -> None:
    """Raises ValueError, naming both files, if a test image has the same pixels as a validation image."""
    seen = _files_by_pixels(validation, validation_folder)
    for digest, file in _files_by_pixels(test, test_folder).items():
        if digest in seen:
            raise ValueError(
                f"{file} and {seen[digest]} are the same picture: a test image must not be among the validation "
                "images, which the search sees"
            )


def check_no_links(folder: Path) -> None:
    """Raises ValueError, naming it, if a link leads out of the folder; of a split, out of the whole YOLO folder."""
    root = (yolo_root(folder) if _is_yolo(folder) else None) or folder
    for place, folders, files in os.walk(root):
        for path in (Path(place) / name for name in sorted((*folders, *files))):
            if path.is_symlink():
                check_inside(path, root)


def is_bop(folder: Path) -> bool:
    """Whether the folder is a BOP scene or holds one."""
    return (folder / SCENE_GT).is_file() or any(folder.glob(f"[0-9]*/{SCENE_GT}"))


def _is_yolo(folder: Path) -> bool:
    """Whether the folder is a YOLO folder or a split of one; what is neither that nor BOP should be COCO."""
    return not is_bop(folder) and not (folder / ANNOTATIONS).is_file() and yolo_root(folder) is not None


def _files_by_pixels(dataset: AnnotatedDataset, folder: Path) -> dict[bytes, Path]:
    """The folder's files by a hash of their decoded pixels."""
    list_files = yolo_image_files if _is_yolo(folder) else bop_image_files if is_bop(folder) else coco_image_files
    digests = (
        hashlib.sha256(repr(image.image.shape).encode() + image.image.tobytes()).digest() for image in dataset.images
    )
    return dict(zip(digests, list_files(folder), strict=True))
