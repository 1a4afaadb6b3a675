"""Lets bodies fall and come to rest by NVIDIA PhysX: the one module that imports sapien.

A worker process may render by bpy before or after. Everything is simulated ten times as large under ten
times the gravity, which takes the same time: at its real size PhysX shrinks hulls by up to 0.7 mm. Each surface also
keeps `REST_OFFSET_MM` away, so that the meshes inside the hulls do not touch.
"""

from __future__ import annotations

import ctypes
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autosimulate_pipeline.simulators.photoreal.physics.bodies import LooseBody, Piece, Settled, SettleJob, box_piece

if (_blender := find_spec("bpy")) is not None and _blender.submodule_search_locations:
    for _library in Path(_blender.submodule_search_locations[0]).glob("lib/libOpenImageDenoise.so.*"):
        ctypes.CDLL(str(_library))  # before sapien's older one of that name, with which bpy could not load any more

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it misses Vulkan, for rendering
    import sapien
    from sapien import physx

SCALE = 10.0
GRAVITY = 9.81
TIME_STEP = 1 / 240
"""Seconds."""
MAX_SECONDS = 8.0
"""Simulated; what moves still has not settled."""
STILL_STEPS = 48
"""Steps in a row (0.2 s) for which all must be still."""
STILL_SPEED, STILL_TURN = 0.003, 0.03
"""Metres and radians per second below which a body is still."""
LOWEST = -0.3
"""Metres; a body whose origin is lower has fallen off."""

STATIC_FRICTION, DYNAMIC_FRICTION = 0.6, 0.5
"""Plastic on plastic or wood."""
RESTITUTION = 0.05
"""They hardly bounce: what counts is where they come to rest."""
DENSITY = 400.0
"""kg/m³ of the hulls: hollow plastic toys. All bodies alike, so only their sizes matter."""
LINEAR_DAMPING, ANGULAR_DAMPING = 0.1, 1.0
"""1/s; instead of the rolling resistance that PhysX lacks, without which round bodies roll off."""
REST_OFFSET_MM = 0.3
CONTACT_OFFSET_MM = 2.0


def settle(job: SettleJob) -> Settled:
    """Where the bodies come to rest: equal for equal jobs, in every process."""
    _configure()
    system = physx.PhysxCpuSystem()
    scene = sapien.Scene([system])
    scene.set_timestep(TIME_STEP)
    material = physx.PhysxMaterial(STATIC_FRICTION, DYNAMIC_FRICTION, RESTITUTION)
    half_x, half_y = job.support.half_extents_m
    slab = box_piece((0.0, 0.0, -0.05), (half_x, half_y, 0.05))
    scene.add_entity(_fixed((slab, *job.support.pieces), material))
    bodies = []
    for body in job.bodies:
        entity, component = _falling(body, material)
        scene.add_entity(entity)
        bodies.append(component)
    still_steps, num_steps, lowest = 0, 0, 0.0
    while still_steps < STILL_STEPS and num_steps < MAX_SECONDS / TIME_STEP and lowest > LOWEST:
        scene.step()
        num_steps += 1
        speed = max(float(np.linalg.norm(body.linear_velocity)) for body in bodies) / SCALE
        turn = max(float(np.linalg.norm(body.angular_velocity)) for body in bodies)
        lowest = min(float(body.entity.pose.p[2]) for body in bodies) / SCALE
        still_steps = still_steps + 1 if speed < STILL_SPEED and turn < STILL_TURN else 0
    poses = [body.entity.pose for body in bodies]
    quaternions = np.array([pose.q for pose in poses], dtype=np.float64)  # w, x, y, z
    return Settled(
        has_settled=still_steps >= STILL_STEPS,
        rotations=Rotation.from_quat(quaternions[:, [1, 2, 3, 0]]).as_matrix(),
        translations_m=np.array([pose.p for pose in poses], dtype=np.float64) / SCALE,
    )


@cache
def _configure() -> None:
    physx.set_scene_config(
        gravity=np.array([0, 0, -GRAVITY * SCALE], dtype=np.float32),
        bounce_threshold=0.2 * SCALE,
        enable_enhanced_determinism=True,
        cpu_workers=0,
    )
    physx.set_shape_config(contact_offset=CONTACT_OFFSET_MM / 1000 * SCALE, rest_offset=REST_OFFSET_MM / 1000 * SCALE)
    physx.set_body_config(solver_position_iterations=20, solver_velocity_iterations=2, sleep_threshold=1e-5 * SCALE**2)


def _fixed(pieces: tuple[Piece, ...], material: physx.PhysxMaterial) -> sapien.Entity:
    component = physx.PhysxRigidStaticComponent()
    for piece in pieces:
        component.attach(_shape(np.array(piece) * SCALE, material))
    entity = sapien.Entity()
    entity.add_component(component)
    return entity


def _falling(body: LooseBody, material: physx.PhysxMaterial) -> tuple[sapien.Entity, physx.PhysxRigidDynamicComponent]:
    component = physx.PhysxRigidDynamicComponent()
    for points in body.parts_mm:
        component.attach(_shape(points * (SCALE / 1000), material))
    component.linear_damping, component.angular_damping = LINEAR_DAMPING, ANGULAR_DAMPING
    component.max_depenetration_velocity = 0.5 * SCALE
    entity = sapien.Entity()
    entity.add_component(component)
    x, y, z, w = Rotation.from_matrix(body.rotation).as_quat()
    entity.pose = sapien.Pose(p=body.translation_m * SCALE, q=[w, x, y, z])
    return entity, component


def _shape(points: NDArray[np.float64], material: physx.PhysxMaterial) -> physx.PhysxCollisionShapeConvexMesh:
    shape = physx.PhysxCollisionShapeConvexMesh(points.astype(np.float32), np.ones(3, dtype=np.float32), material)
    shape.density = DENSITY
    return shape
