"""The content of a COCO `annotations.json`, as labelling programs write it, checked and made uniform.

Read as they are meant: ids as text, `iscrowd` as a boolean or missing, no `area`, a polygon without the list around it,
a byte order mark. Left out with a notice: a category that has no annotation and the name of another, such as Roboflow's
root. The format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter

from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.files.checked_files import MAX_SIDE, Name, read_json
from autosimulate_pipeline.records import MAX_LABELS

ANNOTATIONS = "annotations.json"
IMAGES = "images"

LONELY_CROWDS = (
    "read {annotation|annotations} with iscrowd 1 as single objects: "
    "their image has none of their category with iscrowd 0"
)
CROWDS = "ignored {region|regions} with iscrowd 1 beside single objects of their category, as COCO does crowds"
ROOTS = "left out {category|categories} without annotations and with the name of another"
LOST_MASKS = "read boxes alone and no masks: {annotation lacks|annotations lack} a segmentation, others have one"

_NUM_SHOWN = 5


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def _number_if_it_is_one(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.removeprefix("-").isdecimal() else value


Id = Annotated[int | Name, BeforeValidator(_number_if_it_is_one)]


def _in_shape(value: Any) -> Any:
    """Polygons as a list of lists; a single one may come without the outer list."""
    if isinstance(value, list) and value and not isinstance(value[0], list):
        if not all(isinstance(number, int | float) for number in value):
            raise ValueError("must be polygons, lists of numbers [x1, y1, x2, y2, …], or run lengths {size, counts}")
        return [value]
    if value is not None and not isinstance(value, list | dict):
        raise ValueError("must be polygons, lists of numbers [x1, y1, x2, y2, …], or run lengths {size, counts}")
    return value if isinstance(value, dict) or any(value or ()) else None


class Rle(_Record):
    """A mask as run lengths down the columns, plain or as COCO's text."""

    size: tuple[int, int]
    counts: str | list[int]


Segmentation = Annotated[
    Annotated[Rle, Tag("rle")] | Annotated[list[list[float]], Tag("polygons")],
    Discriminator(lambda value: "polygons" if isinstance(value, list) else "rle"),
]


class CocoImage(_Record):
    """An entry of `images`."""

    id: Id
    file_name: Name
    width: int = Field(ge=1, le=MAX_SIDE)
    height: int = Field(ge=1, le=MAX_SIDE)


class CocoAnnotation(_Record):
    """An entry of `annotations`; it has a segmentation, a box, or both."""

    id: Id
    image_id: Id
    category_id: Id
    segmentation: Annotated[Segmentation | None, BeforeValidator(_in_shape)] = None
    bbox: Annotated[tuple[float, float, float, float] | None, BeforeValidator(lambda value: value or None)] = None
    iscrowd: Annotated[bool, BeforeValidator(lambda value: value is not None and value)] = False


class CocoCategory(_Record):
    """An entry of `categories`."""

    id: Id
    name: Name


