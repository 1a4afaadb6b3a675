"""Annotated datasets as YOLO folders, read as Ultralytics documents them. yolo_writing.py is the other way.

`data.yaml` names the classes, and the folder of each split's photographs; the labels of `images/val/NAME.jpg` are in
`labels/val/NAME.txt`, those of a photograph that is in no folder `images` beside it. Where there is no data.yaml,
`classes.txt` has a class in each line (Label Studio, LabelImg) and all photographs are one split. A line of labels is a
class, counted from 0, then x and y of the centre, width and height of a box, in shares of the image's width and height.
A photograph without labels is background. The format: https://docs.ultralytics.com/datasets/detect/.
"""

from __future__ import annotations

import dataclasses
import os
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.annotations.photograph_files import check_photograph
from autosimulate_pipeline.annotations.yolo_labels import read_labels
from autosimulate_pipeline.annotations.yolo_writing import DATA
from autosimulate_pipeline.files.checked_files import (
    Name,
    in_one_line,
    is_file,
    is_name,
    read_header,
    read_pixels,
    read_text,
)
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage

CLASSES = "classes.txt"

_SUFFIXES = (".png", ".jpg", ".jpeg")
_MAX_YAML_BYTES = 200_000  # YAML is slow to read
_MAX_LIST_BYTES = 10_000_000
_NUM_SHOWN = 3  # names of skipped files
_SURPLUS = ("..", "data")  # first folder of paths as Roboflow (../valid/images) and CVAT (data/images/a.png) write them

