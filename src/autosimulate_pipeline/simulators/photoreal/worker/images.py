"""Renders photorealistic scenes by Blender Cycles inside a worker process; no other module imports this one."""

from __future__ import annotations

import logging
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.blender.session import (
    Matrix,
    Vector,
    bpy,
    ensure_built,
    render_passes,
    set_sampling,
    srgb_from_linear,
)
from autosimulate_pipeline.blender.shapes import link
from autosimulate_pipeline.cad_models import mesh_files
from autosimulate_pipeline.cad_models.model_files import read_folder
from autosimulate_pipeline.cad_models.models import CadModel
from autosimulate_pipeline.records import AnnotatedImage, Geometry
from autosimulate_pipeline.simulators.photoreal.camera import CameraPose, camera_matrix, project, sample_pose
from autosimulate_pipeline.simulators.photoreal.job import ModelSource, RenderJob
from autosimulate_pipeline.simulators.photoreal.silhouettes import full_extent
from autosimulate_pipeline.simulators.photoreal.worker.clutter import plain, print_corner
from autosimulate_pipeline.simulators.photoreal.worker.furniture import show
from autosimulate_pipeline.simulators.photoreal.worker.materials import coloured
from autosimulate_pipeline.simulators.photoreal.worker.rooms import Room

MAX_CAMERAS = 24
"""Camera poses tried for an image; the one that shows most is taken if none shows enough."""

ENOUGH_SHOWN = 0.75
"""Share of the objects' test points that a camera has to show to be taken at once."""

LEAST_CLEARANCE = 0.35
"""Nothing may be nearer to the camera than this, in metres, along nine lines of sight."""

TEST_POINTS_PER_OBJECT = 6
SENSOR_WIDTH_MM = 36.0
COLOURS = "displayColor"  # as USD calls it
IS_BODY = "is_body"  # marks the Blender objects that fell on the support
_standing: list[Room] = []


def render(job: RenderJob) -> AnnotatedImage:
    """The image of a job with those of its objects as instances that show at least one pixel."""
    models = {model.object_id: model for model in _read(job.source)}
    pose = stage(job, models)
    passes = render_passes()
    image = develop(passes["Combined"][..., :3], job.scene.exposure)
    indices = passes["Object Index"][..., 0].astype(np.int64)
    depth = passes["Depth"][..., 0] * 1000
    depth[depth > 1e6] = 0
    return annotate(job, models, pose, image, indices, depth)


def export_usd(task: tuple[RenderJob, str]) -> None:
    """Writes what `render` would show of the job to a USD file: shapes, lights, camera, prints beside it."""
    job, path = task
    stage(job, {model.object_id: model for model in _read(job.source)})
    bpy.ops.wm.usd_export(
        filepath=path,
        evaluation_mode="RENDER",
        export_textures_mode="NEW",
        convert_world_material=False,
        root_prim_path="/room",
    )


def annotate(
    job: RenderJob,
    models: dict[int, CadModel],
    pose: CameraPose,
    image: NDArray[np.uint8],
    indices: NDArray[np.int64],
    depth_mm: NDArray[np.float32],
) -> AnnotatedImage:
    """`image` with masks, boxes and poses; `indices`: at each pixel the number in the job of a model, from 1, or 0."""
    matrix = camera_matrix(job.image_size[0])
    categories = {object_id: number for number, (object_id, _) in enumerate(job.source.names, start=1)}
    instance_mask = np.zeros(indices.shape, dtype=np.uint8)
    instances, fractions, boxes, masks, rotations, translations = [], [], [], [], [], []
    for number, placed in enumerate(job.models, start=1):
        visible = indices == number
        if not visible.any():
            continue
        model = models[placed.object_id]
        rotation = pose.rotation @ placed.pose[:3, :3]
        translation_mm = 1000 * (pose.rotation @ placed.pose[:3, 3] + pose.translation)
        mask, box, num_pixels = full_extent(model, rotation, translation_mm, matrix, visible)
        instances.append(categories[placed.object_id])
        instance_mask[visible] = len(instances)
        fractions.append(float(visible.sum()) / num_pixels)
        boxes.append(box)
        masks.append(mask)
        rotations.append(rotation)
        translations.append(translation_mm)
    height, width = indices.shape
    geometry = Geometry(
        camera_matrix=matrix,
        rotations=np.array(rotations).reshape(-1, 3, 3),
        translations_mm=np.array(translations).reshape(-1, 3),
        depth_mm=depth_mm.astype(np.float32),
        full_masks=np.array(masks, dtype=bool).reshape(-1, height, width),
    )
    return AnnotatedImage(
        image, instance_mask, tuple(instances), np.array(boxes).reshape(-1, 4), tuple(fractions), geometry
    )