class CocoFile(_Record):
    """What an annotations.json must hold; anything else in it is left alone."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory] = Field(min_length=1, max_length=MAX_LABELS)

    @property
    def sorted_images(self) -> list[CocoImage]:
        """The images in the order of their ids, in which they are read."""
        return sorted(self.images, key=_order)

    @property
    def without_mask(self) -> Id | None:
        """The id of an annotation that has a box and no segmentation; all of the file are then read as boxes."""
        lacking = [annotation for annotation in self.annotations if annotation.segmentation is None]
        return min(lacking, key=_order).id if lacking else None


_COCO_FILE = TypeAdapter(CocoFile)


def _order(record: CocoImage | CocoAnnotation | CocoCategory) -> tuple[bool, Id]:
    """Numbers first, in their order, then text."""
    return isinstance(record.id, str), record.id


def read_coco_file(folder: Path, notices: Notices | None = None) -> CocoFile:
    """The folder's annotations.json: annotations and categories in the order of their ids, crowds those that are some.

    An annotation with `iscrowd` 1 is a single object where its image has none of its category with 0: CVAT marks every
    brush mask so. Beside others of its category it is a crowd.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is malformed, an id is there twice or belongs to nothing, or boxes are shares of the image.
    """
    notices = notices or Notices()
    path = folder / ANNOTATIONS
    content = read_json(path, folder, _COCO_FILE, f": a COCO folder holds {ANNOTATIONS} and {IMAGES}/")
    for what, records in (
        ("category", content.categories),
        ("image", content.images),
        ("annotation", content.annotations),
    ):
        _check_ids(f"{path}: {what}", [record.id for record in records])
    _check_references(content, path)
    _check_pixels(content, path)
    annotations = sorted(content.annotations, key=_order)
    single = {(annotation.image_id, annotation.category_id) for annotation in annotations if not annotation.iscrowd}
    crowds = [annotation for annotation in annotations if annotation.iscrowd]
    lonely = {annotation.id for annotation in crowds if (annotation.image_id, annotation.category_id) not in single}
    notices.add(LONELY_CROWDS, len(lonely))
    notices.add(CROWDS, len(crowds) - len(lonely))
    num_boxes = sum(annotation.segmentation is None for annotation in annotations)
    notices.add(LOST_MASKS, num_boxes if num_boxes < len(annotations) else 0)
    return CocoFile.model_construct(
        images=content.images,
        annotations=[
            annotation.model_copy(update={"iscrowd": False}) if annotation.id in lonely else annotation
            for annotation in annotations
        ],
        categories=_named_once(content, path, notices),
    )


def _check_ids(what: str, ids: list[Id]) -> None:
    twice = [str(each) for each, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(f"{what} ids must differ, got {len(twice)} of them more than once: {_some(twice)}")


def _check_references(content: CocoFile, path: Path) -> None:
    """Raises ValueError, naming the annotation, if it is of no category or image of the file, or has no label."""
    categories, images = ({record.id for record in records} for records in (content.categories, content.images))
    for annotation in content.annotations:
        where = f"{path}: annotation {annotation.id}"
        if annotation.category_id not in categories:
            known = _some(str(category.id) for category in sorted(content.categories, key=_order))
            raise ValueError(f"{where}: category_id must be one of [{known}], got {annotation.category_id}")
        if annotation.image_id not in images:
            raise ValueError(f"{where}: image_id must be the id of an image, got {annotation.image_id}")
        if annotation.segmentation is None and annotation.bbox is None:
            raise ValueError(f"{where} must have a bbox or a segmentation, got neither")


def _check_pixels(content: CocoFile, path: Path) -> None:
    """Raises ValueError if all boxes lie within [0, 1] in larger images: shares of the image, as Azure writes them."""
    boxes = [annotation.bbox for annotation in content.annotations if not isinstance(annotation.segmentation, Rle)]
    if not boxes or max(max(image.width, image.height) for image in content.images) == 1:
        return
    if all(box is not None and min(box) >= 0 and max(box[0] + box[2], box[1] + box[3]) <= 1 for box in boxes):
        raise ValueError(
            f"{path}: bbox must be in pixels, but all {len(boxes)} lie within [0, 1] as shares of the image do, got "
            f"{list(boxes[0] or ())}: multiply x and width by the image's width, y and height by its height"
        )


def _named_once(content: CocoFile, path: Path, notices: Notices) -> list[CocoCategory]:
    """The categories in the order of their ids, of those with one name the one that has annotations.

    Raises:
        ValueError: if several with one name have annotations.
    """
    labelled = {annotation.category_id for annotation in content.annotations}
    kept: dict[str, CocoCategory] = {}
    for category in sorted(content.categories, key=lambda category: (category.id not in labelled, _order(category))):
        other = kept.setdefault(category.name, category)
        if other is not category and category.id in labelled:
            raise ValueError(
                f"{path}: names of categories must differ, got {category.name!r} twice with annotations, ids "
                f"{other.id} and {category.id}"
            )
    notices.add(ROOTS, len(content.categories) - len(kept))
    return sorted(kept.values(), key=_order)


def _some(texts: Iterable[str]) -> str:
    """The first few, and that there are more."""
    listed = [text[:40] for text in texts]
    more = f" and {len(listed) - _NUM_SHOWN} more" if len(listed) > _NUM_SHOWN else ""
    return ", ".join(listed[:_NUM_SHOWN]) + more