_Places = Annotated[list[Name], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _Data(BaseModel):
    """What data.yaml must hold; anything else in it is left alone."""

    model_config = ConfigDict(frozen=True, strict=True)

    train: _Places
    val: _Places
    test: _Places | None = None
    names: dict[int, Name] = Field(min_length=1)

    @field_validator("names", mode="before")
    @classmethod
    def _by_number(cls, names: Any) -> Any:
        return dict(enumerate(names)) if isinstance(names, list) else names


UNLABELLED = "took {photograph|photographs} without a label file for background"
SKIPPED = "skipped {file|files} that are no photographs or labels: "
OTHERS = "left out {box|boxes} of classes that the simulator lacks: "


@dataclass(frozen=True, eq=False)
class YoloSplit:
    """The photographs of a split, each known to be there; they are read one by one, as often as wanted.

    Attributes:
        root: the folder of data.yaml or classes.txt.
        classes: names, in the order in which instances count them from 1.
        files: each photograph and its label file; None: it has none.
        notices: what is read with tolerance is counted here.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    files: tuple[tuple[Path, Path | None], ...]
    notices: Notices

    def __iter__(self) -> Iterator[AnnotatedImage]:
        """The photographs with their boxes; ValueError at the first that is damaged or mislabelled."""
        for photograph, labels in self.files:
            pixels = _read_photograph(photograph)
            height, width = pixels.shape[:2]
            categories: tuple[int, ...] = ()
            boxes = np.empty((0, 4))
            if labels is not None:
                size, num_classes = (width, height), len(self.classes)
                categories, boxes = read_labels(labels, self.root, num_classes, size, self.notices)
            no_masks = np.zeros((height, width), dtype=np.uint8)
            yield AnnotatedImage(pixels, no_masks, categories, instance_boxes=boxes)


def yolo_root(folder: Path) -> Path | None:
    """The YOLO folder that `folder` is, or is a split of (`valid`, `images/val`); None: it is of another format."""
    if is_file(folder / DATA) or is_file(folder / CLASSES):
        return folder
    above = folder.absolute().parents[:2]
    return next((place for place in above if is_file(place / DATA)), None)


def read_yolo(folder: Path, categories: tuple[str, ...], notices: Notices) -> AnnotatedDataset:
    """The photographs of all splits of a YOLO folder, or of the one split that `folder` is.

    Args:
        categories: names of the classes whose boxes are wanted.
        notices: what is read with tolerance is counted here.

    Raises:
        FileNotFoundError: if a file or folder is missing.
        ValueError: if something is wrong, or no box is of these categories; named in one line.
    """
    splits = yolo_splits(folder, notices)
    classes = splits[0].classes
    numbers = np.array([0, *(categories.index(name) + 1 if name in categories else 0 for name in classes)])
    images: list[AnnotatedImage] = []
    others: Counter[str] = Counter()
    for image in chain.from_iterable(splits):
        own = numbers[list(image.instance_categories)]
        others.update(classes[index - 1] for index in image.instance_categories if not numbers[index])
        images.append(
            dataclasses.replace(
                image, instance_categories=tuple(own[own > 0].tolist()), instance_boxes=image.boxes[own > 0]
            )
        )
    listed = ", ".join(others)
    if not any(image.instance_categories for image in images):
        got = f"only {listed}" if others else f"{len(images)} images without labels"
        raise ValueError(f"{folder} must have at least 1 box of {', '.join(categories)}, got {got}")
    notices.add(OTHERS + listed, others.total())
    return AnnotatedDataset(categories, tuple(images))


def yolo_image_files(folder: Path) -> list[Path]:
    """The files of a YOLO folder in the order in which `read_yolo` has their images; errors as there."""
    return [photograph for split in yolo_splits(folder, Notices()) for photograph, _ in split.files]


def yolo_splits(folder: Path, notices: Notices) -> list[YoloSplit]:
    """The splits of a YOLO folder, or the one that `folder` is; no photograph is opened.

    Args:
        notices: what is read with tolerance is counted here.

    Raises:
        FileNotFoundError: if a file or folder is missing.
        ValueError: if something is wrong, named in one line.
    """
    root = yolo_root(folder)
    if root is None:
        raise FileNotFoundError(f"{folder} must hold {DATA} or {CLASSES}, or be a split beside one, got none")
    if is_file(root / DATA):
        classes, places = _read_data(root)
        if folder != root:
            places = {folder.name: [folder.absolute()]}
    else:
        classes, places = _read_classes(root), {folder.name: [root]}
    splits: list[YoloSplit] = []
    skipped: list[str] = []
    for name, of_split in places.items():
        files = tuple(pair for place in of_split for pair in _labelled_files(root, place, skipped))
        for photograph, _ in files:
            check_photograph(photograph, root)
        notices.add(UNLABELLED, sum(labels is None for _, labels in files))
        splits.append(YoloSplit(name, root, classes, files, notices))
    shown = ", ".join(skipped[:_NUM_SHOWN]) + (", …" if len(skipped) > _NUM_SHOWN else "")
    notices.add(SKIPPED + shown, len(skipped))
    return splits


def _read_photograph(path: Path) -> NDArray[np.uint8]:
    """The pixels, sRGB, shape (height, width, 3), turned as EXIF says."""
    mode = read_header(path).mode
    if mode.startswith(("I", "F")):  # Pillow would make all that is above 255 white
        raise ValueError(f"{path} must have 8 bits a channel, got Pillow's mode {mode}")
    return read_pixels(path, "RGB", turned=True)


def _read_data(root: Path) -> tuple[tuple[str, ...], dict[str, list[Path]]]:
    """The classes that data.yaml names, and each split's folders, or lists, of photographs."""
    path = root / DATA
    try:
        data = _Data.model_validate(yaml.safe_load(read_text(path, root, _MAX_YAML_BYTES)))
    except (yaml.YAMLError, RecursionError) as failure:
        raise ValueError(f"{path} must be YAML: {in_one_line(failure)}") from None
    except ValidationError as failure:
        error = failure.errors()[0]
        place = ".".join(map(str, error["loc"])) or "content"
        raise ValueError(f"{path}: {place}: {error['msg']}, got {reprlib.repr(error['input'])[:100]}") from None
    if sorted(data.names) != list(range(len(data.names))):
        raise ValueError(f"{path}: names must be a list, or number classes from 0, got {reprlib.repr(data.names)}")
    named = {"train": data.train, "val": data.val, "test": data.test or []}
    places = {split: [_place(root, text, split) for text in texts] for split, texts in named.items() if texts}
    return _different([data.names[index] for index in sorted(data.names)], path), places


def _read_classes(root: Path) -> tuple[str, ...]:
    path = root / CLASSES
    names = [line.strip() for line in read_text(path, root, _MAX_YAML_BYTES).splitlines() if line.strip()]
    if not names or not all(map(is_name, names)):
        raise ValueError(f"{path} must have the name of a class in each line, got {reprlib.repr(names)}")
    return _different(names, path)


def _different(names: list[str], path: Path) -> tuple[str, ...]:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path}: names of classes must differ, got {name!r} twice")
    return tuple(names)


