"""Annotated datasets as COCO folders: `annotations.json` beside `images/`. coco_writing.py is the other way.

File names in `annotations.json` are relative to `images/`. Segmentations are written as compressed RLE and read as
compressed or uncompressed RLE or polygons; where annotations have none, their boxes are the labels. What other
programs' files may look like is in coco_file.py and coco_masks.py; runs and `validate-dataset` read them here alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.annotations.coco_file import (
    ANNOTATIONS,
    IMAGES,
    CocoAnnotation,
    CocoFile,
    CocoImage,
    Id,
    read_coco_file,
)
from autosimulate_pipeline.annotations.coco_masks import annotation_box, annotation_mask
from autosimulate_pipeline.annotations.instance_layers import Crop, as_layers, layered, num_contested
from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.annotations.photograph_files import find_photograph
from autosimulate_pipeline.annotations.photographs import Photographs
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, visible_instances

CONTESTED = "{pixel belongs|pixels belong} to more than one instance: a segmentation takes the smaller one there"
OTHERS = {
    "left_out": "left out {annotation|annotations} of categories that the simulator lacks: ",
    "background": "took {annotation|annotations} of categories that the simulator lacks for background: ",
}

OtherCategories = Literal["left_out", "background"]
"""What becomes of instances of categories that are not asked for.

