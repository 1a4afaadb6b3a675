"""Edges that stay sharp: CAD programs write boxes and brackets whose faces share their vertices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.cad_models.models import CadModel

SHARP_DEGREES = 40.0
"""Angle between two faces from which their shading does not blend."""

_MAX_FACES_AROUND = 64  # of a position whose creases are looked for: pairs of faces are compared


def with_sharp_edges(model: CadModel) -> CadModel:
    """The model with its vertices split where faces meet at more than `SHARP_DEGREES`, each with its own normal."""
    corners = model.faces.reshape(-1)
    table = np.column_stack([corners, _corner_normals(model).round(6)])
    _, first, owner = np.unique(table, axis=0, return_index=True, return_inverse=True)
    used = corners[first]
    return replace(
        model,
        vertices_mm=model.vertices_mm[used],
        faces=owner.reshape(-1, 3).astype(np.int64),
        vertex_normals=table[first, 1:],
        vertex_colours=None if model.vertex_colours is None else model.vertex_colours[used],
        uv=None if model.uv is None else model.uv[used],
    )


def _corner_normals(model: CadModel) -> NDArray[np.float64]:
    """The mean, weighted by area, of the faces around each corner that are bent by less; shape (3 num_faces, 3)."""
    normals = model.vertex_normals[model.faces].reshape(-1, 3).copy()
    a, b, c = (model.vertices_mm[model.faces[:, corner]] for corner in range(3))
    weighted = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
    units = weighted / np.where(lengths > 0, lengths, 1)
    _, position = np.unique(model.vertices_mm[model.faces].reshape(-1, 3), axis=0, return_inverse=True)
    order = np.argsort(position.reshape(-1), kind="stable")
    counts = np.bincount(position.reshape(-1))
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts[counts <= _MAX_FACES_AROUND]).tolist():
        around = order[starts[counts == count][:, None] + np.arange(count)]  # (position, corner)
        is_near = units[around] @ units[around].transpose(0, 2, 1) > np.cos(np.radians(SHARP_DEGREES))
        sums = is_near.astype(np.float64) @ weighted[around]
        sizes = np.linalg.norm(sums, axis=2, keepdims=True)
        normals[around] = np.where(sizes > 0, sums / np.where(sizes > 0, sizes, 1), normals[around])
    return normals
