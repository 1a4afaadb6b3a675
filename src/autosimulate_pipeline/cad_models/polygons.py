"""Polygons in space cut into triangles, concave ones by ear clipping.

Meisters, Polygons Have Ears, The American Mathematical Monthly 82 (1975).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_CONCAVE_CORNERS = 2000
"""Corners of a concave polygon at most: the time of ear clipping grows with their square, or worse."""

Vertices = NDArray[np.float64]
Indices = NDArray[np.int64]


def cut_polygons(vertices: Vertices, sizes: Indices, corners: Indices) -> tuple[Indices, Indices]:
    """Triangles that cover the polygons, wound as they are, and the polygon of each triangle.

    Args:
        vertices: shape (num_vertices, 3).
        sizes: the number of corners of each polygon; those below 3 are left out.
        corners: indices of vertices, one polygon after the other, shape (sum of sizes,).

    Returns: shapes (num_triangles, 3) and (num_triangles,), in the order of the polygons.

    Raises:
        ValueError: if a concave polygon has more than `MAX_CONCAVE_CORNERS` corners.
    """
    starts = np.cumsum(sizes) - sizes
    triangles, owners = [np.empty((0, 3), dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for size in np.unique(sizes[sizes >= 3]).tolist():
        numbers = np.flatnonzero(sizes == size)
        polygons = corners[starts[numbers][:, None] + np.arange(size)]
        fans = np.stack([polygons[:, [0, k, k + 1]] for k in range(1, size - 1)], axis=1)  # right for convex ones
        if size > 3:
            for index in np.flatnonzero(_is_concave(vertices[polygons])):
                fans[index] = polygons[index][_clip_ears(vertices[polygons[index]])]
        triangles.append(fans.reshape(-1, 3))
        owners.append(np.repeat(numbers, size - 2))
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(triangles)[order], np.concatenate(owners)[order]


def _normals(polygons: Vertices) -> Vertices:
    """Newell's normals, twice the polygons' areas long; shape (num_polygons, 3) of (num_polygons, size, 3)."""
    apart = polygons - polygons[:, :1]
    return np.asarray(np.cross(apart, np.roll(apart, -1, axis=1)).sum(axis=1))


def _is_concave(polygons: Vertices) -> NDArray[np.bool_]:
    """Whether a polygon turns the other way at a corner, by more than rounding."""
    normals = _normals(polygons)
    edges = np.roll(polygons, -1, axis=1) - polygons
    turns = np.einsum("psx,px->ps", np.cross(np.roll(edges, 1, axis=1), edges), normals)
    return np.asarray((turns < -1e-9 * np.einsum("px,px->p", normals, normals)[:, None]).any(axis=1))


def _clip_ears(polygon: Vertices) -> Indices:
    """Triangles as positions in the polygon, shape (size - 2, 3); of a polygon that crosses itself some cover."""
    size = len(polygon)
    if size > MAX_CONCAVE_CORNERS:
        raise ValueError(f"concave faces must have at most {MAX_CONCAVE_CORNERS} corners, got {size}")
    normal = _normals(polygon[None])[0]
    axis = int(np.abs(normal).argmax())
    flat = np.delete(polygon, axis, axis=1) * [1, np.sign(normal[axis]) * (-1 if axis == 1 else 1)]
    left, triangles = list(range(size)), []
    position = 0
    while len(left) > 3:
        for step in range(len(left)):
            place = (position + step) % len(left)
            ear = [left[place - 1], left[place], left[(place + 1) % len(left)]]
            if _is_ear(flat, ear, left):
                break
        triangles.append(ear)
        left.pop(place)
        position = place  # the next ear elsewhere: slivers stay few
    return np.array([*triangles, left], dtype=np.int64)


def _is_ear(flat: Vertices, ear: list[int], left: list[int]) -> bool:
    """Whether the corner is convex, and no other corner that is left lies in its triangle."""
    a, b, c = flat[ear]
    if _turn(a, b, c) <= 0:
        return False
    others = flat[left]
    others = others[~(others[:, None] == flat[ear]).all(axis=2).any(axis=1)]
    inside = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    return not inside.any()


def _turn(start: Vertices, end: Vertices, points: Vertices) -> NDArray[np.float64]:
    """Twice the signed area of start, end and each point: above 0 if the point lies to the left."""
    along, across = end - start, points - start
    return np.asarray(along[0] * across[..., 1] - along[1] * across[..., 0])
