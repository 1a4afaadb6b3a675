"""GLB files: glTF 2.0 in one file, one part for each primitive that the scene shows.

Read are triangles with their base colour, its picture and the colours of their vertices, linear as the format has
them; skins, morph targets and animations stay as they are at rest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autosimulate_pipeline.blender.colours import srgb_from_linear
from autosimulate_pipeline.cad_models.glb_contents import (
    COMPRESSIONS,
    ROW_SIZES,
    TRIANGLES,
    Contents,
    Material,
    Node,
    Primitive,
    TextureInfo,
    TextureTransform,
    parse_contents,
    refuse_compression,
)
from autosimulate_pipeline.cad_models.mesh_parts import Beside, MeshError, MeshPart

_HEADER = struct.Struct("<4sIIII")  # magic, version, length of the file; length and kind of the first chunk
_CHUNK_HEADER_BYTES = 8
_KINDS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_STRIP, _FAN = 5, 6


def read_glb(path: Path) -> Iterator[MeshPart]:
    """The parts of the scene.

    Raises:
        MeshError: if the file is compressed or asks for what is not read, is too large, or a picture cannot be read.
        ValueError, LookupError, struct.error: if it is malformed.
    """
    content = path.read_bytes()
    magic, _, _, num_bytes, kind = _HEADER.unpack_from(content)
    if (magic, kind) != (b"glTF", int.from_bytes(b"JSON", "little")):
        raise ValueError("it must begin as GLB does, with a chunk of JSON")
    contents = parse_contents(path, content[_HEADER.size : _HEADER.size + num_bytes])
    yield from _Reader(path, contents, content[_HEADER.size + num_bytes + _CHUNK_HEADER_BYTES :]).parts()


class _Reader:
    """A file whose JSON is checked, and the chunk of bytes that its arrays lie in."""

    def __init__(self, path: Path, contents: Contents, body: bytes) -> None:
        self.path, self.contents, self.body = path, contents, body
        self.beside = Beside(path)
        self.pictures = [self._picture(index) for index in range(len(contents.images))]

    def parts(self) -> Iterator[MeshPart]:
        for mesh_index, pose in self._shown():
            is_mirrored = np.linalg.det(pose[:3, :3]) < 0
            for primitive in self.contents.meshes[mesh_index].primitives:
                if primitive.mode not in (TRIANGLES, _STRIP, _FAN):
                    continue  # points and lines have no surface
                part = self._part(primitive)
                vertices = part.vertices @ pose[:3, :3].T + pose[:3, 3]
                faces = part.faces[:, ::-1] if is_mirrored else part.faces
                yield MeshPart(vertices, faces, part.colours, part.uv, part.texture)

    def _shown(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Each mesh of the scene with the matrix that takes it there, shape (4, 4)."""
        contents = self.contents
        children = {child for node in contents.nodes for child in node.children}
        roots = [index for index in range(len(contents.nodes)) if index not in children]
        if contents.scenes:
            roots = contents.scenes[contents.scene].nodes
        waiting = [(index, np.eye(4)) for index in roots]
        seen: set[int] = set()
        while waiting:
            index, parent = waiting.pop(0)
            if index in seen:
                raise ValueError(f"nodes must be a tree, got node {index} twice")
            seen.add(index)
            node = contents.nodes[index]
            pose = parent @ _local(node)
            if node.mesh is not None:
                yield node.mesh, pose
            waiting += [(child, pose) for child in node.children]

    def _part(self, primitive: Primitive) -> MeshPart:
        attributes = primitive.attributes
        for extension in primitive.extensions.keys() & COMPRESSIONS:
            if self.contents.accessors[attributes["POSITION"]].bufferView is None:
                refuse_compression(self.path, extension)
        vertices = self._array(attributes["POSITION"], 3)
        order = (
            np.arange(len(vertices))
            if primitive.indices is None
            else self._array(primitive.indices, 1).reshape(-1).astype(np.int64)
        )
        colour: NDArray[np.float64] | None = None
        info: TextureInfo | None = None
        if primitive.material is not None:
            colour, info = _base(self.contents.materials[primitive.material])
        if "COLOR_0" in attributes:
            shades = self._array(attributes["COLOR_0"])[:, :3]
            colour = shades if colour is None else shades * colour
        texture = uv = None
        if info is not None:
            change = info.extensions.KHR_texture_transform
            number = info.texCoord if change.texCoord is None else change.texCoord
            if f"TEXCOORD_{number}" in attributes:
                texture = self._texture(info.index)
                uv = _transformed(self._array(attributes[f"TEXCOORD_{number}"], 2), change)
        is_white = colour is None or (texture is not None and (colour >= 1).all())
        colours = None if colour is None or is_white else np.round(255 * srgb_from_linear(colour)).astype(np.uint8)
        if colours is not None and len(colours) not in (1, len(vertices)):
            raise ValueError(f"COLOR_0 must have {len(vertices)} rows, got {len(colours)}")
        return MeshPart(vertices, _faces(order, primitive.mode), colours, uv, texture)

    def _texture(self, index: int) -> NDArray[np.uint8]:
        source = self.contents.textures[index].source
        if source is None:
            raise MeshError(f"{self.path / f'textures.{index}'} must be a PNG or JPEG image: export it again as such")
        return self.pictures[source]

    def _picture(self, index: int) -> NDArray[np.uint8]:
        image, name = self.contents.images[index], self.path / f"images.{index}"
        if image.bufferView is None:
            if image.uri.startswith("data:"):
                raise MeshError(f"{name} must be a file or within the GLB's own bytes, got a data URI")
            return self.beside.picture(self.path.parent / unquote(image.uri), self.beside.read(unquote(image.uri)))
        views = self.contents.bufferViews
        if image.bufferView >= len(views):
            raise MeshError(f"{name} must have one of {len(views)} views, got {image.bufferView}")
        view = views[image.bufferView]
        return self.beside.picture(name, self.body[view.byteOffset : view.byteOffset + view.byteLength])

    def _array(self, index: int, width: int | None = None) -> NDArray[np.float64]:
        """The numbers of an accessor, whole ones that stand for fractions as such; shape (count, width)."""
        accessor = self.contents.accessors[index]
        size = ROW_SIZES[accessor.type]
        if width is not None and size != width:
            raise ValueError(f"accessor {index} must have {width} numbers a row, got {accessor.type}")
        kind = np.dtype(_KINDS[accessor.componentType])
        rows = np.zeros((accessor.count, size), dtype=kind)
        if accessor.bufferView is not None:
            rows = self._rows(accessor.bufferView, accessor.byteOffset, accessor.count, size, kind)
        elif accessor.sparse is None and accessor.count:
            raise ValueError(f"accessor {index} has no data")
        if (sparse := accessor.sparse) is not None:
            rows = rows.copy()
            index_kind = np.dtype(_KINDS[sparse.indices["componentType"]])
            places = self._rows(
                sparse.indices["bufferView"], sparse.indices.get("byteOffset", 0), sparse.count, 1, index_kind
            )
            values = self._rows(
                sparse.values["bufferView"], sparse.values.get("byteOffset", 0), sparse.count, size, kind
            )
            rows[places[:, 0]] = values
        numbers = rows.astype(np.float64)
        if accessor.normalized and kind.kind in "iu":
            numbers = np.maximum(numbers / np.iinfo(kind).max, -1)
        return numbers

    def _rows(self, view_index: int, offset: int, count: int, size: int, kind: np.dtype[Any]) -> NDArray[Any]:
        view = self.contents.bufferViews[view_index]
        if view.buffer:
            raise ValueError(f"its arrays must lie within the GLB's own bytes, got buffer {view.buffer}")
        stride = view.byteStride or size * kind.itemsize
        start = view.byteOffset + offset
        if not count:
            return np.zeros((0, size), dtype=kind)
        if offset < 0 or start + (count - 1) * stride + size * kind.itemsize > len(self.body):
            raise ValueError(f"it is cut off: its arrays want more than its {len(self.body)} bytes")
        return np.ndarray((count, size), kind, self.body, start, (stride, kind.itemsize))


