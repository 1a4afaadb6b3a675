"""Renders CLEVR scenes by Blender Cycles inside a worker process; no other module imports this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.blender.session import (
    Matrix,
    Vector,
    bmesh,
    bpy,
    ensure_built,
    linear_from_srgb,
    render_passes,
    set_sampling,
    srgb_from_linear,
)
from autosimulate_pipeline.blender.shapes import link
from autosimulate_pipeline.simulators.clevr.simulator import (
    CAMERA_POSITION,
    CATEGORIES,
    COLOURS_SRGB,
    FOCAL_LENGTH_MM,
    OBJECT_RADIUS,
    SENSOR_WIDTH_MM,
    ClevrScene,
    camera_axes,
)

SKY_STRENGTH = 1.4
GROUND_ALBEDO = 0.3
COAT = 0.04  # what rubber reflects without colouring it
BACK_LAMP_WATTS = 9000.0
LAMPS = {  # position, size in metres, watts, linear colour; the first is the one that `back_light` dims
    "back": ((-6.0, 12.0, 14.0), 5.0, BACK_LAMP_WATTS, (1.0, 1.0, 1.0)),
    "key": ((9.0, -9.0, 12.0), 2.0, 120.0, (1.0, 0.932, 0.817)),
    "fill": ((-9.0, -9.0, 8.0), 2.0, 40.0, (0.762, 0.818, 1.0)),
}


def render(job: tuple[ClevrScene, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The sRGB image, shape (image_size, image_size, 3), and at each pixel centre the object's category or 0."""
    scene, seed = job
    ensure_built(_build)
    stage(scene, seed)
    passes = render_passes()
    image = np.round(255 * srgb_from_linear(passes["Combined"][..., :3])).astype(np.uint8)
    return image, passes["Object Index"][..., 0].astype(np.uint8)


def stage(scene: ClevrScene, seed: int) -> None:
    """Changes the standing Blender scene into this one."""
    world = bpy.context.scene
    world.render.resolution_x = world.render.resolution_y = scene.image_size
    set_sampling(scene.num_samples, scene.num_bounces, seed)
    world.world.node_tree.nodes["Background"].inputs["Strength"].default_value = (
        SKY_STRENGTH * scene.ambient_light / 100
    )
    bpy.data.lights["back"].energy = BACK_LAMP_WATTS * scene.back_light / 100
    for category in CATEGORIES:
        blender_object = bpy.data.objects[category]
        blender_object.location = scene.centre(category)
        colour = linear_from_srgb(COLOURS_SRGB[getattr(scene, f"{category}_colour")])
        # The material reads its colour and, from alpha, whether it is metal: changing a shader costs more than this.
        blender_object.color = (*colour, float(getattr(scene, f"{category}_material") == "metal"))


def _build() -> None:
    """Fills Blender's empty scene with ground, objects, lamps and camera."""
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1, 1, 1, 1)
    scene.world.cycles.sampling_method = "NONE"  # a uniform sky has nothing to sample by importance

    material = _add_material()
    for index, category in enumerate(CATEGORIES, start=1):
        _add_object(category, index, material)
    _add_mesh("ground", lambda mesh: bmesh.ops.create_grid(mesh, x_segments=1, y_segments=1, size=200), _add_ground())

    for name, (position, size, watts, colour) in LAMPS.items():
        lamp = bpy.data.lights.new(name, "AREA")
        lamp.size, lamp.energy, lamp.color = size, watts, colour
        lamp_object = link(name, lamp)
        lamp_object.location = position
        lamp_object.rotation_euler = (-Vector(position)).to_track_quat("-Z", "Y").to_euler()

    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width = FOCAL_LENGTH_MM, SENSOR_WIDTH_MM
    scene.camera = link("camera", camera)
    right, up, forward = camera_axes()
    rotation = Matrix(np.stack([right, up, -forward], axis=1).tolist())
    scene.camera.matrix_world = Matrix.LocRotScale(Vector(CAMERA_POSITION), rotation, None)


def _add_object(category: str, index: int, material: bpy.types.Material) -> None:
    """One of CLEVR's three shapes, smooth where it is round; `index` is what the Object Index pass shows."""
    makers = {
        "cube": lambda mesh: bmesh.ops.create_cube(mesh, size=2 * OBJECT_RADIUS),
        "sphere": lambda mesh: bmesh.ops.create_uvsphere(mesh, u_segments=96, v_segments=48, radius=OBJECT_RADIUS),
        "cylinder": lambda mesh: bmesh.ops.create_cone(
            mesh, cap_ends=True, segments=96, radius1=OBJECT_RADIUS, radius2=OBJECT_RADIUS, depth=2 * OBJECT_RADIUS
        ),
    }
    blender_object = _add_mesh(category, makers[category], material)
    blender_object.pass_index = index
    for polygon in blender_object.data.polygons:
        polygon.use_smooth = category == "sphere" or (category == "cylinder" and len(polygon.vertices) == 4)


def _add_mesh(name: str, make: Callable[[bmesh.types.BMesh], Any], material: bpy.types.Material) -> bpy.types.Object:
    geometry = bmesh.new()
    make(geometry)
    mesh = bpy.data.meshes.new(name)
    geometry.to_mesh(mesh)
    geometry.free()
    mesh.materials.append(material)
    return link(name, mesh)


def _add_material() -> bpy.types.Material:
    """Rubber (diffuse under a rough glossy coat) where the object's alpha is 0, metal (glossy) where it is 1."""
    material = bpy.data.materials.new("rubber or metal")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    new = tree.nodes.new
    info, diffuse, coat, metal = (
        new(f"ShaderNode{kind}") for kind in ("ObjectInfo", "BsdfDiffuse", "BsdfGlossy", "BsdfGlossy")
    )
    rubber, either, output = (new(f"ShaderNode{kind}") for kind in ("MixShader", "MixShader", "OutputMaterial"))
    coat.inputs["Roughness"].default_value, metal.inputs["Roughness"].default_value = 0.35, 0.2
    rubber.inputs["Fac"].default_value = COAT
    for source, target in (
        (info.outputs["Color"], diffuse.inputs["Color"]),
        (info.outputs["Color"], metal.inputs["Color"]),
        (diffuse.outputs[0], rubber.inputs[1]),
        (coat.outputs[0], rubber.inputs[2]),
        (info.outputs["Alpha"], either.inputs["Fac"]),
        (rubber.outputs[0], either.inputs[1]),
        (metal.outputs[0], either.inputs[2]),
        (either.outputs[0], output.inputs["Surface"]),
    ):
        tree.links.new(source, target)
    return material


def _add_ground() -> bpy.types.Material:
    """Plain diffuse grey."""
    material = bpy.data.materials.new("ground")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    diffuse, output = tree.nodes.new("ShaderNodeBsdfDiffuse"), tree.nodes.new("ShaderNodeOutputMaterial")
    diffuse.inputs["Color"].default_value = (GROUND_ALBEDO, GROUND_ALBEDO, GROUND_ALBEDO, 1)
    tree.links.new(diffuse.outputs[0], output.inputs["Surface"])
    return material
