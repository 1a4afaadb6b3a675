"""The surface where a field of signed distances is zero, as a closed triangle mesh.

Surface nets (Gibson, Constrained Elastic Surface Nets, MICCAI 1998): a vertex in each voxel that the surface passes
through, a quadrangle across each grid edge that it cuts. Differences: a voxel through which it passes twice gets two
vertices (Nielson, Dual Marching Cubes, Visualization 2004), or edges of four faces would come about; vertices then
move onto the surface along the field's gradient; the field is only looked at in blocks that the surface can reach.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Signed distances, negative inside, shape (num_points,), of points, shape (num_points, 3)."""

_BLOCK = 4  # voxels a side
_REACH = 1.5  # how far the distances of a field may be from true ones, as a factor
_NUM_STEPS = 3  # of Newton's method, from a voxel's middle onto the surface
_CORNERS = np.array(list(product((0, 1), repeat=3)))
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if abs(_CORNERS[a] - _CORNERS[b]).sum() == 1]
_EDGE_NUMBERS = {edge: number for number, edge in enumerate(_EDGES)}


def _patches() -> NDArray[np.int64]:
    """To which piece of surface each edge of a voxel belongs, by which corners are inside; -1: it is not cut.

    Pieces are what the voxel's faces link: a face with two cut edges links them, one with four links those that meet
    in an inner corner. Bit c of the row number is corner c; shape (256, 12).
    """
    table = np.full((256, 12), -1)
    faces = [[c for c in range(8) if _CORNERS[c][axis] == side] for axis in range(3) for side in (0, 1)]
    for row in range(256):
        inside = [bool(row >> corner & 1) for corner in range(8)]
        label = {number: number for number, (a, b) in enumerate(_EDGES) if inside[a] != inside[b]}
        for face in faces:
            cut = [number for number in label if set(_EDGES[number]) <= set(face)]
            for first, second in product(cut, cut):
                shared = set(_EDGES[first]) & set(_EDGES[second])
                if len(cut) == 2 or any(inside[corner] for corner in shared):
                    old, new = label[first], label[second]
                    label = {number: new if own == old else own for number, own in label.items()}
        order = sorted(set(label.values()))
        for number, own in label.items():
            table[row, number] = order.index(own)
    return table


_PATCHES = _patches()


