"""What is dropped where: random places and turns of bodies above a support, none of them in another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.simulators.photoreal.physics.bodies import DistractorShape, LooseBody, SettleJob, Support
from autosimulate_pipeline.simulators.photoreal.physics.convex_parts import Parts

_FREE_PLACE_DRAWS = 12  # of a place where a body hits nothing; then it is dropped on what is there
_DROP_HEIGHT_M = 0.005
_TILT_DEGREES = 2.0  # standard deviation about either axis of a body let go upright


@dataclass(frozen=True)
class ArrangementRequest:
    """What to drop where.

    Attributes:
        seed: equal requests give equal arrangements.
        objects: BOP ids of the objects, one twice for two of it; or how many, drawn from the models without
            repetition while there are enough.
        spread_m: standard deviation, along x and along y, of where bodies are dropped; cut off at the support's edges.
        support: what they fall on.
        distractors: other bodies that fall with them.
        upright_fraction: probability that an object is let go with its model's z axis up (on its foot), turned about
            it at random; the others are turned at random every way.
    """

    seed: int
    objects: tuple[int, ...] | int
    spread_m: float
    support: Support
    distractors: tuple[DistractorShape, ...] = ()
    upright_fraction: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.spread_m < np.inf:
            raise ValueError(f"spread_m must be above 0, got {self.spread_m}")
        if not 0 <= self.upright_fraction <= 1:
            raise ValueError(f"upright_fraction must be 0 to 1, got {self.upright_fraction}")
        if (self.objects < 1) if isinstance(self.objects, int) else (not self.objects):
            raise ValueError(f"objects must be at least one, got {self.objects}")


def object_ids_of(request: ArrangementRequest, by_id: Collection[int]) -> tuple[int, ...]:
    """The ids of the objects that are dropped.

    Raises:
        ValueError: if the request names one that is not among the models' ids.
    """
    if not isinstance(request.objects, int):
        if missing := sorted(set(request.objects) - set(by_id)):
            raise ValueError(f"objects must be among the models' ids {sorted(by_id)}, got {missing}")
        return request.objects
    generator = np.random.default_rng(derive_seed(request.seed, "objects"))
    drawn: list[int] = []
    while len(drawn) < request.objects:
        drawn += generator.permutation(sorted(by_id)).tolist()
    return tuple(drawn[: request.objects])


def distractor_parts(distractor: DistractorShape) -> Parts:
    """Of each part its points, mm, shape (num_points, 3)."""
    return tuple(np.array(part, dtype=np.float64) for part in distractor.parts_mm)


def drop(
    request: ArrangementRequest, object_ids: tuple[int, ...], parts: Mapping[int, Parts], attempt: int
) -> SettleJob:
    """The bodies, turned and placed at random, none in another: in a free place, or above what is there."""
    generator = np.random.default_rng(derive_seed(request.seed, "drop", attempt))
    bodies: list[LooseBody | None] = [None] * (len(object_ids) + len(request.distractors))
    of_body = [parts[id_] for id_ in object_ids] + [distractor_parts(distractor) for distractor in request.distractors]
    placed: list[tuple[NDArray[np.float64], float, float]] = []  # x and y, radius, top
    for index in generator.permutation(len(bodies)):
        rotation = _rotation(generator, is_upright=generator.random() < request.upright_fraction)
        points = np.concatenate(of_body[index]) @ rotation.T / 1000
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        radius = float(np.linalg.norm(points[:, :2] - middle[:2], axis=1).max())
        place, floor = _place(request, placed, radius, generator)
        bottom, top = points[:, 2].min(), points[:, 2].max()
        height = floor + _DROP_HEIGHT_M
        placed.append((place, radius, height + top - bottom))
        translation = np.array([*(place - middle[:2]), height - bottom])
        bodies[index] = LooseBody(of_body[index], rotation, translation)
    return SettleJob(tuple(body for body in bodies if body is not None), request.support)


def _rotation(generator: np.random.Generator, is_upright: bool) -> NDArray[np.float64]:
    quaternion = generator.normal(size=4)
    yaw, *tilts = generator.uniform(0, 360), *generator.normal(scale=_TILT_DEGREES, size=2)
    turn = Rotation.from_euler("zxy", [yaw, *tilts], degrees=True) if is_upright else Rotation.from_quat(quaternion)
    return np.asarray(turn.as_matrix())


def _place(
    request: ArrangementRequest,
    placed: Sequence[tuple[NDArray[np.float64], float, float]],
    radius: float,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """Where a body of that radius goes, x and y, and the height of what lies there already."""
    room = np.maximum(np.array(request.support.half_extents_m) - radius, 0)
    floor = 0.0
    for _ in range(_FREE_PLACE_DRAWS):
        place = generator.normal(scale=request.spread_m, size=2)
        for _ in range(100):
            if (abs(place) <= room).all():
                break
            place = generator.normal(scale=request.spread_m, size=2)
        place = np.clip(place, -room, room)
        below = [top for other, reach, top in placed if np.linalg.norm(other - place) < reach + radius]
        floor = max(below, default=0.0)
        if not below:
            break
    return place, floor
