"""What a GLB file announces, checked before trimesh makes arrays of it.

The format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html#glb-file-format-specification.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from autosimulate_pipeline.annotations.checked_files import read_header

_MAX_NUMBERS = 50_000_000  # of all arrays: positions, normals, indices and so on of the largest mesh that is read
_MAX_PARTS = 10_000  # nodes, meshes, and what the nodes show of them
_HEADER = struct.Struct("<4sIIII")  # magic, version, length of the file; length and kind of the first chunk
_CHUNK_HEADER_BYTES = 8
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


class _Accessor(BaseModel):
    count: int = Field(ge=0)
    type: str


class _View(BaseModel):
    byteOffset: int = Field(default=0, ge=0)  # noqa: N815  # glTF's own names
    byteLength: int = Field(ge=0)  # noqa: N815


class _Image(BaseModel):
    bufferView: int | None = Field(default=None, ge=0)  # noqa: N815
    uri: str = ""


class _Mesh(BaseModel):
    primitives: list[Any] = Field(max_length=_MAX_PARTS)


class _Node(BaseModel):
    mesh: int | None = Field(default=None, ge=0)


class _Contents(BaseModel):
    accessors: list[_Accessor] = []
    bufferViews: list[_View] = []  # noqa: N815
    images: list[_Image] = []
    meshes: list[_Mesh] = Field(default=[], max_length=_MAX_PARTS)
    nodes: list[_Node] = Field(default=[], max_length=_MAX_PARTS)


_CONTENTS = TypeAdapter(_Contents)


def check_glb(path: Path) -> None:
    """Nothing, if the file announces arrays of a sensible size, and images that can be opened.

    Raises:
        ValueError: if it does not, or is no GLB file.
    """
    content = path.read_bytes()
    try:
        magic, _, _, num_bytes, kind = _HEADER.unpack_from(content)
        if (magic, kind) != (b"glTF", int.from_bytes(b"JSON", "little")):
            raise ValueError("it must begin as GLB does, with a chunk of JSON")
        announced = _CONTENTS.validate_json(content[_HEADER.size : _HEADER.size + num_bytes])
        num_numbers = sum(accessor.count * _SIZES[accessor.type] for accessor in announced.accessors)
        shown = [announced.meshes[node.mesh] for node in announced.nodes if node.mesh is not None]
    except (struct.error, ValidationError, LookupError, ValueError) as failure:
        reason = failure.errors()[0]["msg"] if isinstance(failure, ValidationError) else failure
        raise ValueError(f"{path} must be a readable mesh: {reason}") from None
    if num_numbers > _MAX_NUMBERS:
        raise ValueError(f"{path} must hold at most {_MAX_NUMBERS} numbers, got {num_numbers}")
    if (num_parts := sum(len(mesh.primitives) for mesh in (*announced.meshes, *shown))) > _MAX_PARTS:
        raise ValueError(f"{path} must show at most {_MAX_PARTS} parts, got {num_parts}")
    body = content[_HEADER.size + num_bytes + _CHUNK_HEADER_BYTES :]
    for index, image in enumerate(announced.images):
        name = path / f"images.{index}"
        if image.bufferView is None:
            if image.uri.startswith("data:"):
                raise ValueError(f"{name} must be a file or within the GLB's own bytes, got a data URI")
        elif image.bufferView >= len(announced.bufferViews):
            raise ValueError(f"{name} must have one of {len(announced.bufferViews)} views, got {image.bufferView}")
        else:
            view = announced.bufferViews[image.bufferView]
            read_header(name, body[view.byteOffset : view.byteOffset + view.byteLength])