def extract_surface(
    field: Field, lower: NDArray[np.float64], upper: NDArray[np.float64], voxel: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices, shape (num_vertices, 3), and faces, counter-clockwise from outside, shape (num_faces, 3).

    Args:
        lower, upper: corners of a box that encloses the surface, shape (3,), in the unit of the distances.
        voxel: width of a voxel; what is thinner than two of them may be lost.
    """
    values = _sample(field, lower, upper, voxel)
    is_inside = values < 0
    size = np.array(values.shape) - 1
    row = sum(is_inside[_window(size, corner)].astype(np.int64) << bit for bit, corner in enumerate(_CORNERS))
    row = np.asarray(row)
    is_cut = (row > 0) & (row < 255)
    rows = row[is_cut]
    num_vertices = _PATCHES[rows].max(axis=1) + 1
    first_vertex = np.zeros(is_cut.shape, dtype=np.int64)
    first_vertex[is_cut] = np.cumsum(num_vertices) - num_vertices
    vertices = _on_surface(field, lower, voxel, np.argwhere(is_cut), rows, num_vertices, values)
    quadrangles = np.concatenate([_quadrangles(is_inside, row, first_vertex, axis) for axis in range(3)])
    return vertices, _triangles(vertices, quadrangles)


def _sample(field: Field, lower: NDArray[np.float64], upper: NDArray[np.float64], voxel: float) -> NDArray[np.float64]:
    """The field at the corners of the voxels; far from the surface only its sign is right."""
    num_blocks = np.ceil((upper - lower) / (voxel * _BLOCK)).astype(int)
    blocks = np.stack(np.meshgrid(*map(np.arange, num_blocks), indexing="ij"), axis=-1).reshape(-1, 3)
    middles = field(lower + (blocks + 0.5) * (_BLOCK * voxel))
    values = np.repeat(middles.reshape(num_blocks), _BLOCK, axis=0).repeat(_BLOCK, axis=1).repeat(_BLOCK, axis=2)
    near = blocks[abs(middles) < _REACH * np.sqrt(3) / 2 * _BLOCK * voxel]
    steps = np.stack(np.meshgrid(*[np.arange(_BLOCK)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for some in np.array_split(near, len(near) // 1500 + 1):
        points = (some[:, None] * _BLOCK + steps).reshape(-1, 3)
        values[tuple(points.T)] = field(lower + points * voxel)
    return np.asarray(values)


def _window(size: NDArray[np.int64], corner: NDArray[np.int64]) -> tuple[slice, ...]:
    """The samples that are that corner of their voxel, of `size` voxels along each axis."""
    return tuple(slice(int(start), int(start + count)) for start, count in zip(corner, size, strict=True))


def _on_surface(
    field: Field,
    lower: NDArray[np.float64],
    voxel: float,
    cells: NDArray[np.int64],
    rows: NDArray[np.int64],
    num_vertices: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.float64]:
    """A point of each piece of surface in each voxel, or as near as Newton's method comes inside the voxel."""
    of_corners = np.stack([values[tuple((cells + corner).T)] for corner in _CORNERS], axis=1)
    first = np.cumsum(num_vertices) - num_vertices
    sums, counts = np.zeros((num_vertices.sum(), 3)), np.zeros((num_vertices.sum(), 1))
    for number, (a, b) in enumerate(_EDGES):
        cut = np.flatnonzero(_PATCHES[rows, number] >= 0)
        start, end = of_corners[cut, a], of_corners[cut, b]
        crossing = _CORNERS[a] + (start / (start - end))[:, None] * (_CORNERS[b] - _CORNERS[a])
        vertex = first[cut] + _PATCHES[rows[cut], number]
        np.add.at(sums, vertex, crossing)
        np.add.at(counts, vertex, 1)
    origin = lower + np.repeat(cells, num_vertices, axis=0) * voxel
    points = origin + sums / counts * voxel
    step = voxel / 10
    for _ in range(_NUM_STEPS):
        height = field(points)
        slope = np.stack([(field(points + step * axis) - height) / step for axis in np.eye(3)], axis=1)
        steepness = np.maximum((slope**2).sum(axis=1), 0.1)
        moved = points - (height / steepness)[:, None] * slope
        points = np.clip(moved, origin + 0.05 * voxel, origin + 0.95 * voxel)
    return points


def _quadrangles(
    is_inside: NDArray[np.bool_], row: NDArray[np.int64], first_vertex: NDArray[np.int64], axis: int
) -> NDArray[np.int64]:
    """The vertices in the four voxels around each cut grid edge along the axis, in the order that faces outwards."""
    across = [(axis + 1) % 3, (axis + 2) % 3]  # right-handed with the axis
    rows, firsts = row.transpose(axis, *across), first_vertex.transpose(axis, *across)
    inner = is_inside.transpose(axis, *across)[:, 1:-1, 1:-1]
    around = []
    for low, high in ((1, 1), (0, 1), (0, 0), (1, 0)):  # where the edge is, seen from each voxel in turn
        start = np.zeros(3, dtype=np.int64)
        start[across] = low, high
        end = start.copy()
        end[axis] = 1
        a, b = (int(np.flatnonzero((corner == _CORNERS).all(axis=1))[0]) for corner in (start, end))
        window = (slice(None), slice(1 - low, rows.shape[1] - low), slice(1 - high, rows.shape[2] - high))
        around.append(firsts[window] + _PATCHES[rows[window], _EDGE_NUMBERS[a, b]])
    quadrangles = np.stack(around, axis=-1)
    leaves, enters = inner[:-1] & ~inner[1:], ~inner[:-1] & inner[1:]
    return np.concatenate([quadrangles[leaves], quadrangles[enters][:, ::-1]])


def _triangles(vertices: NDArray[np.float64], quadrangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each quadrangle cut along its shorter diagonal."""
    corners = vertices[quadrangles]
    first = np.linalg.norm(corners[:, 0] - corners[:, 2], axis=1)
    second = np.linalg.norm(corners[:, 1] - corners[:, 3], axis=1)
    turned = np.where((first <= second)[:, None], quadrangles, np.roll(quadrangles, -1, axis=1))
    return np.concatenate([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]])