def _local(node: Node) -> NDArray[np.float64]:
    if node.matrix is not None:
        return np.array(node.matrix).reshape(4, 4).T
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(node.rotation).as_matrix() * node.scale
    pose[:3, 3] = node.translation
    return pose


def _base(material: Material) -> tuple[NDArray[np.float64], TextureInfo | None]:
    """The material's linear base colour, shape (1, 3), and its texture."""
    if (older := material.extensions.KHR_materials_pbrSpecularGlossiness) is not None:
        return np.array([older.diffuseFactor[:3]]), older.diffuseTexture
    newer = material.pbrMetallicRoughness
    return np.array([newer.baseColorFactor[:3]]), newer.baseColorTexture


def _transformed(uv: NDArray[np.float64], change: TextureTransform) -> NDArray[np.float64]:
    """Coordinates as of `CadModel`, (0, 0) the lower left corner; glTF's is the upper left one."""
    cosine, sine = np.cos(change.rotation), np.sin(change.rotation)
    u, v = (uv * change.scale).T
    turned = np.stack([cosine * u + sine * v, cosine * v - sine * u], axis=1) + change.offset
    return np.asarray(turned * [1, -1] + [0, 1])


def _faces(order: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    if mode == TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    if mode == _FAN:
        middle = np.broadcast_to(order[:1], (max(len(order) - 2, 0),))
        return np.stack([order[1:-1], order[2:], middle], axis=1)
    strip = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
    strip[1::2] = strip[1::2, [1, 0, 2]]
    return strip[(strip != np.roll(strip, 1, axis=1)).all(axis=1)]
