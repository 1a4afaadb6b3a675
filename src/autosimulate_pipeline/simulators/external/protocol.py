"""What a render command is told, and what it must say: version 1 of the protocol.

The request is a JSON file, `render_request.schema.json` beside this file is its JSON Schema; the answer a COCO folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter

from autosimulate_pipeline.annotations import read_coco
from autosimulate_pipeline.files.checked_files import read_json
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, visible_instances

MAX_BYTES_PER_SCENE = 2**26
"""Of all files of an answer: a command that runs wild shall not fill the memory."""

Name = Annotated[str, Field(min_length=1)]


class RequestedScene(BaseModel):
    """One image to be rendered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=1, description="of the image in the answer")
    seed: int = Field(ge=0, description="of all that the parameters leave open; equal seeds must give equal bytes")
    parameters: dict[Name, int | FiniteFloat | str] = Field(
        description="value by name, as drawn from simulator.parameters"
    )


class RenderRequest(BaseModel):
    """The request that a render command finds at the path that is its last argument."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema"}
    )

    protocol_version: Literal[1] = Field(description="a command must refuse a version that it does not know")
    output_folder: Name = Field(
        description="absolute path of an empty folder: annotations.json (COCO) and images/ (PNG or JPEG) go there"
    )
    categories: list[Name] = Field(min_length=1, description="names of the categories, their COCO ids are 1, 2, …")
    scenes: list[RequestedScene] = Field(min_length=1)


class _Info(BaseModel):
    protocol_version: Literal[1]


class _Image(BaseModel):
    id: int
    file_name: str


class _Annotation(BaseModel):
    segmentation: dict[str, Any] | Annotated[list[Any], Field(min_length=1)]


class _Answer(BaseModel):
    """What the answer's annotations.json must have beyond what every COCO folder has."""

    info: _Info
    images: list[_Image]
    annotations: list[_Annotation]


_ANSWER = TypeAdapter(_Answer)


def read_answer(folder: Path, num_scenes: int, categories: Sequence[str]) -> AnnotatedDataset:
    """The images that a command wrote to `folder`, in the order of the request's scenes.

    Raises:
        FileNotFoundError: if annotations.json or an image is missing.
        ValueError: if something is wrong, named in one line.
    """
    _check_files(folder, MAX_BYTES_PER_SCENE * num_scenes)
    annotations = folder / "annotations.json"
    answer = read_json(annotations, folder, _ANSWER)
    ids = [image.id for image in answer.images]
    if sorted(ids) != list(range(1, num_scenes + 1)):
        missing = sorted(set(range(1, num_scenes + 1)) - set(ids))
        surplus = sorted(set(ids) - set(range(1, num_scenes + 1)))
        complaint = f"missing {missing[:5]}" if missing else f"got {surplus[:5]}" if surplus else "got one twice"
        raise ValueError(f"{annotations}: image ids must be those of the scenes, 1 to {num_scenes}, {complaint}")
    if len({image.file_name for image in answer.images}) < num_scenes:
        raise ValueError(f"{annotations}: every image must have a file of its own, got one file_name twice")
    dataset = read_coco(folder, allow_empty=True)
    dataset = replace(dataset, images=tuple(map(_as_seen, dataset.images)))
    if dataset.categories != tuple(categories):
        raise ValueError(
            f"{annotations}: categories must be {', '.join(categories)}, got {', '.join(dataset.categories)}"
        )
    return dataset


def _as_seen(image: AnnotatedImage) -> AnnotatedImage:
    """The image with masks of what can be seen: of instances that overlap the one with the higher id is in front."""
    if image.masks_below is None:
        return image
    mask, visible = visible_instances(image.instance_layers.max(axis=0))
    categories = tuple(image.instance_categories[number - 1] for number in visible)
    return AnnotatedImage(image.image, mask, categories)


def _check_files(folder: Path, max_bytes: int) -> None:
    """Raises ValueError if the folder is or holds a link, or holds more than `max_bytes`."""
    inside = (Path(place) / name for place, folders, files in os.walk(folder) for name in (*folders, *files))
    num_bytes = 0
    for path in chain([folder], inside):
        if path.is_symlink():
            raise ValueError(f"{path} must be a file or folder, got a link")
        num_bytes += path.lstat().st_size
    if num_bytes > max_bytes:
        raise ValueError(f"{folder} must hold at most {max_bytes:,} bytes for so many scenes, got {num_bytes:,}")
