"""Objects as they lie after they were dropped on a support: by PhysX, and checked against their own meshes.

An arrangement is thrown away, and another dropped, if two bodies are more than `MAX_PENETRATION_MM` in each other
(penetration.py: a bound that can be relied on), if anything reaches further below the support's top, if a body's
middle is beyond its edge, or if something still moved at the time limit.

The world is in metres, z up, the top of the support at z = 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.cad_models.models import CadModel
from autosimulate_pipeline.files.atomic import replacing
from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.simulators.photoreal.physics.bodies import Settled
from autosimulate_pipeline.simulators.photoreal.physics.convex_parts import Parts, convex_parts, parts_key
from autosimulate_pipeline.simulators.photoreal.physics.drops import (
    ArrangementRequest,
    distractor_parts,
    drop,
    object_ids_of,
)
from autosimulate_pipeline.simulators.photoreal.physics.penetration import Solid, convex_solid, penetration_bound
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers

MAX_PENETRATION_MM = 1.0
MAX_ATTEMPTS = 20
"""Drops of one request before giving up."""

_VERSION = 1  # of what is written here and in the physics worker: another number, and nothing cached is used
_SOLIDS: WeakKeyDictionary[CadModel, Solid] = WeakKeyDictionary()
_WORKER = "autosimulate_pipeline.simulators.photoreal.physics.worker:settle"


@dataclass(frozen=True)
class ArrangementChecks:
    """What was measured on an arrangement that passed.

    Attributes:
        penetration_mm: bound of the deepest penetration of two bodies; 0: no two surfaces touch.
        lowest_mm: z of the lowest point of any body.
        num_attempts: drops until this one, itself included.
    """

    penetration_mm: float
    lowest_mm: float
    num_attempts: int


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Where the bodies lie. A pose [R t; 0 1] takes a point x of a model, in metres, to R x + t in the world.

    Attributes:
        object_ids: BOP id of each object.
        object_poses: shape (num_objects, 4, 4).
        distractor_poses: in the order of the request, shape (num_distractors, 4, 4).
    """

    object_ids: tuple[int, ...]
    object_poses: NDArray[np.float64]
    distractor_poses: NDArray[np.float64]
    checks: ArrangementChecks


def arrange(
    models: Sequence[CadModel],
    requests: Sequence[ArrangementRequest],
    parallel: ParallelSettings,
    cache_folder: Path | None = None,
) -> tuple[Arrangement, ...]:
    """One arrangement for each request, in order.

    Args:
        cache_folder: where convex parts and arrangements are kept, by hashes of all they depend on; None: nowhere.

    Raises:
        ValueError: before anything falls, if a request names an object without a model.
        RuntimeError: if `MAX_ATTEMPTS` drops of one request were all rejected; it says what for.
    """
    by_id = {model.object_id: model for model in models}
    wanted = [object_ids_of(request, by_id) for request in requests]
    shapes = {id_: parts_key(model) for id_, model in by_id.items()}
    keys = [_key(request, [(id_, shapes[id_]) for id_ in ids]) for request, ids in zip(requests, wanted, strict=True)]
    found: dict[int, Arrangement] = {}
    for index, key in enumerate(keys):
        cached = None if cache_folder is None else _read(cache_folder / f"{key}.json")
        if cached is not None:
            found[index] = cached
    if len(found) == len(requests):
        return tuple(found[index] for index in range(len(requests)))
    needed = sorted({id_ for index, ids in enumerate(wanted) if index not in found for id_ in ids})
    parts = dict(zip(needed, convex_parts([by_id[id_] for id_ in needed], parallel, cache_folder), strict=True))
    solids = {id_: _solid(by_id[id_], parts[id_]) for id_ in needed}
    complaints: dict[int, list[str]] = {index: [] for index in range(len(requests)) if index not in found}
    for attempt in range(1, MAX_ATTEMPTS + 1):
        waiting = [index for index in complaints if index not in found]
        jobs = [drop(requests[index], wanted[index], parts, attempt) for index in waiting]
        for index, settled in zip(waiting, run_in_workers(_WORKER, jobs, parallel, ignore_progress), strict=True):
            judged = _judge(requests[index], wanted[index], solids, settled, attempt)
            if isinstance(judged, str):
                complaints[index].append(judged)
                continue
            found[index] = judged
            if cache_folder is not None:
                _write(cache_folder / f"{keys[index]}.json", judged)
    if lost := [index for index in complaints if index not in found]:
        reasons = "; ".join(sorted(set(complaints[lost[0]])))
        raise RuntimeError(
            f"{MAX_ATTEMPTS} drops of {len(wanted[lost[0]])} objects with seed {requests[lost[0]].seed} were all "
            f"rejected: {reasons} (try a wider spread_m, a larger support or fewer bodies)"
        )
    return tuple(found[index] for index in range(len(requests)))


