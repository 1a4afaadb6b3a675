"""What the JSON of a GLB file announces, checked before arrays are made of it.

The format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from autosimulate_pipeline.cad_models.mesh_parts import MeshError

_MAX_NUMBERS = 50_000_000  # of all arrays: positions, normals, indices and so on of the largest mesh that is read
_MAX_PARTS = 10_000  # nodes, meshes, and what the nodes show of them
ROW_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
TRIANGLES = 4
COMPRESSIONS = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshopt"}
_READ_EXTENSIONS = ("KHR_texture_transform", "KHR_mesh_quantization", "KHR_materials_")


class _Sparse(BaseModel):
    count: int = Field(ge=0)
    indices: dict[str, Any]
    values: dict[str, Any]


class Accessor(BaseModel):
    bufferView: int | None = Field(default=None, ge=0)  # noqa: N815  # glTF's own names
    byteOffset: int = Field(default=0, ge=0)  # noqa: N815
    componentType: int = 5126  # noqa: N815
    normalized: bool = False
    count: int = Field(ge=0)
    type: str
    sparse: _Sparse | None = None


class _View(BaseModel):
    buffer: int = Field(default=0, ge=0)
    byteOffset: int = Field(default=0, ge=0)  # noqa: N815
    byteLength: int = Field(ge=0)  # noqa: N815
    byteStride: int | None = Field(default=None, ge=1, le=252)  # noqa: N815


class _Image(BaseModel):
    bufferView: int | None = Field(default=None, ge=0)  # noqa: N815
    uri: str = ""


class TextureTransform(BaseModel):
    offset: tuple[float, float] = (0, 0)
    rotation: float = 0
    scale: tuple[float, float] = (1, 1)
    texCoord: int | None = Field(default=None, ge=0)  # noqa: N815


class _TextureExtensions(BaseModel):
    KHR_texture_transform: TextureTransform = TextureTransform()


class TextureInfo(BaseModel):
    index: int = Field(ge=0)
    texCoord: int = Field(default=0, ge=0)  # noqa: N815
    extensions: _TextureExtensions = _TextureExtensions()


class _Metallic(BaseModel):
    baseColorFactor: tuple[float, float, float, float] = (1, 1, 1, 1)  # noqa: N815
    baseColorTexture: TextureInfo | None = None  # noqa: N815


class _Glossiness(BaseModel):
    diffuseFactor: tuple[float, float, float, float] = (1, 1, 1, 1)  # noqa: N815
    diffuseTexture: TextureInfo | None = None  # noqa: N815


class _MaterialExtensions(BaseModel):
    KHR_materials_pbrSpecularGlossiness: _Glossiness | None = None


class Material(BaseModel):
    pbrMetallicRoughness: _Metallic = _Metallic()  # noqa: N815
    extensions: _MaterialExtensions = _MaterialExtensions()


class _Texture(BaseModel):
    source: int | None = Field(default=None, ge=0)


class Primitive(BaseModel):
    attributes: dict[str, int] = {}
    indices: int | None = Field(default=None, ge=0)
    mode: int = TRIANGLES
    material: int | None = Field(default=None, ge=0)
    extensions: dict[str, Any] = {}


class _Mesh(BaseModel):
    primitives: list[Primitive] = Field(max_length=_MAX_PARTS)


class Node(BaseModel):
    mesh: int | None = Field(default=None, ge=0)
    children: list[int] = []
    matrix: list[float] | None = Field(default=None, min_length=16, max_length=16)
    translation: tuple[float, float, float] = (0, 0, 0)
    rotation: tuple[float, float, float, float] = (0, 0, 0, 1)
    scale: tuple[float, float, float] = (1, 1, 1)


class _Scene(BaseModel):
    nodes: list[int] = []


class Contents(BaseModel):
    accessors: list[Accessor] = []
    bufferViews: list[_View] = []  # noqa: N815
    images: list[_Image] = []
    textures: list[_Texture] = []
    materials: list[Material] = []
    meshes: list[_Mesh] = Field(default=[], max_length=_MAX_PARTS)
    nodes: list[Node] = Field(default=[], max_length=_MAX_PARTS)
    scenes: list[_Scene] = []
    scene: int = Field(default=0, ge=0)
    extensionsRequired: list[str] = []  # noqa: N815


_CONTENTS = TypeAdapter(Contents)


def parse_contents(path: Path, text: bytes) -> Contents:
    """What the JSON says.

    Raises:
        MeshError: if the file is compressed, asks for what is not read, or would be too large.
        ValueError, LookupError: if it is malformed.
    """
    try:
        contents = _CONTENTS.validate_json(text)
    except ValidationError as failure:
        raise ValueError(failure.errors()[0]["msg"]) from None
    _check(contents, path)
    return contents


def _check(contents: Contents, path: Path) -> None:
    """Refuses what would be too large, or is in a form that is not read."""
    num_numbers = sum(accessor.count * ROW_SIZES[accessor.type] for accessor in contents.accessors)
    if num_numbers > _MAX_NUMBERS:
        raise MeshError(f"{path} must hold at most {_MAX_NUMBERS} numbers, got {num_numbers}")
    shown = [contents.meshes[node.mesh] for node in contents.nodes if node.mesh is not None]
    if (num_parts := sum(len(mesh.primitives) for mesh in (*contents.meshes, *shown))) > _MAX_PARTS:
        raise MeshError(f"{path} must show at most {_MAX_PARTS} parts, got {num_parts}")
    for extension in contents.extensionsRequired:
        if extension in COMPRESSIONS:
            refuse_compression(path, extension)
        if not extension.startswith(_READ_EXTENSIONS):
            raise MeshError(f"{path} must be glTF without the extension {extension}: export it again without")


def refuse_compression(path: Path, extension: str) -> None:
    raise MeshError(
        f"{path} is compressed by {COMPRESSIONS[extension]} ({extension}), which is not read: export it again "
        "without compression (in Blender: import it, then File > Export > glTF 2.0 with Compression off)"
    )