def develop(radiance: NDArray[np.floating[Any]], exposure: float) -> NDArray[np.uint8]:
    """sRGB bytes as a camera makes them of radiance: strong contrast, soft shoulder where light is too strong.

    The curve is Narkowicz's fit of the ACES film response, x (2.51 x + 0.03) / (x (2.43 x + 0.59) + 0.14) (2016).
    """
    light = np.maximum(radiance, 0) * 0.28 * 2.0**exposure
    toned = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    return np.round(255 * srgb_from_linear(toned)).astype(np.uint8)


def stage(job: RenderJob, models: dict[int, CadModel]) -> CameraPose:
    """Changes the standing rooms into this job's scene; the camera that was found for it."""
    ensure_built(_build)
    room, scene = _standing[0], job.scene
    world = bpy.context.scene
    world.render.resolution_x, world.render.resolution_y = job.image_size
    set_sampling(scene.num_samples, scene.num_bounces, job.seed % 2**31)
    circles = _place(job, models)
    generators = [np.random.default_rng((job.seed, purpose)) for purpose in range(3)]
    room.furnish(scene, circles, generators[0])
    room.light(scene, generators[1])
    bpy.context.view_layer.update()
    pose = _find_camera(job, models, generators[2])
    flip = np.diag([1.0, -1.0, -1.0])  # Blender's camera looks along −z with y up
    rotation = Matrix((pose.rotation.T @ flip).tolist())
    world.camera.matrix_world = Matrix.LocRotScale(Vector(pose.position), rotation, None)
    _set_intrinsics(camera_matrix(job.image_size[0]), *job.image_size)
    return pose


def _build() -> None:
    """Rooms and camera, in the empty scene."""
    _standing[:] = [Room()]
    _import_model.cache_clear()
    _materials.cache_clear()
    view_layer = bpy.context.view_layer
    view_layer.use_pass_z = True
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit, camera.sensor_width, camera.clip_start = "HORIZONTAL", SENSOR_WIDTH_MM, 0.02
    bpy.context.scene.camera = link("camera", camera)


@lru_cache(maxsize=8)
def _read(source: ModelSource) -> tuple[CadModel, ...]:
    """The CAD models, read again only when they are others."""
    mesh_files.logger.setLevel(logging.ERROR)  # what they lack the process that sent the job has said
    models = read_folder(source.folder, dict(source.names), source.files)
    if tuple(model.digest() for model in models) != source.digests:
        raise ValueError(f"the models in {source.folder} changed while images were being rendered")
    return models


@lru_cache(maxsize=256)
def _import_model(model: CadModel, copy: int) -> bpy.types.Object:
    """The Blender object of a model, smooth by its normals; `copy` numbers objects of one model in one image."""
    mesh = bpy.data.meshes.new(model.name)
    mesh.from_pydata((model.vertices_mm / 1000).tolist(), [], model.faces.tolist())
    # Normals by vertex: those that Blender would make of them by corner take a quarter of a second a render to unpack.
    normals = mesh.attributes.new("custom_normal", "FLOAT_VECTOR", "POINT")
    normals.data.foreach_set("vector", model.vertex_normals.astype(np.float32).ravel())
    if model.vertex_colours is not None:
        attribute = mesh.color_attributes.new(COLOURS, "BYTE_COLOR", "POINT")
        colours = np.concatenate([model.vertex_colours, np.full((len(model.vertex_colours), 1), 255)], axis=1) / 255
        attribute.data.foreach_set("color_srgb", colours.astype(np.float32).ravel())
    for material in _materials(model):
        mesh.materials.append(material)
    if model.uv is not None and model.textures is not None:
        corner_uv = model.uv[model.faces.ravel()].astype(np.float32)
        mesh.uv_layers.new(name="uv").uv.foreach_set("vector", corner_uv.ravel())
        _, slots = np.unique(model.textures.of_faces, return_inverse=True)
        mesh.polygons.foreach_set("material_index", slots.astype(np.int32))
    return link("unnamed", mesh)


@lru_cache(maxsize=256)
def _materials(model: CadModel) -> list[bpy.types.Material]:
    """One for each picture that faces have, in their order; that of faces without comes first."""
    attribute = None if model.vertex_colours is None else COLOURS
    if model.textures is None:
        name = "CAD model" if attribute else "white CAD model"
        return [bpy.data.materials.get(name) or coloured(name, attribute)]
    pictures = [None, *model.textures.pictures]
    return [coloured(model.name, attribute, pictures[1 + number]) for number in np.unique(model.textures.of_faces)]


