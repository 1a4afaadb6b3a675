"""Each object as if nothing hid it, by Embree rays through the centres of pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from autosimulate_pipeline.cad_models.models import CadModel
from autosimulate_pipeline.records import enclosing_box
from autosimulate_pipeline.simulators.photoreal.camera import project

NEAREST_MM = 10.0
"""Vertices nearer to the camera's plane than this have no place in the image."""


def ray_depth(
    model: CadModel,
    rotation: NDArray[np.float64],
    translation_mm: NDArray[np.float64],
    matrix: NDArray[np.float64],
    window: tuple[int, ...],
) -> NDArray[np.float32]:
    """z of the model at the centre of each pixel of a window, 0 where no ray meets it, shape (height, width), mm.

    Args:
        rotation, translation_mm: from the model's coordinates to the camera's, shapes (3, 3) and (3,).
        matrix: K, shape (3, 3).
        window: left column, top row, width, height; it may reach beyond the image.
    """
    left, top, width, height = window
    columns, rows = np.meshgrid(np.arange(left, left + width), np.arange(top, top + height))
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(width * height)], axis=-1)
    directions = pixels @ np.linalg.inv(matrix).T  # z is 1, so that the distance along a ray is the depth
    origins = np.broadcast_to(-translation_mm @ rotation, directions.shape)  # the camera, as the model sees it
    hits = _traced(model).run(origins.astype(np.float32), (directions @ rotation).astype(np.float32), output=True)
    depth = np.where(hits["primID"] >= 0, hits["tfar"], 0)
    return np.asarray(depth, dtype=np.float32).reshape(height, width)


@lru_cache(maxsize=64)
def _traced(model: CadModel) -> EmbreeScene:
    """The mesh where it was made, for the rays of many images: its tree takes longer than an image's rays."""
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(model.vertices_mm[model.faces], dtype=np.float32))
    return scene


def full_extent(
    model: CadModel,
    rotation: NDArray[np.float64],
    translation_mm: NDArray[np.float64],
    matrix: NDArray[np.float64],
    visible: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.float64], int]:
    """The object's whole silhouette: its part in the image, its box and its number of pixels, hidden parts included.

    Box and number count what lies beyond the image as well, up to one image's size on each side, as in BOP. Where
    no ray tells, as of an object nearer to the camera than `NEAREST_MM`, all three are those of what is visible.

    Args:
        rotation, translation_mm, matrix: as `ray_depth`.
        visible: the pixels that show the object, one or more, shape (height, width).

    Returns: mask of shape (height, width); box [x, y, width, height]; number of pixels.
    """
    height, width = visible.shape
    num_visible = int(visible.sum())
    shown = visible, np.array(enclosing_box(visible), dtype=np.float64), num_visible
    vertices_mm = model.vertices_mm @ rotation.T + translation_mm
    if vertices_mm[:, 2].min() < NEAREST_MM:
        return shown
    corners = project(vertices_mm, matrix)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), [-width, -height])
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int), [2 * width - 1, 2 * height - 1])
    if (high < low).any():
        return shown
    window = (int(low[0]), int(low[1]), int(high[0] - low[0] + 1), int(high[1] - low[1] + 1))
    silhouette = ray_depth(model, rotation, translation_mm, matrix, window) > 0
    if not silhouette.any():
        return shown
    rows, columns = (np.flatnonzero(silhouette.any(axis=axis)) for axis in (1, 0))
    box = [window[0] + columns[0], window[1] + rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
    inside_rows, inside_columns = slice(max(low[1], 0), high[1] + 1), slice(max(low[0], 0), high[0] + 1)
    part = silhouette[max(-low[1], 0) : height - low[1], max(-low[0], 0) : width - low[0]]
    mask = visible.copy()
    target = mask[inside_rows, inside_columns]
    target |= part[: target.shape[0], : target.shape[1]]
    return mask, np.array(box, dtype=np.float64), max(int(silhouette.sum()), num_visible)
