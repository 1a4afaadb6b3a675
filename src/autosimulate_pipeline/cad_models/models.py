"""CAD models of the objects: read from and written to a BOP `models` folder, or read from a single mesh file.

Every refusal is one line that names the file: a folder may be half copied.

BOP's layout: https://github.com/thodan/bop_toolkit/blob/master/docs/bop_datasets_format.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from autosimulate_pipeline.cad_models.mesh_files import load_mesh
from autosimulate_pipeline.cad_models.mesh_parts import RawMesh, Textures
from autosimulate_pipeline.files.checked_files import check_file, read_json

INFO_NAME = "models_info.json"
MIN_SIZE_MM, MAX_SIZE_MM = 5.0, 2000.0  # of the longest side: outside, the unit is most likely another one
_SIZE_TOLERANCE = 0.01  # of the sizes in models_info.json, which are rounded


@dataclass(frozen=True, eq=False)
class CadModel:
    """A triangle mesh in its own coordinates, as in its file (BOP: the origin is the centre of the bounding box).

    Attributes:
        object_id: the BOP object id, at least 1.
        name: of its category.
        vertices_mm: shape (num_vertices, 3), float64.
        faces: indices of vertices, counter-clockwise from outside, shape (num_faces, 3), int64.
        vertex_normals: unit vectors, shape (num_vertices, 3), float64.
        vertex_colours: sRGB, by which textures are multiplied, shape (num_vertices, 3), uint8; None: white.
        uv: texture coordinates of the vertices, (0, 0) the lower left corner, shape (num_vertices, 2), float64; None:
            no textures.
        textures: None as `uv` is.
        diameter_mm: largest distance between two vertices.
    """

    object_id: int
    name: str
    vertices_mm: NDArray[np.float64]
    faces: NDArray[np.int64]
    vertex_normals: NDArray[np.float64]
    vertex_colours: NDArray[np.uint8] | None
    uv: NDArray[np.float64] | None
    textures: Textures | None
    diameter_mm: float

    def digest(self) -> str:
        """A hash of everything in it: equal for equal models on every machine."""
        content = hashlib.sha256()
        values: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.textures is not None:
            values |= {"textures": self.textures.of_faces}
            values |= {f"picture {index}": picture for index, picture in enumerate(self.textures.pictures)}
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                content.update(f"{name} {value.dtype.str} {value.shape}".encode())
                content.update(np.ascontiguousarray(value).tobytes())
            else:
                content.update(f"{name} {value!r}".encode())
        return content.hexdigest()

    @property
    def texture(self) -> NDArray[np.uint8] | None:
        """The first of its pictures, shape (height, width, 3)."""
        return None if self.textures is None else self.textures.pictures[0]


class _Info(BaseModel):
    """An entry of models_info.json: the bounding box and the diameter, in mm."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    diameter: Annotated[float, Field(gt=0)]
    min_x: float
    min_y: float
    min_z: float
    size_x: float
    size_y: float
    size_z: float


_INFOS = TypeAdapter(dict[int, _Info])


def read_models(folder: Path, objects: Mapping[int, str]) -> tuple[CadModel, ...]:
    """The models of a BOP `models` folder, in the order of their ids.

    Args:
        objects: category name of each object id that is wanted.

    Raises:
        FileNotFoundError: if the folder, its models_info.json or the file of an object is missing.
        ValueError: if something in it is wrong.
    """
    if not folder.is_dir():
        state = "must be a folder, got a file" if folder.exists() else "is missing"
        raise FileNotFoundError(f"{folder} {state}; wanted BOP models there: obj_000001.ply, …, {INFO_NAME}")
    if not objects:
        raise ValueError(f"objects must name at least one of the models in {folder}, got none")
    infos = read_json(folder / INFO_NAME, folder, _INFOS, ": a BOP models folder has it beside obj_000001.ply, …")
    models = []
    for object_id in sorted(objects):
        path = folder / f"obj_{object_id:06d}.ply"
        if object_id not in infos:
            raise ValueError(f"{folder / INFO_NAME} must have object {object_id}, got {sorted(infos)}")
        check_file(path, folder, f": {INFO_NAME} names it")
        info = infos[object_id]
        model = to_model(load_mesh(path), path, object_id, objects[object_id], 1.0, info.diameter)
        lower = np.array([info.min_x, info.min_y, info.min_z])
        box = np.stack([lower, lower + np.array([info.size_x, info.size_y, info.size_z])])
        seen = np.stack([model.vertices_mm.min(0), model.vertices_mm.max(0)])
        if not np.allclose(seen, box, rtol=0, atol=_SIZE_TOLERANCE * info.diameter):
            raise ValueError(
                f"{path} must have the bounding box that {INFO_NAME} gives, {box.round(2).tolist()} mm, "
                f"got {seen.round(2).tolist()} (another model, another unit or half copied)"
            )
        models.append(model)
    return tuple(models)


def read_mesh(path: Path, object_id: int, name: str, scale_to_mm: float) -> CadModel:
    """The model in a PLY, OBJ or GLB file; its parts, if several, as one.

    Args:
        scale_to_mm: millimetres in a unit of the file (glTF's unit is the metre: 1000). Axes stay as in the file.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it holds no mesh of a sensible size, is malformed, or names a file that is missing or elsewhere.
    """
    if not 0 < scale_to_mm < np.inf:
        raise ValueError(f"{path}: scale_to_mm must be above 0, got {scale_to_mm}")
    return to_model(load_mesh(path), path, object_id, name, scale_to_mm)