def _place(job: RenderJob, models: dict[int, CadModel]) -> list[tuple[float, float, float]]:
    """Puts objects and distractors in place; the circles around them as seen from above."""
    for blender_object in bpy.data.objects:
        if blender_object.get(IS_BODY):
            blender_object.pass_index = 0
            show(blender_object, False)
    copies: dict[int, int] = {}
    circles = []
    for number, placed in enumerate(job.models, start=1):
        copies[placed.object_id] = copies.get(placed.object_id, -1) + 1
        model, copy = models[placed.object_id], copies[placed.object_id]
        blender_object = _import_model(model, copy)
        _name(blender_object, f"{model.name} {copy}")
        blender_object.pass_index = number
        circles.append(_put(blender_object, placed.pose, model.vertices_mm / 1000))
    generator = np.random.default_rng((job.seed, 3))
    for placed_distractor in job.distractors:
        shape = placed_distractor.shape
        blender_object = _standing[0].distractors[shape.name]
        blender_object.color = print_corner("label", generator) if shape.kind == "package" else plain(generator)
        corners = np.array(list(product(*((-length / 2, length / 2) for length in shape.size_m))))
        circles.append(_put(blender_object, placed_distractor.pose, corners))
    return circles


def _name(blender_object: bpy.types.Object, name: str) -> None:
    """Gives the object the name, which it takes from a model of another folder that this worker rendered before."""
    holder = bpy.data.objects.get(name)
    if holder is not None and holder != blender_object:
        holder.name = "unnamed"
    blender_object.name = name


def _put(
    blender_object: bpy.types.Object, pose: NDArray[np.float64], vertices: NDArray[np.float64]
) -> tuple[float, float, float]:
    blender_object.matrix_world = Matrix(pose.tolist())
    blender_object[IS_BODY] = True
    show(blender_object, True)
    points = vertices @ pose[:2, :3].T + pose[:2, 3]
    x, y = (points.min(axis=0) + points.max(axis=0)) / 2
    return float(x), float(y), float(np.linalg.norm(points - [x, y], axis=1).max())


def _set_intrinsics(matrix: NDArray[np.float64], width: int, height: int) -> None:
    """Lens and shift by which Blender's camera has this K; its image plane is measured in image widths."""
    camera, render_settings = bpy.context.scene.camera.data, bpy.context.scene.render
    (fx, _, cx), (_, fy, cy), _ = matrix
    camera.lens = fx * SENSOR_WIDTH_MM / width
    render_settings.pixel_aspect_x, render_settings.pixel_aspect_y = max(1.0, fy / fx), max(1.0, fx / fy)
    camera.shift_x = (width / 2 - (cx + 0.5)) / width
    camera.shift_y = ((cy + 0.5) - height / 2) / width * (fx / fy)


def _find_camera(job: RenderJob, models: dict[int, CadModel], generator: np.random.Generator) -> CameraPose:
    """The first camera with a clear view of enough of the objects, or the best of those tried."""
    points = []
    for placed in job.models:
        vertices = models[placed.object_id].vertices_mm / 1000
        chosen = vertices[np.linspace(0, len(vertices) - 1, TEST_POINTS_PER_OBJECT).astype(int)]
        points.append(chosen @ placed.pose[:3, :3].T + placed.pose[:3, 3])
    test_points = np.concatenate(points)
    low, high = test_points.min(axis=0), test_points.max(axis=0)
    best: tuple[float, CameraPose] | None = None
    for _ in range(MAX_CAMERAS):
        pose = sample_pose(
            job.scene.camera_distance, job.scene.camera_elevation, job.scene.camera_roll, (low + high) / 2, generator
        )
        score = _share_shown(pose, test_points, job.image_size)
        if best is None or score > best[0]:
            best = score, pose
        if score >= ENOUGH_SHOWN:
            break
    assert best is not None
    return best[1]


def _share_shown(pose: CameraPose, test_points: NDArray[np.float64], image_size: tuple[int, int]) -> float:
    """Share of the points in the image which no furniture hides; −1 where something stands before the lens.

    A point that another part of an object hides counts as shown: objects may hide one another.
    """
    width, height = image_size
    matrix = camera_matrix(width)
    columns, rows = np.meshgrid([0.05 * width, width / 2, 0.95 * width], [0.05 * height, height / 2, 0.95 * height])
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(9)], axis=-1)
    for direction in pixels @ np.linalg.inv(matrix).T @ pose.rotation:
        if _first_hit(pose.position, direction, LEAST_CLEARANCE)[0]:
            return -1.0
    in_camera = test_points @ pose.rotation.T + pose.translation
    uv = project(in_camera, matrix)
    inside = ((uv > 0) & (uv < [width, height])).all(axis=-1) & (in_camera[:, 2] > 0.05)
    num_shown = 0
    for point in test_points[inside]:
        direction = point - pose.position
        is_hit, is_body = _first_hit(pose.position, direction, float(np.linalg.norm(direction)) - 0.003)
        num_shown += not is_hit or is_body
    return num_shown / len(test_points)


def _first_hit(origin: NDArray[np.float64], direction: NDArray[np.float64], distance: float) -> tuple[bool, bool]:
    """Whether something is met within `distance`, and whether it is one of the bodies."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    is_hit, _, _, _, blender_object, _ = bpy.context.scene.ray_cast(
        depsgraph, Vector(origin), Vector(direction).normalized(), distance=distance
    )
    return is_hit, bool(is_hit and blender_object.get(IS_BODY))
