"""Wavefront OBJ files and their materials (MTL), one part for each material.

A face takes its colour from its material's picture (`map_Kd`), else from the colours of its vertices, which follow
their coordinates, else from its material's `Kd`. Colours are sRGB, as CAD programs write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.cad_models.mesh_parts import GREY, Beside, MeshError, MeshPart
from autosimulate_pipeline.cad_models.polygons import cut_polygons

_OPTIONS = {"-mm": 2, "-s": 3, "-o": 3, "-t": 3}  # numbers that follow an option of map_Kd; of all others one word


@dataclass
class _Material:
    """How faces look: `Kd` in 0 to 1, the name of the picture, and by what its coordinates are scaled and moved."""

    colour: tuple[float, float, float] | None = None
    picture: str | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass
class _Polygons:
    """Faces of one material: corners as indices of vertices and of texture coordinates (−1: none)."""

    sizes: list[int] = field(default_factory=list)
    corners: list[tuple[int, int]] = field(default_factory=list)


def read_obj(path: Path) -> Iterator[MeshPart]:
    """The parts of the file.

    Raises:
        MeshError: if a line is malformed, or a file that it names cannot be read.
    """
    beside = Beside(path)
    vertices: list[list[float]] = []
    coordinates: list[tuple[float, float]] = []
    groups: dict[tuple[str, bool], _Polygons] = {}
    materials: dict[str, _Material] = {}
    current = ""
    for number, line in enumerate(_lines(path.read_bytes()), start=1):
        keyword, _, rest = line.partition(" ")
        try:
            if keyword == "v":
                vertices.append(_numbers(rest, 3))
            elif keyword == "vt":
                u, v = _numbers(rest + " 0", 2)[:2]
                coordinates.append((u, v))
            elif keyword == "f":
                corners = [_corner(word, len(vertices), len(coordinates)) for word in rest.split()]
                is_mapped = all(corner[1] >= 0 for corner in corners)
                group = groups.setdefault((current, is_mapped), _Polygons())
                group.sizes.append(len(corners))
                group.corners += corners
            elif keyword == "usemtl":
                current = rest.strip()
            elif keyword == "mtllib":
                for name in _library_names(path, rest.strip()):
                    materials |= _read_materials(beside, name)
        except MeshError:
            raise
        except (ValueError, IndexError) as error:
            raise MeshError(f"{path} must be a readable mesh: line {number}, {line[:60]!r}: {error}") from None
    table = np.array([row[:3] for row in vertices], dtype=np.float64).reshape(-1, 3)
    colours = _vertex_colours(vertices)
    uv = np.array(coordinates, dtype=np.float64).reshape(-1, 2)
    for (name, is_mapped), group in groups.items():
        yield _part(beside, materials.get(name, _Material()), is_mapped, group, table, colours, uv)


def _part(
    beside: Beside,
    material: _Material,
    is_mapped: bool,
    group: _Polygons,
    vertices: NDArray[np.float64],
    colours: NDArray[np.uint8] | None,
    uv: NDArray[np.float64],
) -> MeshPart:
    corners = np.array(group.corners, dtype=np.int64)
    for index, table, what in ((0, vertices, "vertex"), (1, uv, "texture coordinate")):
        if corners[:, index].max() >= len(table):
            wrong = corners[:, index].max() + 1
            raise MeshError(f"{beside.path}: faces must name {what} 1 to {len(table)}, got {wrong}")
    is_textured = is_mapped and material.picture is not None
    if not is_textured:
        corners[:, 1] = -1
    used, owner = np.unique(corners, axis=0, return_inverse=True)
    try:
        faces, _ = cut_polygons(vertices[used[:, 0]], np.array(group.sizes, dtype=np.int64), owner.reshape(-1))
    except ValueError as error:
        raise MeshError(f"{beside.path}: {error}") from None
    if is_textured and material.picture is not None:
        picture = beside.picture(beside.path.parent / material.picture, beside.read(material.picture))
        mapped = uv[used[:, 1]] * material.scale + material.offset
        return MeshPart(vertices[used[:, 0]], faces, uv=mapped, texture=picture)
    if colours is not None:
        return MeshPart(vertices[used[:, 0]], faces, colours[used[:, 0]])
    plain = None if material.colour is None else np.round(255 * np.clip([material.colour], 0, 1)).astype(np.uint8)
    return MeshPart(vertices[used[:, 0]], faces, plain)


def _lines(content: bytes) -> list[str]:
    """The lines, comments and the marks of continued lines taken out."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = text.replace("\\\r\n", " ").replace("\\\n", " ").split("\n")
    return [" ".join(line.split()) for line in lines]