def _solid(model: CadModel, parts: Parts) -> Solid:
    """What is checked of the model, kept as long as the model is."""
    if model not in _SOLIDS:
        _SOLIDS[model] = Solid(model.vertices_mm, model.faces, parts)
    return _SOLIDS[model]


def _judge(
    request: ArrangementRequest,
    object_ids: tuple[int, ...],
    solids: Mapping[int, Solid],
    settled: Settled,
    attempt: int,
) -> Arrangement | str:
    """The arrangement, or what is wrong with it."""
    bodies = [solids[id_] for id_ in object_ids]
    bodies += [convex_solid(distractor_parts(distractor)) for distractor in request.distractors]
    poses = list(zip(settled.rotations, settled.translations_m * 1000, strict=True))
    corners = [
        body.corners @ rotation.T + translation for body, (rotation, translation) in zip(bodies, poses, strict=True)
    ]
    middles = np.array([(points.min(axis=0) + points.max(axis=0)) / 2 for points in corners])
    lowest = min(float(points[:, 2].min()) for points in corners)
    if (abs(middles[:, :2]) > np.array(request.support.half_extents_m) * 1000).any() or lowest < -MAX_PENETRATION_MM:
        return "a body fell off the support, hung over its edge or sank into it"
    if not settled.has_settled:
        return "a body still moved at the time limit"
    still = (np.eye(3), np.zeros(3))
    for piece in request.support.pieces:
        bodies.append(convex_solid((1000 * np.array(piece, dtype=np.float64),)))
        poses.append(still)
    deepest = 0.0
    for second in range(len(bodies)):
        for first in range(min(second, len(corners))):
            bound = penetration_bound(bodies[first], poses[first], bodies[second], poses[second], MAX_PENETRATION_MM)
            deepest = max(deepest, bound)
            if deepest > MAX_PENETRATION_MM:
                return f"two bodies may be more than {MAX_PENETRATION_MM} mm in each other"
    matrices = np.tile(np.eye(4), (len(corners), 1, 1))
    matrices[:, :3, :3], matrices[:, :3, 3] = settled.rotations, settled.translations_m
    checks = ArrangementChecks(deepest, lowest, attempt)
    return Arrangement(object_ids, matrices[: len(object_ids)], matrices[len(object_ids) :], checks)


def _key(request: ArrangementRequest, objects: Sequence[tuple[int, str]]) -> str:
    """A hash of all that the arrangement depends on; `objects`: id and hash of its convex parts of each object."""
    return hashlib.sha256(repr((_VERSION, version("sapien"), request, objects)).encode()).hexdigest()[:32]


def _read(path: Path) -> Arrangement | None:
    """The arrangement in a file; None if it is missing or spoilt."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        arrangement = Arrangement(
            tuple(content["object_ids"]),
            np.array(content["object_poses"], dtype=np.float64).reshape(-1, 4, 4),
            np.array(content["distractor_poses"], dtype=np.float64).reshape(-1, 4, 4),
            ArrangementChecks(**content["checks"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return arrangement if len(arrangement.object_ids) == len(arrangement.object_poses) else None


def _write(path: Path, arrangement: Arrangement) -> None:
    content = {
        "object_ids": arrangement.object_ids,
        "object_poses": arrangement.object_poses.tolist(),  # Python writes floats so that they are read back exactly
        "distractor_poses": arrangement.distractor_poses.tolist(),
        "checks": vars(arrangement.checks),
    }
    with replacing(path) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")
