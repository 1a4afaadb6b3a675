"""A model as convex parts for PhysX, which takes no hollow bodies.

CoACD (Wei et al., Approximate Convex Decomposition for 3D Meshes, SIGGRAPH 2022) cuts the model, simplified to
`NUM_FACES` faces. Each part then grows to the vertices of the original that stick out next to it, and shrinks to
`MAX_POINTS` points at most: PhysX takes hulls of up to 255 faces, and a hull of n points has at most 2 n - 4.

On one core LINEMOD's models take 2 to 8 s each, 36 s together, and give 4 to 58 parts; vertices stick out of them by
0.5 mm at most. Our own take 85 s together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from autosimulate_pipeline.cad_models.models import CadModel
from autosimulate_pipeline.files.atomic import replacing
from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.simulators.photoreal.physics.mesh_simplification import simplify
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers

NUM_FACES = 1000
"""Faces handed to CoACD: its time grows with them (45,000: minutes), and what they leave out the parts get back."""

THRESHOLD = 0.06
"""Concavity, as CoACD measures it, up to which a part is taken for convex."""

COACD_SETTINGS = {"resolution": 1000, "mcts_iterations": 60, "mcts_nodes": 20, "mcts_max_depth": 2, "seed": 0}
"""Points of its distance, and the breadth and depth of its search: a third of the time of its defaults."""

MAX_POINTS = 128
TOLERANCE_MM = 0.05
"""A part takes no more points once all it should cover lie inside or this close."""

MIN_VOLUME_MM3 = 1.0
"""Crumbs of the cutting that are left out; PhysX cannot make a hull of them."""

_VERSION = 1  # of what is made here, the settings apart: another number, and nothing cached is used

Parts = tuple[NDArray[np.float64], ...]
"""Of each part the corners of its hull in model coordinates, mm, shape (num_points, 3)."""


MADE: dict[str, Parts] = {}
"""By key: what this process has made or read."""


def convex_parts(models: Sequence[CadModel], parallel: ParallelSettings, cache_folder: Path | None) -> list[Parts]:
    """The convex parts of each model, in order; from the cache where they are in it, else made in worker processes.

    Args:
        cache_folder: one file for each shape, named by a hash of the model's shape and the settings; None: no cache.
    """
    found: dict[str, Parts] = {}
    missing: dict[str, CadModel] = {}
    keys = [parts_key(model) for model in models]
    for key, model in zip(keys, models, strict=True):
        parts = MADE.get(key) or (None if cache_folder is None else _read(cache_folder / f"{key}.npz"))
        if parts is None:
            missing[key] = model
        else:
            found[key] = parts
    if missing:
        worker = "autosimulate_pipeline.simulators.photoreal.physics.convex_parts:decompose"
        jobs = [(model.name, model.vertices_mm, model.faces) for model in missing.values()]
        found |= zip(missing, run_in_workers(worker, jobs, parallel, ignore_progress), strict=True)
    for key, parts in found.items():
        if cache_folder is not None and (key in missing or not (cache_folder / f"{key}.npz").exists()):
            _write(cache_folder / f"{key}.npz", parts)
    MADE.update(found)
    return [found[key] for key in keys]


def decompose(job: tuple[str, NDArray[np.float64], NDArray[np.int64]]) -> Parts:
    """The convex parts of a mesh, given as its name, vertices in mm and faces: equal for equal meshes."""
    import coacd  # loads a large library, which only the workers need

    name, vertices, faces = job
    coacd.set_log_level("error")
    mesh = trimesh.Trimesh(*simplify(vertices, faces, NUM_FACES), process=False)
    mesh.fix_normals()  # of faces that look inwards CoACD makes a hundred parts
    is_solid = mesh.is_watertight and mesh.is_winding_consistent
    cut = coacd.run_coacd(
        coacd.Mesh(mesh.vertices, mesh.faces),
        threshold=THRESHOLD,
        preprocess_mode="off" if is_solid else "on",  # on: made anew from voxels, 1 mm thicker and seven times as slow
        **COACD_SETTINGS,
    )
    hulls = [hull for points, _ in cut if (hull := _hull(np.asarray(points))) is not None]
    if not hulls:
        raise ValueError(
            f"{name} must be a solid: no part of its {len(faces)} faces has {MIN_VOLUME_MM3:g} mm³ or more"
        )
    outside = np.stack([_heights(hull, vertices).max(axis=1) for hull in hulls])  # (part, vertex)
    nearest = np.where(outside.min(axis=0) > 0, outside.argmin(axis=0), -1)
    return tuple(
        _reduce(np.concatenate([hull.points[hull.vertices], vertices[nearest == part]]))
        for part, hull in enumerate(hulls)
    )


def _hull(points: NDArray[np.float64]) -> ConvexHull | None:
    try:
        hull = ConvexHull(points)
    except QhullError:  # flat
        return None
    return hull if hull.volume >= MIN_VOLUME_MM3 else None


def _heights(hull: ConvexHull, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each point above the plane of each face, shape (num_points, num_faces)."""
    return np.asarray(points @ hull.equations[:, :3].T + hull.equations[:, 3])


def _reduce(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the hull of the points, `MAX_POINTS` at most: always the point next that sticks out furthest.

    Half of what still sticks out in the end the corners move outwards, so that the hull is too small and too large by
    the same.
    """
    points = points[ConvexHull(points).vertices]
    if len(points) <= 20:
        return points
    directions = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)], dtype=float)
    chosen = sorted(set((points @ directions.T).argmax(axis=0).tolist()))
    while True:
        heights = _heights(ConvexHull(points[chosen]), points).max(axis=1)
        furthest = int(heights.argmax())
        if heights[furthest] <= TOLERANCE_MM or len(chosen) == MAX_POINTS:
            break
        chosen.append(furthest)
    corners = points[chosen]
    outwards = corners - corners.mean(axis=0)
    corners = corners + outwards / np.linalg.norm(outwards, axis=1, keepdims=True) * max(heights[furthest], 0) / 2
    return np.asarray(corners[ConvexHull(corners).vertices])


def parts_key(model: CadModel) -> str:
    """A hash of all that the model's convex parts depend on: its shape, the settings and CoACD's version."""
    settings = (NUM_FACES, THRESHOLD, COACD_SETTINGS, MAX_POINTS, TOLERANCE_MM, MIN_VOLUME_MM3)
    content = hashlib.sha256(repr((_VERSION, version("coacd"), settings)).encode())
    content.update(model.vertices_mm.tobytes() + model.faces.tobytes())
    return content.hexdigest()[:32]


def _read(path: Path) -> Parts | None:
    """The parts in a file; None if it is missing or spoilt."""
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = tuple(file[f"part_{index:03d}"] for index in range(len(file.files)))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return parts if parts and all(part.ndim == 2 and part.shape[1] == 3 for part in parts) else None


def _write(path: Path, parts: Parts) -> None:
    with replacing(path) as draft, draft.open("wb") as file:  # NumPy would add a suffix to a path
        np.savez(file, **{f"part_{index:03d}": part for index, part in enumerate(parts)})