def _place(root: Path, text: str, split: str) -> Path:
    """The folder or list of photographs that data.yaml names for the split; it must be in `root`."""
    if (place := _located(root, text)) is None:
        raise ValueError(f"{root / DATA} must name folders in {root}, got {text!r} for {split}, which is not there")
    return place


def _located(root: Path, text: str) -> Path | None:
    """What is in `root` under this name, or under the name without its first folder if that is surplus."""
    parts = PurePosixPath(text.replace("\\", "/")).parts
    for inside in (parts, parts[1:] if parts and parts[0] in _SURPLUS else None):
        if inside is not None and ".." not in inside and "/" not in inside:
            place = root.joinpath(*inside)
            if is_file(place) or _is_folder(place):
                return place
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long
        return False


def _labelled_files(root: Path, place: Path, skipped: list[str]) -> list[tuple[Path, Path | None]]:
    """The photographs below the folder `place`, or listed in the file `place`, each with its label file.

    Args:
        skipped: takes the names of files that are neither.

    Raises:
        ValueError: if labels have no photograph.
    """
    if is_file(place):
        return _listed_files(root, place)
    if "images" not in place.relative_to(root).parts and (place / "images").is_dir():
        place /= "images"
    labels_folder = _labels_of(place, root)
    photographs: dict[str, list[Path]] = {}
    labels: dict[str, Path] = {}
    others: dict[str, str] = {}
    for folder in dict.fromkeys((place, labels_folder)):
        for path in _files_below(folder):
            key = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
            if path.name.startswith(".") or path.name in (CLASSES, DATA):
                skipped.append(path.name)
            elif folder == place and path.suffix.lower() in _SUFFIXES:
                photographs.setdefault(key, []).append(path)
            elif folder == labels_folder and path.suffix == ".txt":
                labels[key] = path
            else:
                skipped.append(path.name)
                others[key] = path.name
    if strays := sorted(labels.keys() - photographs.keys()):
        got = f"{others[strays[0]]}, which is no PNG or JPEG" if strays[0] in others else "none"
        raise ValueError(f"{labels[strays[0]]} must have an image in {place}, got {got}")
    return sorted((path, labels.get(key)) for key, paths in photographs.items() for path in paths)


def _listed_files(root: Path, file: Path) -> list[tuple[Path, Path | None]]:
    """The photographs that a text file lists, one in each line, each with its label file."""
    pairs: list[tuple[Path, Path | None]] = []
    for number, line in enumerate(read_text(file, root, _MAX_LIST_BYTES).splitlines(), start=1):
        if not line.strip():
            continue
        photograph = _located(root, line.strip())
        if photograph is None:
            raise FileNotFoundError(f"{file}:{number} must name a file in {root}, got {reprlib.repr(line)}")
        labels = _labels_of(photograph.parent, root) / f"{photograph.stem}.txt"
        pairs.append((photograph, labels if is_file(labels) else None))
    return pairs


def _labels_of(folder: Path, root: Path) -> Path:
    """Where the labels of the photographs in `folder` are: its last part `images` is `labels` there."""
    parts = list(folder.relative_to(root).parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return root.joinpath(*parts)


def _files_below(folder: Path) -> Iterator[Path]:
    """All files below the folder, but for hidden folders.

    Raises:
        ValueError: at a link to a folder, which could lead in a circle; or if a name is not safe to print.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if not is_name(name):
                raise ValueError(f"{place} must hold names of one line without control characters, got {name!r}")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place) / name for name in folders):
            if path.is_symlink():
                raise ValueError(f"{path} must be a folder or be named in {DATA}, got a link to a folder")
        yield from (Path(place) / name for name in sorted(files))
