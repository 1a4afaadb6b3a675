"""How deep two bodies may be in each other, from their own meshes: a bound that can be relied on.

The depths that fcl reports for two meshes are those of single triangles and mean little; whether two meshes touch at
all it tells exactly. So the bound is the length of a shift after which it finds them apart: the least such shift is
what penetration depth means, and one that was found cannot be shorter than the least.
"""

from __future__ import annotations

from itertools import product

import fcl
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

_NUM_HALVINGS = 6  # of the shortest shift along a direction: to 2 % of the limit
_NUM_CONTACTS = 50  # triangles whose mean normal is one of the directions tried
_DIRECTIONS = np.array([direction for direction in product((-1, 0, 1), repeat=3) if any(direction)], dtype=float)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)


class Solid:
    """A body's mesh, and the convex parts that cover it, in the body's coordinates; any one unit of length."""

    def __init__(
        self, vertices: NDArray[np.float64], faces: NDArray[np.int64], parts: tuple[NDArray[np.float64], ...]
    ) -> None:
        self.corners = vertices[ConvexHull(vertices).vertices]
        self._planes = [ConvexHull(part).equations for part in parts]
        self._tree = fcl.BVHModel()
        self._tree.beginModel(len(vertices), len(faces))
        self._tree.addSubModel(vertices, faces)
        self._tree.endModel()

    def posed(self, rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> fcl.CollisionObject:
        return fcl.CollisionObject(self._tree, fcl.Transform(rotation, translation))

    def depth(self, points: NDArray[np.float64]) -> float:
        """How deep the deepest of the points is in any one of the convex parts; at most 0 outside."""
        return max(-float((points @ planes[:, :3].T + planes[:, 3]).max(axis=1).min()) for planes in self._planes)


def convex_solid(parts: tuple[NDArray[np.float64], ...]) -> Solid:
    """The body that is its convex parts and no more."""
    hulls = [ConvexHull(part) for part in parts]
    starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]
    faces = np.concatenate([hull.simplices + start for hull, start in zip(hulls, starts, strict=True)])
    return Solid(np.concatenate(parts), faces.astype(np.int64), parts)


Pose = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Rotation, shape (3, 3), and translation, shape (3,), to the world."""


def penetration_bound(first: Solid, first_pose: Pose, second: Solid, second_pose: Pose, limit: float) -> float:
    """A length that the penetration depth does not exceed; infinity if none up to `limit` could be shown.

    0: the surfaces do not touch, and neither body is in the other. Of a body in between two others' jaws infinity may
    come although it is less deep in each, for no one shift frees it.
    """
    boxes = [
        (corners.min(axis=0), corners.max(axis=0))
        for corners in (
            first.corners @ first_pose[0].T + first_pose[1],
            second.corners @ second_pose[0].T + second_pose[1],
        )
    ]
    if (boxes[0][0] > boxes[1][1]).any() or (boxes[1][0] > boxes[0][1]).any():
        return 0.0
    for solid, pose, other, other_pose in (
        (first, first_pose, second, second_pose),
        (second, second_pose, first, first_pose),
    ):
        corners = other.corners @ other_pose[0].T + other_pose[1]
        if solid.depth((corners - pose[1]) @ pose[0]) > limit:
            return np.inf
    moving, resting = first.posed(*first_pose), second.posed(*second_pose)
    contacts = _contacts(moving, resting)
    if not len(contacts):
        return 0.0
    shortest = np.inf
    for direction in _candidates(contacts):
        shortest = _shorten(moving, resting, first_pose[1], direction, min(limit, shortest), shortest)
    return shortest


def _contacts(moving: fcl.CollisionObject, resting: fcl.CollisionObject) -> NDArray[np.float64]:
    """Normals of some touching triangles, shape (num_contacts, 3): none if the surfaces do not touch."""
    result = fcl.CollisionResult()
    fcl.collide(moving, resting, fcl.CollisionRequest(num_max_contacts=_NUM_CONTACTS, enable_contact=True), result)
    return np.array([contact.normal for contact in result.contacts]).reshape(-1, 3)


def _candidates(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions to try, unit vectors, the likeliest first."""
    mean = normals.mean(axis=0)
    length = np.linalg.norm(mean)
    return _DIRECTIONS if length < 1e-6 else np.concatenate([[-mean / length, mean / length], _DIRECTIONS])


def _shorten(
    moving: fcl.CollisionObject,
    resting: fcl.CollisionObject,
    origin: NDArray[np.float64],
    direction: NDArray[np.float64],
    longest: float,
    shortest: float,
) -> float:
    """The shortest shift along the direction that was seen to part the two; `shortest` if not even `longest` does."""

    def touch(shift: float) -> bool:
        moving.setTranslation(origin + shift * direction)
        return bool(fcl.collide(moving, resting, fcl.CollisionRequest(), fcl.CollisionResult()))

    if touch(longest):
        return shortest
    low, high = 0.0, longest
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if touch(middle) else (low, middle)
    return high
