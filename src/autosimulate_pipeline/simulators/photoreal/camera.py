"""The hand-held camera of the LineMOD photographs: its intrinsics at any size, and poses on a shell about the objects.

Cameras are OpenCV's: x to the right, y down, z forwards; the pixel in row i and column j has its centre at (j, i). The
world is in metres with z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LINEMOD_CAMERA_MATRIX = np.array([[572.4114, 0.0, 325.2611], [0.0, 573.57043, 242.0490], [0.0, 0.0, 1.0]])
"""Of the LineMOD photographs, 640 pixels wide and 480 high (BOP's camera.json of LM and LM-O)."""

LINEMOD_WIDTH = 640
LARGEST_AZIMUTH_DEGREES = 75.0
AIM_JITTER = 0.09
"""Standard deviation, in radians, of the line of sight about the objects' centre: 50 of 640 pixels, as in LM-O."""


@dataclass(frozen=True, eq=False)
class CameraPose:
    """x_camera = rotation @ x_world + translation, in metres; shapes (3, 3) and (3,)."""

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    @property
    def position(self) -> NDArray[np.float64]:
        """The optical centre in the world, shape (3,)."""
        return -self.rotation.T @ self.translation


def camera_matrix(width: int) -> NDArray[np.float64]:
    """K of the LineMOD camera for images `width` pixels wide, shape (3, 3).

    With centres of pixels at whole numbers an image's left edge is at −½; this edge is what stays in place.
    """
    scale = width / LINEMOD_WIDTH
    matrix = LINEMOD_CAMERA_MATRIX.copy()
    matrix[:2] *= scale
    matrix[:2, 2] += (scale - 1) / 2
    return matrix


def look_at(position: ArrayLike, target: ArrayLike, roll_degrees: float) -> CameraPose:
    """The camera at `position` with `target` on its axis, turned about that axis; upright in the world at roll 0."""
    position = np.asarray(position, dtype=np.float64)
    forward = np.asarray(target) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(np.radians(roll_degrees)), np.sin(np.radians(roll_degrees))
    rotation = np.stack([cosine * right + sine * down, cosine * down - sine * right, forward])
    return CameraPose(rotation, -rotation @ position)


def sample_pose(
    distance: float, elevation_degrees: float, roll_degrees: float, centre: ArrayLike, generator: np.random.Generator
) -> CameraPose:
    """A camera at that distance and elevation from `centre`, on a random side, not quite aimed at it.

    The side is within 75° of the front (−y), where furniture is open.
    """
    azimuth = np.radians(generator.uniform(-LARGEST_AZIMUTH_DEGREES, LARGEST_AZIMUTH_DEGREES))
    elevation = np.radians(elevation_degrees)
    offset = [np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)]
    position = np.asarray(centre) + distance * np.array(offset)
    target = np.asarray(centre) + distance * AIM_JITTER * np.clip(generator.normal(size=3), -1.5, 1.5)
    return look_at(position, target, roll_degrees)


def project(points_camera: ArrayLike, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel coordinates (x, y) of points in front of the camera, shape (..., 2); `points_camera`: shape (..., 3)."""
    homogeneous = np.asarray(points_camera) @ matrix.T
    return np.asarray(homogeneous[..., :2] / homogeneous[..., 2:])
