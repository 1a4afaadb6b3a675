"""Procedural materials for Blender: plastic, wood, laminate, cloth, carpet, plaster, prints.

Surfaces are a Diffuse BSDF under a Glossy one, mixed by angle: they look like the Principled BSDF and render faster.
What differs from thing to thing comes from the object's own colour, which costs nothing to change: red, green and blue
tint it and alpha is its roughness; for prints red and green are the print's corner in the atlas, blue turns its hue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.blender.session import bpy
from autosimulate_pipeline.simulators.photoreal.prints import TILES_PER_ROW

Colour = tuple[float, float, float]


class Nodes:
    """A shader being wired: `add` takes for each input a value or another node's output."""

    def __init__(self, owner: bpy.types.Material | bpy.types.World) -> None:
        owner.use_nodes = True
        self.tree = owner.node_tree
        self.tree.nodes.clear()

    def add(self, kind: str, inputs: Mapping[str | int, Any] | None = None, **properties: Any) -> bpy.types.Node:
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in properties.items():
            setattr(node, name, value)
        for key, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[key])
            elif isinstance(value, tuple) and len(value) == 3 and node.inputs[key].type == "RGBA":
                node.inputs[key].default_value = (*value, 1.0)
            else:
                node.inputs[key].default_value = value
        return node

    def coordinates(self, scale: tuple[float, float, float]) -> bpy.types.NodeSocket:
        source = self.add("TexCoord").outputs["Object"]
        return self.add("Mapping", {"Vector": source, "Scale": scale}).outputs[0]

    def ramp(self, value: bpy.types.NodeSocket, low: Colour, high: Colour) -> bpy.types.NodeSocket:
        """`low` where the value is 0, `high` where it is 1."""
        mixed = self.add("Mix", {"Factor": value}, data_type="RGBA")
        mixed.inputs[6].default_value, mixed.inputs[7].default_value = (*low, 1), (*high, 1)
        return mixed.outputs[2]

    def product(self, first: bpy.types.NodeSocket, second: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        mixed = self.add("Mix", {"Factor": 1.0}, data_type="RGBA", blend_type="MULTIPLY")
        self.tree.links.new(first, mixed.inputs[6])
        self.tree.links.new(second, mixed.inputs[7])
        return mixed.outputs[2]

    def bump(self, height: bpy.types.NodeSocket, strength: float, distance: float = 0.001) -> bpy.types.NodeSocket:
        return self.add("Bump", {"Height": height, "Strength": strength, "Distance": distance}).outputs[0]

    def noise(self, scale: tuple[float, float, float], detail: float = 2.0) -> bpy.types.NodeSocket:
        return self.add("TexNoise", {"Vector": self.coordinates(scale), "Scale": 1.0, "Detail": detail}).outputs[0]

    def reflectance(self, bent: Mapping[str | int, Any] | None = None) -> bpy.types.NodeSocket:
        """Schlick's approximation of what a clear coat reflects, the same from both sides of a face.

        The Fresnel node takes the back of a face for the inside of glass, and makes a mirror of it.
        """
        grazing = self.add("LayerWeight", {"Blend": 0.5, **(bent or {})}).outputs["Facing"]
        power = self.add("Math", {0: grazing, 1: 5.0}, operation="POWER").outputs[0]
        return self.add("Math", {0: power, 1: 0.96, 2: 0.04}, operation="MULTIPLY_ADD").outputs[0]

    def surface(self, colour: Any, roughness: Any = 0.4, gloss: float = 1.0, normal: Any = None) -> None:
        """Ends the shader: diffuse `colour` under a clear coat that `gloss` weakens."""
        bent: dict[str | int, Any] = {} if normal is None else {"Normal": normal}
        diffuse = self.add("BsdfDiffuse", {"Color": colour, **bent})
        if not gloss:
            self.end(diffuse.outputs[0])
            return
        coat = self.add("BsdfGlossy", {"Roughness": roughness, **bent})
        weight = self.add("Math", {0: self.reflectance(bent), 1: gloss}, operation="MULTIPLY").outputs[0]
        self.end(self.add("MixShader", {"Fac": weight, 1: diffuse.outputs[0], 2: coat.outputs[0]}).outputs[0])

    def end(self, shader: bpy.types.NodeSocket) -> None:
        self.add("OutputMaterial", {"Surface": shader})


def new_material(name: str) -> tuple[bpy.types.Material, Nodes]:
    material = bpy.data.materials.new(name)
    return material, Nodes(material)


def image_from_array(name: str, picture: NDArray[np.uint8]) -> bpy.types.Image:
    """A Blender image of an sRGB picture, shape (height, width, 3)."""
    height, width = picture.shape[:2]
    image = bpy.data.images.new(name, width, height)
    pixels = np.ones((height, width, 4), dtype=np.float32)
    pixels[..., :3] = picture[::-1] / np.float32(255)
    image.pixels.foreach_set(pixels.ravel())
    image.pack()
    return image


def make_materials(atlas: NDArray[np.uint8], board: NDArray[np.uint8]) -> dict[str, bpy.types.Material]:
    """All materials of the rooms by name; `atlas` and `board` are pictures of `photoreal.prints`."""
    materials = {
        name: make(name)
        for name, make in (
            ("plastic", _plastic), ("metal", _metal), ("wood", _wood), ("laminate", _laminate), ("cloth", _cloth),
            ("carpet", _carpet), ("plaster", _plaster), ("page", _page), ("leaf", _leaf), ("glass", _glass),
            ("cardboard", _cardboard), ("dark", _dark), ("white", _white),
        )
    }  # fmt: skip
    atlas_image = image_from_array("prints", atlas)
    materials["print"] = _printed("print", atlas_image, emission=0.0)
    materials["screen"] = _printed("screen", atlas_image, emission=0.9)
    material, nodes = new_material("board")
    picture = nodes.add("TexImage", image=image_from_array("board", board)).outputs[0]
    nodes.surface(picture, roughness=0.45, gloss=0.6)
    return materials | {"board": material}


def coloured(name: str, attribute: str | None, texture: NDArray[np.uint8] | None = None) -> bpy.types.Material:
    """A CAD model's own surface, moderately rough: colours of its vertices times a texture; white without both."""
    material, nodes = new_material(name)
    colour: Any = (1.0, 1.0, 1.0) if attribute is None else nodes.add("VertexColor", layer_name=attribute).outputs[0]
    if texture is not None:
        picture = nodes.add("TexImage", image=image_from_array(name, texture)).outputs[0]
        colour = picture if attribute is None else nodes.product(picture, colour)
    nodes.surface(colour, roughness=0.38, gloss=0.9)
    return material


def _object_colour(nodes: Nodes) -> tuple[bpy.types.NodeSocket, bpy.types.NodeSocket]:
    info = nodes.add("ObjectInfo")
    return info.outputs["Color"], info.outputs["Alpha"]


def _plastic(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    colour, roughness = _object_colour(nodes)
    nodes.surface(colour, roughness)
    return material


def _dark(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    nodes.surface((0.018, 0.018, 0.02), 0.35)
    return material


def _white(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    nodes.surface((0.72, 0.72, 0.70), 0.35)
    return material


def _metal(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    nodes.end(nodes.add("BsdfGlossy", {"Color": (0.62, 0.62, 0.64), "Roughness": 0.28}).outputs[0])
    return material


def _wood(name: str) -> bpy.types.Material:
    """Light boards with grain along x, tinted by the object's colour."""
    material, nodes = new_material(name)
    fine = nodes.noise((9.0, 260.0, 90.0), detail=2.0)
    planks = nodes.add("TexWave", {"Vector": nodes.coordinates((0.35, 1.0, 1.0)), "Scale": 9.0, "Distortion": 5.0,
                                   "Detail": 3.0, "Detail Scale": 0.6}, bands_direction="Y").outputs["Fac"]  # fmt: skip
    grain = nodes.noise((1.2, 30.0, 20.0), detail=4.0)
    share = nodes.add("Math", {0: planks, 1: 0.25}, operation="MULTIPLY").outputs[0]
    mixture = nodes.add("Math", {0: grain, 1: 0.75, 2: share}, operation="MULTIPLY_ADD")
    colour = nodes.ramp(mixture.outputs[0], (0.30, 0.185, 0.10), (0.52, 0.37, 0.23))
    pores = nodes.ramp(fine, (0.8, 0.8, 0.8), (1.1, 1.1, 1.1))
    tinted = nodes.product(nodes.product(colour, pores), _object_colour(nodes)[0])
    nodes.surface(tinted, 0.38, gloss=0.7, normal=nodes.bump(fine, 0.15))
    return material


def _laminate(name: str) -> bpy.types.Material:
    """Plain office table with faint specks."""
    material, nodes = new_material(name)
    specks = nodes.ramp(nodes.noise((420.0, 420.0, 420.0)), (0.86, 0.86, 0.86), (1.08, 1.08, 1.08))
    stains = nodes.ramp(nodes.noise((5.0, 5.0, 5.0), detail=3.0), (0.9, 0.9, 0.88), (1.05, 1.05, 1.05))
    colour = nodes.product(nodes.product(specks, stains), _object_colour(nodes)[0])
    nodes.surface(colour, 0.3, gloss=0.7)
    return material


def _cloth(name: str) -> bpy.types.Material:
    """Woven, with folds too soft to move what lies on it."""
    material, nodes = new_material(name)
    warp, weft = (
        nodes.add("TexWave", {"Vector": nodes.coordinates((1.0, 1.0, 1.0)), "Scale": 90.0, "Distortion": 0.6},
                  bands_direction=axis).outputs["Fac"]
        for axis in ("X", "Y")
    )  # fmt: skip
    weave = nodes.add("Math", {0: warp, 1: weft}, operation="MAXIMUM").outputs[0]
    folds = nodes.noise((7.0, 7.0, 7.0), detail=2.0)
    fuzz = nodes.ramp(nodes.noise((260.0, 260.0, 260.0)), (0.55, 0.55, 0.55), (1.35, 1.35, 1.35))
    shaded = nodes.product(nodes.ramp(weave, (0.68, 0.68, 0.68), (1.0, 1.0, 1.0)), fuzz)
    coarse = nodes.bump(folds, 0.6, 0.02)
    bent = nodes.add("Bump", {"Height": weave, "Strength": 0.5, "Distance": 0.001, "Normal": coarse}).outputs[0]
    nodes.surface(nodes.product(shaded, _object_colour(nodes)[0]), gloss=0.0, normal=bent)
    return material


def _carpet(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    tufts = nodes.ramp(nodes.noise((180.0, 180.0, 180.0), detail=2.0), (0.35, 0.35, 0.35), (1.5, 1.5, 1.5))
    nodes.surface(nodes.product(tufts, _object_colour(nodes)[0]), gloss=0.0)
    return material


def _plaster(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    stains = nodes.ramp(nodes.noise((1.5, 1.5, 1.5), detail=4.0), (0.88, 0.88, 0.88), (1.06, 1.06, 1.06))
    rough = nodes.bump(nodes.noise((120.0, 120.0, 120.0)), 0.25)
    nodes.surface(nodes.product(stains, _object_colour(nodes)[0]), gloss=0.0, normal=rough)
    return material


def _page(name: str) -> bpy.types.Material:
    """The edge of a stack of paper."""
    material, nodes = new_material(name)
    sheets = nodes.noise((3.0, 3.0, 900.0), detail=1.0)
    nodes.surface(nodes.ramp(sheets, (0.5, 0.47, 0.4), (0.9, 0.88, 0.82)), gloss=0.0)
    return material


def _cardboard(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    fibres = nodes.noise((20.0, 20.0, 240.0), detail=3.0)
    nodes.surface(nodes.ramp(fibres, (0.36, 0.24, 0.13), (0.52, 0.37, 0.22)), gloss=0.0)
    return material


def _leaf(name: str) -> bpy.types.Material:
    material, nodes = new_material(name)
    spots = nodes.ramp(nodes.noise((14.0, 14.0, 14.0)), (0.03, 0.11, 0.02), (0.16, 0.34, 0.06))
    nodes.surface(spots, 0.35)
    return material


def _glass(name: str) -> bpy.types.Material:
    """Thin clear plastic: mostly transparent, glossy at grazing angles; refraction would cost bounces and noise."""
    material, nodes = new_material(name)
    clear = nodes.add("BsdfTransparent", {"Color": (0.86, 0.92, 0.94)}).outputs[0]
    gloss = nodes.add("BsdfGlossy", {"Roughness": 0.05}).outputs[0]
    facing = nodes.reflectance()
    nodes.end(nodes.add("MixShader", {"Fac": facing, 1: clear, 2: gloss}).outputs[0])
    return material


def _printed(name: str, atlas: bpy.types.Image, emission: float) -> bpy.types.Material:
    """The print whose corner in the atlas is the object's red and green, glossy paper or, with `emission`, a screen."""
    material, nodes = new_material(name)
    share = 1 / TILES_PER_ROW
    tile = nodes.add("Mapping", {"Vector": nodes.add("TexCoord").outputs["UV"], "Scale": (share, share, share)})
    colour = nodes.add("ObjectInfo").outputs["Color"]
    corner = nodes.add("VectorMath", {0: tile.outputs[0], 1: colour}, operation="ADD").outputs[0]
    image = nodes.add("TexImage", {"Vector": corner}, image=atlas).outputs[0]
    turn = nodes.add("Math", {0: nodes.add("SeparateColor", {0: colour}).outputs[2], 1: 0.5}, operation="ADD")
    picture = nodes.add("HueSaturation", {"Hue": turn.outputs[0], "Color": image}).outputs[0]
    if emission:
        glow = nodes.add("Emission", {"Color": picture, "Strength": emission}).outputs[0]
        gloss = nodes.add("BsdfGlossy", {"Roughness": 0.2}).outputs[0]
        facing = nodes.reflectance()
        nodes.end(nodes.add("MixShader", {"Fac": facing, 1: glow, 2: gloss}).outputs[0])
        material.cycles.emission_sampling = "NONE"  # too dim to be worth shadow rays
    else:
        nodes.surface(picture, 0.32, gloss=0.8)
    return material