def to_model(
    mesh: RawMesh, path: Path, object_id: int, name: str, scale_to_mm: float = 1.0, diameter_mm: float | None = None
) -> CadModel:
    """The mesh, read from `path`, as a model; `diameter_mm` is measured where it is not given.

    Raises:
        ValueError: if it is of no sensible size, or flat.
    """
    used, corners = np.unique(mesh.faces, return_inverse=True)  # others would be there for physics alone
    vertices, faces = mesh.vertices[used] * scale_to_mm, corners.reshape(mesh.faces.shape)
    size = float(np.ptp(vertices, axis=0).max())
    if not MIN_SIZE_MM <= size <= MAX_SIZE_MM:
        raise ValueError(f"{path} must be {MIN_SIZE_MM:g} to {MAX_SIZE_MM:g} mm long, got {size:.4g} (is it in mm?)")
    return CadModel(
        object_id=object_id,
        name=name,
        vertices_mm=vertices,
        faces=faces,
        vertex_normals=vertex_normals(vertices, faces),
        vertex_colours=None if mesh.vertex_colours is None else mesh.vertex_colours[used],
        uv=None if mesh.uv is None else mesh.uv[used],
        textures=mesh.textures,
        diameter_mm=diameter_mm or diameter(vertices, path),
    )


def vertex_normals(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Unit normals of the vertices, the mean over the faces around a position, weighted by their areas.

    Vertices at one position, which a seam of the texture has split, share their normal. Shape (num_vertices, 3).
    """
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    positions, owner = np.unique(vertices, axis=0, return_inverse=True)
    owner = owner.reshape(-1)
    sums = np.zeros_like(positions)
    for corner in range(3):
        for axis in range(3):
            sums[:, axis] += np.bincount(owner[faces[:, corner]], face_normals[:, axis], len(positions))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    normals = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), [0.0, 0.0, 1.0])
    return np.asarray(normals[owner])


def diameter(points: NDArray[np.float64], source: object) -> float:
    """The largest distance between two of the points, shape (num_points, 3).

    Between 4000 of the corners of their convex hull at most, to bound the time: a little short on a huge smooth mesh.
    """
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:
        raise ValueError(f"{source} must be a solid, got a flat or degenerate mesh") from None
    return float(pdist(corners[np.linspace(0, len(corners) - 1, min(len(corners), 4000)).astype(int)]).max())


def write_models(models: Sequence[CadModel], folder: Path) -> None:
    """Writes a BOP `models` folder: obj_000001.ply, … in mm (binary, float32) and models_info.json, no symmetries.

    A texture goes to obj_000001.png beside its model. `read_models` gives the same models, to float32's precision.

    Raises:
        FileExistsError: if the folder has something in it already.
        ValueError: if two models have the same object id, or one has textures that a PLY file cannot hold.
    """
    if len({model.object_id for model in models}) < len(models):
        raise ValueError(f"object ids must differ, got {[model.object_id for model in models]}")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} must be empty or new to write models to it")
    folder.mkdir(parents=True, exist_ok=True)
    infos = {}
    for model in models:
        stem = f"obj_{model.object_id:06d}"
        if model.texture is not None:
            _check_writable(model)
            Image.fromarray(model.texture).save(folder / f"{stem}.png")
        (folder / f"{stem}.ply").write_bytes(_ply(model, f"{stem}.png"))
        lower, size = model.vertices_mm.min(0), np.ptp(model.vertices_mm, axis=0)
        infos[model.object_id] = {
            "diameter": model.diameter_mm,
            **{f"min_{axis}": float(value) for axis, value in zip("xyz", lower, strict=True)},
            **{f"size_{axis}": float(value) for axis, value in zip("xyz", size, strict=True)},
        }
    (folder / INFO_NAME).write_text(json.dumps(infos, indent=1) + "\n", encoding="utf-8")


def _check_writable(model: CadModel) -> None:
    """Nothing, if all faces of the textured model have one picture, and its vertices no colours beside it."""
    is_one = model.textures is not None and len(model.textures.pictures) == 1 and (model.textures.of_faces == 0).all()
    if not is_one or model.vertex_colours is not None:
        raise ValueError(f"{model.name} must have one texture for all its faces, or none, to be written as PLY")


def _ply(model: CadModel, texture_name: str) -> bytes:
    columns = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("nx", "f4"), ("ny", "f4"), ("nz", "f4")]
    values = [*model.vertices_mm.T, *model.vertex_normals.T]
    header = ["ply", "format binary_little_endian 1.0"]
    if model.uv is not None and model.texture is not None:
        header.append(f"comment TextureFile {texture_name}")
        columns += [("texture_u", "f4"), ("texture_v", "f4")]
        values += [*model.uv.T]
    if model.vertex_colours is not None:
        columns += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
        values += [*model.vertex_colours.T]
    vertices = np.empty(len(model.vertices_mm), dtype=[(name, f"<{kind}") for name, kind in columns])
    for (name, _), value in zip(columns, values, strict=True):
        vertices[name] = value
    faces = np.empty(len(model.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, model.faces
    header.append(f"element vertex {len(vertices)}")
    header += [f"property {'float' if kind == 'f4' else 'uchar'} {name}" for name, kind in columns]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode("ascii") + vertices.tobytes() + faces.tobytes()