left_out: all is as if the file had none of them. background: what lies below them is hidden, as by background.
"""


@dataclass(frozen=True)
class CocoImages:
    """The images of a COCO folder whose annotations.json is found right; they are read one by one, as often as wanted.

    Attributes:
        categories: names, in the order in which instances count them from 1.
        numbers: that count, by the file's category ids; 0: not asked for.
        notices: what is read with tolerance is counted here.
    """

    folder: Path
    content: CocoFile
    categories: tuple[str, ...]
    numbers: dict[Id, int]
    others: OtherCategories
    notices: Notices

    def __iter__(self) -> Iterator[AnnotatedImage]:
        """The images in the order of their ids, their instances in that of theirs.

        Raises:
            FileNotFoundError: if an image is missing.
            ValueError: if an image or an annotation is wrong, named in one line.
        """
        by_image: dict[Id, list[CocoAnnotation]] = {image.id: [] for image in self.content.images}
        for annotation in self.content.annotations:
            by_image[annotation.image_id].append(annotation)
        images = self.content.sorted_images
        photographs = Photographs((image_file(self.folder, image) for image in images), self.notices)
        annotated = self._with_masks if self.content.without_mask is None else self._with_boxes
        for image in images:
            pixels = photographs.read(image_file(self.folder, image), (image.width, image.height))
            yield annotated(pixels, by_image[image.id], image)

    def _with_boxes(
        self, pixels: NDArray[np.uint8], annotations: list[CocoAnnotation], image: CocoImage
    ) -> AnnotatedImage:
        size = (image.height, image.width)
        boxes = np.array([annotation_box(each, size, self._where(each), self.notices) for each in annotations])
        kept = [index for index, each in enumerate(annotations) if self.numbers[each.category_id]]
        shown = [annotations[index] for index in kept]
        return AnnotatedImage(
            pixels,
            np.zeros(size, dtype=np.uint8),
            tuple(self.numbers[each.category_id] for each in shown),
            instance_boxes=boxes.reshape(-1, 4)[kept],
            is_crowd=_crowds(shown),
        )

    def _with_masks(
        self, pixels: NDArray[np.uint8], annotations: list[CocoAnnotation], image: CocoImage
    ) -> AnnotatedImage:
        size = (image.height, image.width)
        shown: list[CocoAnnotation] = []
        masks = self._masks(annotations, size, shown)
        layers = layered(masks, size, f"{self.folder / ANNOTATIONS}: image {image.id}")
        self.notices.add(CONTESTED, num_contested(layers))
        is_other = np.array([False, *(not self.numbers[each.category_id] for each in shown)])
        if is_other.any():  # 0 for them, and for all that lies below one
            layers, visible = visible_instances(np.where(np.logical_or.accumulate(is_other[layers]), 0, layers))
            shown = [shown[number - 1] for number in visible]
        mask, below = as_layers(layers)
        categories = tuple(self.numbers[each.category_id] for each in shown)
        return AnnotatedImage(pixels, mask, categories, masks_below=below, is_crowd=_crowds(shown))

    def _masks(
        self, annotations: list[CocoAnnotation], size: tuple[int, int], shown: list[CocoAnnotation]
    ) -> Iterator[Crop]:
        """The masks that there are; their annotations are added to `shown`. All are looked at, wanted or not."""
        for annotation in annotations:
            mask = annotation_mask(annotation, size, self._where(annotation), self.notices)
            is_wanted = self.others == "background" or self.numbers[annotation.category_id] > 0
            if mask is not None and is_wanted:
                shown.append(annotation)
                yield mask

    def _where(self, annotation: CocoAnnotation) -> str:
        return f"{self.folder / ANNOTATIONS}: annotation {annotation.id}"


def open_coco(
    folder: Path,
    categories: tuple[str, ...] | None = None,
    *,
    others: OtherCategories = "left_out",
    allow_empty: bool = False,
    notices: Notices | None = None,
) -> CocoImages:
    """The images of a COCO folder, read as they are iterated.

    Args:
        categories: names of those whose instances are wanted; None: all of the file, in the order of their ids.
        others: what becomes of the instances of others.
        allow_empty: accept a dataset without images or without any annotation, as a simulator can make one.
        notices: what is read with tolerance is counted here.

    Raises:
        FileNotFoundError: if the folder or its annotations.json is missing.
        ValueError: if something in annotations.json is wrong, named in one line.
    """
    notices = Notices() if notices is None else notices
    content, path = read_coco_file(folder, notices), folder / ANNOTATIONS
    for what, records in (("image", content.images), ("annotation", content.annotations)):
        if not records and not allow_empty:
            raise ValueError(f"{path}: {what}s must hold at least 1 {what}, got 0")
    names = {category.id: category.name for category in content.categories}
    wanted = tuple(names.values()) if categories is None else categories
    numbers = {key: wanted.index(name) + 1 if name in wanted else 0 for key, name in names.items()}
    other_names = [names[each.category_id] for each in content.annotations if not numbers[each.category_id]]
    listed = ", ".join(dict.fromkeys(other_names))
    if other_names and len(other_names) == len(content.annotations) and not allow_empty:
        raise ValueError(f"{path}: labelled categories must be the simulator's, {', '.join(wanted)}, got {listed}")
    notices.add(OTHERS[others] + listed, len(other_names))
    return CocoImages(folder, content, wanted, numbers, others, notices)


def read_coco(folder: Path, *, allow_empty: bool = False) -> AnnotatedDataset:
    """The dataset in a COCO folder, exactly as `write_coco` got it; or a user's own, PNG or JPEG.

    Images come in the order of their ids, categories and the instances of an image too. If an annotation of the folder
    has no segmentation, all are read as boxes alone; otherwise boxes are those around the masks. A photograph is turned
    as its EXIF orientation says, and its size is the one that has then. Arguments and errors are those of `open_coco`,
    and those of reading the images.
    """
    images = open_coco(folder, allow_empty=allow_empty)
    return AnnotatedDataset(images.categories, tuple(images))


def coco_image_files(folder: Path) -> list[Path]:
    """The image files of a COCO folder in the order in which `read_coco` has their images; errors as there."""
    return [image_file(folder, image) for image in read_coco_file(folder).sorted_images]


def coco_annotation_without_mask(folder: Path) -> Id | None:
    """The id of an annotation that has a box and no segmentation, so that all of the folder are read as boxes."""
    return read_coco_file(folder).without_mask


def image_file(folder: Path, image: CocoImage) -> Path:
    """The image's file, which is in the folder, or a link there.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is elsewhere.
    """
    missing = f": {ANNOTATIONS} names it for image {image.id}"
    return find_photograph(folder / IMAGES, image.file_name, folder, missing)


def _crowds(annotations: list[CocoAnnotation]) -> tuple[bool, ...] | None:
    """Which are crowds, if any is."""
    crowds = tuple(annotation.iscrowd for annotation in annotations)
    return crowds if any(crowds) else None