def _numbers(text: str, least: int) -> list[float]:
    numbers = [float(word) for word in text.partition("#")[0].split()]
    if len(numbers) < least:
        raise ValueError(f"must have {least} numbers or more, got {len(numbers)}")
    return numbers


def _corner(word: str, num_vertices: int, num_coordinates: int) -> tuple[int, int]:
    """Indices from 0 of the vertex and its texture coordinate (−1: none); those below 0 count from the last."""
    names = word.split("/")
    vertex = _index(names[0], num_vertices)
    return vertex, _index(names[1], num_coordinates) if len(names) > 1 and names[1] else -1


def _index(text: str, num_before: int) -> int:
    number = int(text)
    if number == 0 or number < -num_before:
        raise ValueError(f"faces count from 1, or back from -1 to -{num_before}, got {number}")
    return number - 1 if number > 0 else num_before + number


def _vertex_colours(rows: list[list[float]]) -> NDArray[np.uint8] | None:
    """Colours in 0 to 1, or to 255, that follow the coordinates; vertices without one among others are grey."""
    has_colour = np.array([len(row) >= 6 for row in rows], dtype=bool)
    if not has_colour.any():
        return None
    values = np.array([row[3:6] for row in rows if len(row) >= 6], dtype=np.float64)
    colours = np.tile(np.array(GREY, dtype=np.uint8), (len(rows), 1))
    colours[has_colour] = np.round(np.clip(np.nan_to_num(values * (255 if values.max() <= 1 else 1)), 0, 255))
    return colours


def _library_names(path: Path, text: str) -> list[str]:
    """The files that `mtllib` names: one whose name has spaces, or several."""
    is_one = len(text) < 255 and (path.parent / text.replace("\\", "/")).is_file()
    return [text] if is_one or text.count(".") == 1 else text.split()


def _read_materials(beside: Beside, name: str) -> dict[str, _Material]:
    materials: dict[str, _Material] = {}
    material = _Material()
    for number, line in enumerate(_lines(beside.read(name)), start=1):
        keyword, _, rest = line.partition(" ")
        try:
            if keyword == "newmtl":
                material = materials[rest.strip()] = _Material()
            elif keyword == "Kd" and not rest.startswith(("spectral", "xyz")):
                values = _numbers(rest, 1)
                material.colour = (values[0], values[1], values[2]) if len(values) >= 3 else (values[0],) * 3
                if not np.isfinite(material.colour).all():
                    raise ValueError("colours must be finite numbers")
            elif keyword.lower() == "map_kd" and rest:
                _take_picture(material, rest)
        except (ValueError, IndexError) as error:
            place = beside.path.parent / name
            raise MeshError(f"{place} must be readable materials: line {number}, {line[:60]!r}: {error}") from None
    return materials


def _take_picture(material: _Material, text: str) -> None:
    """The picture of a line `map_Kd -s 2 2 1 -clamp off my wood.png`."""
    words = text.split()
    while len(words) > 1 and words[0].startswith("-"):
        option = words.pop(0)
        num_values = _OPTIONS.get(option, 1)
        if option in _OPTIONS:  # the last numbers may be left out
            num_values = next((index for index in range(num_values) if not _is_number(words[index])), num_values)
        values, words = words[:num_values], words[num_values:]
        if option == "-s":
            material.scale = (float(values[0]), float(values[1]) if len(values) > 1 else 1.0)
        elif option == "-o":
            material.offset = (float(values[0]), float(values[1]) if len(values) > 1 else 0.0)
    material.picture = " ".join(words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
