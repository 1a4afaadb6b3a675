"""PLY files of triangles or polygons.

A face takes its colour from the file's picture (`comment TextureFile`), else from its vertices, else its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.cad_models.mesh_parts import Beside, MeshError, MeshPart
from autosimulate_pipeline.cad_models.ply_tables import Element, read_tables
from autosimulate_pipeline.cad_models.polygons import cut_polygons

_COORDINATE_NAMES = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"))
_COLOUR_NAMES = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))


def read_ply(path: Path) -> Iterator[MeshPart]:
    """The parts of the file: one, or one for each of its pictures.

    Raises:
        MeshError: if a face names a vertex that is not there, or the file names one that cannot be read.
        ValueError, LookupError: if it is malformed or cut off.
    """
    by_name, pictures = read_tables(path.read_bytes())
    vertex, face = by_name.get("vertex", Element("vertex", 0)), by_name.get("face", Element("face", 0))
    indices = next((face.lists[name] for name in ("vertex_indices", "vertex_index") if name in face.lists), None)
    if indices is None or not face.num_rows:
        return
    vertices = np.stack([vertex.values[axis] for axis in "xyz"], axis=1)
    sizes, corners = indices[0], _checked(path, "faces must name vertices", indices[1], len(vertices))
    places, owners = cut_polygons(vertices[corners], sizes, np.arange(len(corners)))
    uv = _coordinates(vertex, face, corners, sizes) if pictures else None
    if uv is not None:
        texnumbers = face.values.get("texnumber", np.zeros(face.num_rows))
        numbers = _checked(path, "texnumber must be", texnumbers, len(pictures))
        beside = Beside(path)
        for number in np.unique(numbers).tolist():
            used, faces = _split(places[numbers[owners] == number], corners, uv)
            picture = beside.picture(path.parent / pictures[number], beside.read(pictures[number]))
            yield MeshPart(vertices[corners[used]], faces, uv=uv[used], texture=picture)
        return
    colours, face_colours = _colours(vertex), _colours(face)
    if colours is None and face_colours is not None:
        of_corners = np.repeat(face_colours, sizes, axis=0)
        used, faces = _split(places, corners, of_corners)
        yield MeshPart(vertices[corners[used]], faces, of_corners[used])
    else:
        yield MeshPart(vertices, corners[places], colours)


def _checked(path: Path, wanted: str, numbers: NDArray[np.float64], end: int) -> NDArray[np.int64]:
    """The numbers as indices below `end`."""
    wrong = numbers[~((numbers >= 0) & (numbers < end))]
    if len(wrong):
        raise MeshError(f"{path}: {wanted} 0 to {end - 1}, got {wrong[0]:g}")
    return numbers.astype(np.int64)


def _split(
    places: NDArray[np.int64], corners: NDArray[np.int64], values: NDArray[np.generic]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices that also differ in the values of their corners: one corner of each, and the faces made of them."""
    flat = places.reshape(-1)
    table = np.column_stack([corners[flat], values[flat]])
    _, first, owner = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return flat[first], owner.reshape(-1, 3).astype(np.int64)


def _coordinates(
    vertex: Element, face: Element, corners: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Texture coordinates of the corners, shape (num_corners, 2); None if there are none."""
    if "texcoord" in face.lists and (face.lists["texcoord"][0] == 2 * sizes).all():
        return face.lists["texcoord"][1].reshape(-1, 2)
    for u, v in _COORDINATE_NAMES:
        if u in vertex.values and v in vertex.values:
            return np.stack([vertex.values[u], vertex.values[v]], axis=1)[corners]
    return None


def _colours(element: Element) -> NDArray[np.uint8] | None:
    """sRGB of the rows, whole numbers to 255 or fractions to 1; None if there are none."""
    for names in _COLOUR_NAMES:
        if all(name in element.values for name in names):
            kinds = {prop.kind for prop in element.properties if prop.name in names}
            scale = 255 if all("f" in kind for kind in kinds) else 1
            values = np.stack([element.values[name] for name in names], axis=1)
            return np.round(np.clip(np.nan_to_num(scale * values), 0, 255)).astype(np.uint8)
    return None
