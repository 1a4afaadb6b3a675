"""One mesh out of a PLY, OBJ or GLB file, by trimesh; the file may be a stranger's.

Files that a mesh names (materials, textures) are looked for in its folder alone, and nothing comes over the network.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.resolvers import FilePathResolver

from autosimulate_pipeline.annotations.checked_files import check_file, in_one_line, read_header
from autosimulate_pipeline.simulators.photoreal.glb_files import check_glb

_FORMATS = (".ply", ".obj", ".glb")
_MAX_FILE_BYTES = 400_000_000
_MAX_FACES = 2_000_000
_MAX_TEXELS = 500_000_000
_TEXTURES = (".png", ".jpg", ".jpeg")
_BESIDE = (".mtl", ".bin", *_TEXTURES)

logging.getLogger("trimesh").addHandler(logging.NullHandler())  # it logs tracebacks of what is refused below


@dataclass(frozen=True, eq=False)
class RawMesh:
    """A mesh as its file has it, in the file's unit; the attributes of `CadModel` of the same names."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    vertex_colours: NDArray[np.uint8] | None
    uv: NDArray[np.float64] | None
    texture: NDArray[np.uint8] | None


def load_mesh(path: Path) -> RawMesh:
    """The file's mesh, its parts as one. Not to be changed: it is kept for the next call, until the file changes.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it holds no mesh, is malformed or too large, or a file that it names cannot be read.
    """
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"{path} must be one of {', '.join(_FORMATS)}, got {path.suffix!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    status = path.stat()
    if status.st_size > _MAX_FILE_BYTES:
        raise ValueError(f"{path} must have at most {_MAX_FILE_BYTES} bytes, got {status.st_size}")
    return _load(path.resolve(), status.st_mtime_ns, status.st_size)


class _BesideMesh(FilePathResolver):
    """Finds the files that a mesh names in its folder, and remembers what it did not find: trimesh goes on without."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.complaints: list[str] = []

    def get(self, name: str) -> bytes:
        try:
            path = self.absolute(name)
            check_file(path, Path(self.parent))
            if path.suffix.lower() not in _BESIDE:
                raise ValueError(f"{name!r} must be one of {', '.join(_BESIDE)}")
            if path.suffix.lower() in _TEXTURES:
                read_header(path)
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ValueError(f"{name!r} must have at most {_MAX_FILE_BYTES} bytes, got {path.stat().st_size}")
            return path.read_bytes()
        except (OSError, ValueError) as error:
            self.complaints.append(str(error))
            raise


@lru_cache(maxsize=64)
def _load(path: Path, _modified: int, _size: int) -> RawMesh:
    whole = _one_mesh(path)
    visual: Any = whole.visual
    vertices, faces = np.array(whole.vertices, dtype=np.float64), np.array(whole.faces, dtype=np.int64)
    if (image := _texture_image(whole)) is not None:
        try:
            texture = np.array(image.convert("RGB"))
        except Exception as error:  # Pillow raises whatever its decoders stumble over
            raise ValueError(f"{path}: its texture must be a readable image: {in_one_line(error)}") from None
        uv = np.array(visual.uv, dtype=np.float64)
        if uv.shape != (len(vertices), 2) or not np.isfinite(uv).all():
            raise ValueError(f"{path}: texture coordinates must be two finite numbers for each vertex, got {uv.shape}")
        return RawMesh(vertices, faces, None, uv, texture)
    coloured = _without_texture(visual)
    colours = None if coloured.kind is None else np.array(coloured.vertex_colors[:, :3], dtype=np.uint8)
    return RawMesh(vertices, faces, colours, None, None)


def _one_mesh(path: Path) -> trimesh.Trimesh:
    beside = _BesideMesh(path)
    if path.suffix.lower() == ".glb":
        check_glb(path)
    try:
        with path.open("rb") as file:
            scene = trimesh.load_scene(
                file, file_type=path.suffix.lower()[1:], resolver=beside, allow_remote=False, process=False
            )
        instances = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
        num_faces = sum(len(mesh.faces) for mesh in instances if isinstance(mesh, trimesh.Trimesh))
        num_texels = sum(math.prod(image.size) for image in map(_texture_image, instances) if image is not None)
        dumped = scene.dump() if num_faces <= _MAX_FACES and num_texels <= _MAX_TEXELS else []  # it copies all
    except Exception as error:  # trimesh raises whatever its parsers stumble over
        raise ValueError(f"{path} must be a readable mesh: {in_one_line(error)}") from None
    if beside.complaints:
        raise ValueError(f"{path} names a file that cannot be read: {in_one_line(beside.complaints[0])}")
    if num_faces > _MAX_FACES:
        raise ValueError(f"{path} must have at most {_MAX_FACES} faces, got {num_faces}")
    if num_texels > _MAX_TEXELS:
        raise ValueError(f"{path} must have textures of at most {_MAX_TEXELS} pixels over its parts, got {num_texels}")
    parts = [part for part in dumped if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not parts:
        raise ValueError(f"{path} must hold a mesh with faces, got none")
    for part in parts:
        if part.vertices.shape[1:] != (3,) or part.faces.shape[1:] != (3,):
            raise ValueError(f"{path}: vertices must be three numbers, and faces three corners, got others")
        if part.faces.min() < 0 or part.faces.max() >= len(part.vertices):
            raise ValueError(f"{path}: faces must name vertices 0 to {len(part.vertices) - 1}, got others")
        if not np.isfinite(part.vertices).all():
            raise ValueError(f"{path}: vertices must be finite, got NaN or infinity")
    if len(parts) == 1:
        return parts[0]
    try:
        if any(_texture_image(part) is None for part in parts):  # a texture is no use to the parts without
            for part in parts:
                part.visual = _without_texture(part.visual)
        whole: Any = trimesh.util.concatenate(parts)
        return whole
    except Exception as error:
        raise ValueError(f"{path}: its {len(parts)} parts cannot be made one: {in_one_line(error)}") from None


def _without_texture(visual: Any) -> Any:
    """Colours of vertices or faces, if any, in place of the texture or material."""
    return visual.to_color() if visual.kind == "texture" else visual


def _texture_image(mesh: Any) -> Image.Image | None:
    """The image of its colours; None where there is none or it has no texture coordinates."""
    visual = getattr(mesh, "visual", None)
    if getattr(visual, "uv", None) is None:
        return None
    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    return image if isinstance(image, Image.Image) else None
