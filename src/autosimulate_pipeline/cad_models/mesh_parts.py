"""What a mesh file is made of: parts, each of one material, that become one mesh."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autosimulate_pipeline.files.checked_files import check_file, in_one_line, read_header

GREY = (150, 150, 150)
"""sRGB of what has no colour in its file."""

MAX_FILE_BYTES = 400_000_000
_MAX_TEXELS = 500_000_000  # of all textures of a mesh
_TEXTURES = (".png", ".jpg", ".jpeg")
_BESIDE = (".mtl", ".bin", *_TEXTURES)


class MeshError(ValueError):
    """A fault of a mesh file, in one line that names the file."""


@dataclass(frozen=True, eq=False)
class Textures:
    """Pictures for the faces of a mesh.

    Attributes:
        pictures: sRGB, first row uppermost, each of shape (height, width, 3), uint8.
        of_faces: index of each face's picture, −1 for none, shape (num_faces,), int64.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    of_faces: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RawMesh:
    """A mesh as its file has it, in the file's unit; the attributes of `CadModel` of the same names.

    Attributes:
        num_grey: faces that have no colour in the file, and got `GREY`.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    vertex_colours: NDArray[np.uint8] | None
    uv: NDArray[np.float64] | None
    textures: Textures | None
    num_grey: int


@dataclass(frozen=True, eq=False)
class MeshPart:
    """Triangles of one material.

    Attributes:
        vertices: shape (num_vertices, 3), in the file's unit.
        faces: shape (num_faces, 3).
        colours: sRGB of the vertices, by which a texture is multiplied; shape (num_vertices, 3) or (1, 3) for one
            colour; None: white under a texture, else unknown.
        uv: as of `CadModel`; wanted with a texture.
        texture: a picture of `Textures`; parts share it as one object.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    colours: NDArray[np.uint8] | None = None
    uv: NDArray[np.float64] | None = None
    texture: NDArray[np.uint8] | None = None


def join(parts: Iterable[MeshPart], path: Path, max_faces: int) -> RawMesh:
    """The parts as one mesh. Vertices of different parts stay apart, so that no colour blends into another.

    Raises:
        MeshError: if there is no face, or there are too many, or one names a vertex that is not there.
    """
    kept: list[MeshPart] = []
    num_faces = 0
    for part in parts:  # as they come: a small file can show a large part again and again
        num_faces += len(part.faces)
        if num_faces > max_faces:
            raise MeshError(f"{path} must have at most {max_faces} faces, got {num_faces} or more")
        if len(part.faces):
            _check(part, path)
            kept.append(part)
    if not kept:
        raise MeshError(f"{path} must hold a mesh with faces, got none")
    firsts = np.cumsum([0, *(len(part.vertices) for part in kept)])
    pictures = {id(part.texture): part.texture for part in kept if part.texture is not None}
    order = {key: index for index, key in enumerate(pictures)}
    num_grey = sum(len(part.faces) for part in kept if part.colours is None and part.texture is None)
    is_coloured = any(part.colours is not None or part.texture is None for part in kept)
    return RawMesh(
        np.concatenate([part.vertices for part in kept]),
        np.concatenate([part.faces + first for part, first in zip(kept, firsts, strict=False)]),
        np.concatenate([_colours(part) for part in kept]) if is_coloured else None,
        np.concatenate([_uv(part) for part in kept]) if pictures else None,
        Textures(
            tuple(pictures.values()),
            np.concatenate([np.full(len(part.faces), order.get(id(part.texture), -1)) for part in kept]),
        )
        if pictures
        else None,
        num_grey,
    )


def _check(part: MeshPart, path: Path) -> None:
    if part.faces.min() < 0 or part.faces.max() >= len(part.vertices):
        wrong = part.faces.min() if part.faces.min() < 0 else part.faces.max()
        raise MeshError(f"{path}: faces must name vertices 0 to {len(part.vertices) - 1}, got {wrong}")
    if not np.isfinite(part.vertices).all():
        raise MeshError(f"{path}: vertices must be finite, got NaN or infinity")
    if part.texture is not None and (part.uv is None or not np.isfinite(part.uv).all()):
        raise MeshError(f"{path}: texture coordinates must be two finite numbers for each vertex, got others")


def _colours(part: MeshPart) -> NDArray[np.uint8]:
    unknown = GREY if part.texture is None else (255, 255, 255)
    colours = np.array([unknown], dtype=np.uint8) if part.colours is None else part.colours
    return np.broadcast_to(colours, (len(part.vertices), 3))


def _uv(part: MeshPart) -> NDArray[np.float64]:
    return np.zeros((len(part.vertices), 2)) if part.texture is None or part.uv is None else part.uv


class Beside:
    """Files that a mesh names, looked for in its folder alone, and the pictures among them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pictures: dict[Path, NDArray[np.uint8]] = {}
        self._num_texels = 0

    def read(self, name: str) -> bytes:
        """The bytes of the file of that name, which may have backslashes for slashes.

        Raises:
            MeshError: if it is missing, elsewhere, of another kind or too large.
        """
        try:
            path = self.path.parent / name.replace("\\", "/")
            check_file(path, self.path.parent)
            if path.suffix.lower() not in _BESIDE:
                raise ValueError(f"{name!r} must be one of {', '.join(_BESIDE)}")
            if path.suffix.lower() in _TEXTURES:
                read_header(path)
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"{name!r} must have at most {MAX_FILE_BYTES} bytes, got {path.stat().st_size}")
            return path.read_bytes()
        except (OSError, ValueError) as error:
            raise MeshError(f"{self.path} names a file that cannot be read: {in_one_line(error)}") from None

    def picture(self, place: Path, content: bytes) -> NDArray[np.uint8]:
        """The picture in `content`, shape (height, width, 3); `place` names it, and is decoded once.

        Raises:
            MeshError: if it is no PNG or JPEG image, damaged or too large.
        """
        if place not in self._pictures:
            try:
                width, height = read_header(place, content).size
            except ValueError as error:
                raise MeshError(str(error)) from None
            self._num_texels += width * height
            if self._num_texels > _MAX_TEXELS:
                raise MeshError(f"{self.path} must have textures of at most {_MAX_TEXELS} pixels over its parts")
            try:
                with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
                    self._pictures[place] = _eight_bits(image)
            except Exception as error:  # Pillow raises whatever its decoders stumble over
                raise MeshError(f"{place} must be a readable image: {in_one_line(error)}") from None
        return self._pictures[place]


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.array(image.convert("RGB"))
