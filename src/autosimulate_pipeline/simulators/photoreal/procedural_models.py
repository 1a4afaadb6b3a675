"""CAD models made by this program, for those who have no LINEMOD: the same kinds of objects, ids and names."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.cad_models.models import CadModel, diameter, vertex_normals, write_models
from autosimulate_pipeline.simulators.photoreal import sculpting, sculptures, surface_nets
from autosimulate_pipeline.simulators.photoreal.sculpting import Sculpture
from autosimulate_pipeline.simulators.photoreal.surface_nets import extract_surface

SCULPTURES = {
    1: sculptures.ape,
    5: sculptures.can,
    6: sculptures.cat,
    8: sculptures.driller,
    9: sculptures.duck,
    10: sculptures.eggbox,
    11: sculptures.glue,
    12: sculptures.holepuncher,
}
"""By the BOP object id of the same kind of object in LineMOD-Occluded."""

_REACH_MM = 160.0  # of any sculpture from its origin
_FACES_WANTED = 34_000
_MAX_TRIES = 12


@cache
def make_models() -> tuple[CadModel, ...]:
    """Eight closed meshes of 25,000 to 40,000 faces with a colour at each vertex: the same in every process.

    It takes about eight seconds, once in a process.
    """
    return tuple(make_model(object_id, sculpture()) for object_id, sculpture in SCULPTURES.items())


def made_models(cache_folder: Path) -> Path:
    """A BOP `models` folder of them below `cache_folder`, made by the first who asks."""
    sources = (sculptures, sculpting, surface_nets, sys.modules[__name__])
    digest = hashlib.sha256("".join(map(inspect.getsource, sources)).encode()).hexdigest()[:16]
    folder = cache_folder / f"models-{digest}"
    if not folder.is_dir():
        cache_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder) as draft:
            write_models(make_models(), Path(draft) / "models")
            with contextlib.suppress(OSError):  # another process was faster: its models are the same
                (Path(draft) / "models").rename(folder)
    return folder


def _is_closed(faces: NDArray[np.int64]) -> bool:
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())


def make_model(object_id: int, sculpture: Sculpture) -> CadModel:
    """The sculpture as a mesh, the middle of its bounding box at the origin."""
    corner = np.full(3, _REACH_MM)
    rough, faces = extract_surface(sculpture.distances, -corner, corner, 5.0)
    edges = rough[faces]
    area = np.linalg.norm(np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0]), axis=1).sum() / 2
    voxel = float(np.sqrt(3 * area / _FACES_WANTED))  # about three faces for each voxel's area of surface
    lower, upper = rough.min(axis=0) - 8, rough.max(axis=0) + 8
    for _ in range(_MAX_TRIES):
        surface, faces = extract_surface(sculpture.distances, lower, upper, voxel)
        if _is_closed(faces):
            break
        voxel *= 0.985  # a crevice as narrow as a voxel can leave an edge with four faces; another grid seldom does
    middle = (surface.min(axis=0) + surface.max(axis=0)) / 2
    vertices = (surface - middle).astype(np.float32).astype(np.float64)  # as in a file
    return CadModel(
        object_id=object_id,
        name=SCULPTURES[object_id].__name__,
        vertices_mm=vertices,
        faces=faces,
        vertex_normals=vertex_normals(vertices, faces),
        vertex_colours=sculpture.colours(surface),
        uv=None,
        textures=None,
        diameter_mm=diameter(vertices, SCULPTURES[object_id].__name__),
    )
