"""Annotated datasets as COCO folders: `annotations.json` beside `images/`. coco_writing.py is the other way.

File names in `annotations.json` are relative to `images/`. Segmentations are written as compressed RLE and read as
compressed or uncompressed RLE or polygons; where annotations have none, their boxes are the labels. The format:
https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter

from autosimulate_pipeline.annotations.checked_files import (
    MAX_SIDE,
    Name,
    read_header,
    read_json,
    read_pixels,
)
from autosimulate_pipeline.annotations.photograph_files import find_photograph
from autosimulate_pipeline.records import (
    MAX_LABELS,
    AnnotatedDataset,
    AnnotatedImage,
    enclosing_box,
    visible_instances,
)

ANNOTATIONS = "annotations.json"
IMAGES = "images"

BOX_TOLERANCE = 2.0  # pixels: annotators' boxes come from polygon corners, ours from pixels


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Rle(_Record):
    size: tuple[int, int]
    counts: Annotated[str, Field(pattern="^([P-o]{0,5}[0-O])+$")] | list[int]


class CocoImage(_Record):
    """An entry of `images`."""

    id: int
    file_name: Name
    width: int = Field(ge=1, le=MAX_SIDE)
    height: int = Field(ge=1, le=MAX_SIDE)


_Segmentation = Annotated[
    Annotated[_Rle, Tag("rle")] | Annotated[list[list[float]], Tag("polygons")],
    Discriminator(lambda value: "polygons" if isinstance(value, list) else "rle"),
]


class CocoAnnotation(_Record):
    """An entry of `annotations`."""

    id: int
    image_id: int
    category_id: int
    segmentation: _Segmentation | None = None
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class CocoCategory(_Record):
    """An entry of `categories`."""

    id: int
    name: Name


class CocoFile(_Record):
    """What an annotations.json must hold; anything else in it is left alone."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory] = Field(min_length=1, max_length=MAX_LABELS)


_COCO_FILE = TypeAdapter(CocoFile)


def read_coco(folder: Path, *, allow_empty: bool = False) -> AnnotatedDataset:
    """The dataset in a COCO folder, exactly as `write_coco` got it; or a user's own, PNG or JPEG.

    Images come in the order of their ids, categories and the instances of an image too. Where instances overlap the
    later one wins, and one that nothing is left of is dropped. If an annotation of the folder has no segmentation, all
    are read as boxes alone. A photograph is turned as its EXIF orientation says, and its size is the one that has then.

    Args:
        allow_empty: accept a dataset without images or without any annotation, as a simulator can make one.

    Raises:
        FileNotFoundError: if the folder, its annotations.json or an image is missing.
        ValueError: if something in it is wrong, named in one line.
    """
    content = read_coco_file(folder)
    for what, records in (("image", content.images), ("annotation", content.annotations)):
        if not records and not allow_empty:
            raise ValueError(f"{folder / ANNOTATIONS}: {what}s must hold at least 1 {what}, got 0")
    by_image = annotations_by_image(content, folder / ANNOTATIONS)
    names = {category.id: category.name for category in sorted(content.categories, key=lambda category: category.id)}
    has_masks = _first_without_mask(content) is None
    images = []
    for image in sorted(content.images, key=lambda image: image.id):
        pixels = read_coco_image(folder, image)
        annotate = _with_masks if has_masks else _with_boxes
        images.append(annotate(pixels, by_image[image.id], list(names), folder / ANNOTATIONS))
    return AnnotatedDataset(tuple(names.values()), tuple(images))


def coco_image_files(folder: Path) -> list[Path]:
    """The image files of a COCO folder in the order in which `read_coco` has their images; errors as there."""
    images = sorted(read_coco_file(folder).images, key=lambda image: image.id)
    return [find_photograph(folder / IMAGES, image.file_name, folder) for image in images]


def coco_annotation_without_mask(folder: Path) -> int | None:
    """The id of an annotation that has a box and no segmentation, so that all of the folder are read as boxes."""
    return _first_without_mask(read_coco_file(folder))


def _first_without_mask(content: CocoFile) -> int | None:
    return min((annotation.id for annotation in content.annotations if not annotation.segmentation), default=None)


def annotations_by_image(content: CocoFile, path: Path) -> dict[int, list[CocoAnnotation]]:
    """The annotations of each image, by its id, in the order of theirs.

    Args:
        path: of the file with this content.

    Raises:
        ValueError: naming the path, if an id is there twice or belongs to nothing, if an annotation is of a crowd, or
            if an image has more than 255.
    """
    by_image: dict[int, list[CocoAnnotation]] = {image.id: [] for image in content.images}
    category_ids = sorted(category.id for category in content.categories)
    for ids, what in (
        (category_ids, "category"),
        ([image.id for image in content.images], "image"),
        ([annotation.id for annotation in content.annotations], "annotation"),
    ):
        if len(set(ids)) < len(ids):
            raise ValueError(f"{path}: {what} ids must differ, got one twice")
    for annotation in sorted(content.annotations, key=lambda annotation: annotation.id):
        where = f"{path}: annotation {annotation.id}"
        if annotation.category_id not in category_ids:
            raise ValueError(f"{where}: category_id must be one of {category_ids}, got {annotation.category_id}")
        if annotation.image_id not in by_image:
            raise ValueError(f"{where}: image_id must be the id of an image, got {annotation.image_id}")
        if annotation.iscrowd:
            raise ValueError(f"{where}: iscrowd must be 0 (crowd regions have no instances), got {annotation.iscrowd}")
        by_image[annotation.image_id].append(annotation)
    for image_id, of_image in by_image.items():
        if len(of_image) > MAX_LABELS:
            wanted = f"at most {MAX_LABELS} annotations"
            raise ValueError(f"{path}: image {image_id} must have {wanted}, got {len(of_image)}")
    return by_image


def read_coco_file(folder: Path) -> CocoFile:
    """The folder's annotations.json, each entry checked by itself.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is malformed.
    """
    missing = f": a COCO folder holds {ANNOTATIONS} and {IMAGES}/"
    return read_json(folder / ANNOTATIONS, folder, _COCO_FILE, missing)


def read_coco_image(folder: Path, image: CocoImage) -> NDArray[np.uint8]:
    """The pixels, sRGB, shape (height, width, 3), turned as EXIF says; of a file or link in the folder.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is elsewhere, no PNG or JPEG, of more than 8 bits, or of another size than announced.
    """
    missing, announced = f": {ANNOTATIONS} names it for image {image.id}", (image.width, image.height)
    path = find_photograph(folder / IMAGES, image.file_name, folder, missing)
    header = read_header(path)
    if header.mode.startswith(("I", "F")):  # Pillow would make all that is above 255 white
        raise ValueError(f"{path} must have 8 bits a channel, got Pillow's mode {header.mode}")
    # Nothing is decoded that is larger than announced; which side is which, only the pixels tell.
    pixels = read_pixels(path, "RGB", turned=True) if sorted(header.size) == sorted(announced) else None
    height, width = header.size[::-1] if pixels is None else pixels.shape[:2]
    if pixels is None or (width, height) != announced:
        raise ValueError(f"{path} must be {image.width}x{image.height} as in {ANNOTATIONS}, got {width}x{height}")
    return pixels


def _with_boxes(
    pixels: NDArray[np.uint8], annotations: list[CocoAnnotation], category_ids: list[int], source: Path
) -> AnnotatedImage:
    height, width = pixels.shape[:2]
    corner = np.array([width, height]) + BOX_TOLERANCE
    for annotation in annotations:
        box = np.array(annotation.bbox)
        low, high = box[:2], box[:2] + box[2:]
        is_inside = (low >= -BOX_TOLERANCE).all() and (high <= corner).all()
        if not (is_inside and (box[2:] > 0).all()):
            raise ValueError(
                f"{source}: annotation {annotation.id}: bbox must be [x, y, width, height] in the image of "
                f"{width}x{height}, width and height above 0, got {list(annotation.bbox)}"
            )
    return AnnotatedImage(
        pixels,
        np.zeros((height, width), dtype=np.uint8),
        tuple(category_ids.index(annotation.category_id) + 1 for annotation in annotations),
        instance_boxes=np.array([annotation.bbox for annotation in annotations]).reshape(-1, 4),
    )


def _with_masks(
    pixels: NDArray[np.uint8], annotations: list[CocoAnnotation], category_ids: list[int], source: Path
) -> AnnotatedImage:
    overlay = np.zeros(pixels.shape[:2], dtype=np.uint8)
    for number, annotation in enumerate(annotations, start=1):
        overlay[instance_mask(annotation, overlay.shape, f"{source}: annotation {annotation.id}")] = number
    mask, visible = visible_instances(overlay)
    categories = tuple(category_ids.index(annotations[number - 1].category_id) + 1 for number in visible)
    return AnnotatedImage(pixels, mask, categories)


def instance_mask(annotation: CocoAnnotation, size: tuple[int, ...], where: str) -> NDArray[np.bool_]:
    """The pixels of an annotation, in an image of `size`, (height, width).

    Raises:
        ValueError: beginning with `where`, if it does not fit into the image, is empty, or has another box than given.
    """
    height, width = size
    segmentation = annotation.segmentation or []
    if isinstance(segmentation, _Rle):
        if segmentation.size != size:
            raise ValueError(
                f"{where}: segmentation.size must be the image's [{height}, {width}], got {list(segmentation.size)}"
            )
        runs = _run_lengths(segmentation.counts)
        # pycocotools would fill up a mask that is too short with whatever lies in memory.
        if min(runs, default=0) < 0 or sum(runs) != height * width:
            total = reprlib.repr(sum(runs))
            raise ValueError(f"{where}: run lengths must be at least 0 and sum to {height * width}, got {total}")
        mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    else:
        for polygon in segmentation:
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"{where}: a polygon must have x, y for 3 corners or more, got {len(polygon)} numbers")
            corners = np.array(polygon).reshape(-1, 2)
            if (corners < 0).any() or (corners > (width, height)).any():
                raise ValueError(f"{where}: a polygon must stay inside the image of {width}x{height}")
            steps = np.abs(np.diff(corners, axis=0, append=corners[:1])).max(axis=1)
            if steps.sum() > 4 * width * height:  # pycocotools takes memory for every pixel of it
                raise ValueError(f"{where}: a polygon's outline must be at most {4 * width * height} pixels long")
        rles = coco_mask.frPyObjects(segmentation, height, width)
        mask = coco_mask.decode(coco_mask.merge(rles)).astype(bool)
    if not mask.any():
        raise ValueError(f"{where}: segmentation must cover at least one pixel, got none")
    box = enclosing_box(mask)
    if not np.allclose(box, annotation.bbox, rtol=0, atol=BOX_TOLERANCE):
        raise ValueError(f"{where}: bbox must enclose the segmentation, {list(box)}, got {list(annotation.bbox)}")
    return mask


def _run_lengths(counts: str | list[int]) -> list[int]:
    """Lengths of the runs of 0, 1, 0, … down the columns, from COCO's compressed text if need be.

    A number is in base 32, low digits first, its sign in the last digit; from the fourth on it is the difference from
    the number two before. A character is a digit plus 48, plus 32 if more follow.
    """
    if not isinstance(counts, str):
        return counts
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            value -= (digit & 16) << (shift - 4)
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs
