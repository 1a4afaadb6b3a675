"""The rooms of the photorealistic scenes, furnished and lit. Built once, changed by properties.

World units are metres; the support that the objects lie on is z = 0, its open side looks towards −y.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, radians, sin
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.blender.session import Vector, bpy, srgb_from_linear
from autosimulate_pipeline.blender.shapes import Shape, link
from autosimulate_pipeline.simulators.photoreal.distractors import DISTRACTORS
from autosimulate_pipeline.simulators.photoreal.prints import marker_board, print_atlas
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealScene
from autosimulate_pipeline.simulators.photoreal.worker.clutter import (
    Circle,
    Prop,
    make_book_row,
    make_crate,
    make_keyboard,
    make_laptop,
    make_pillow,
    make_screen,
    make_small_props,
    print_corner,
)
from autosimulate_pipeline.simulators.photoreal.worker.furniture import (
    COVER_DEPTH,
    PLACES,
    Place,
    make_covers,
    make_desk,
    make_distractor,
    make_shelf,
    make_sofa,
    make_walls,
    show,
)
from autosimulate_pipeline.simulators.photoreal.worker.materials import Nodes, make_materials

SHEET_DEPTHS = np.linspace(0.0009, 0.0002, 8)
"""What lies flat under the objects is lower than z = 0 by this, less than can be seen: physics knows one plane only."""

WINDOW_WATTS = 160.0
SUN_STRENGTH = 6.0
LAMP_WATTS = 140.0
ENVIRONMENT_STRENGTH = 1.6
WHITE_KELVIN = 5500.0

WOODS = ((1.0, 1.0, 1.0), (1.15, 1.15, 1.2), (0.5, 0.4, 0.36), (0.95, 0.75, 0.6))
LAMINATES = ((0.52, 0.51, 0.48), (0.50, 0.43, 0.32), (0.24, 0.25, 0.26), (0.62, 0.62, 0.62), (0.07, 0.07, 0.08))
CLOTHS = ((0.30, 0.28, 0.25), (0.08, 0.10, 0.16), (0.42, 0.34, 0.24), (0.20, 0.05, 0.05), (0.10, 0.16, 0.12))
CARPETS = ((0.035, 0.05, 0.10), (0.10, 0.10, 0.11), (0.20, 0.15, 0.10))
PLASTERS = ((0.52, 0.51, 0.48), (0.42, 0.38, 0.31), (0.33, 0.38, 0.42), (0.60, 0.60, 0.60))


def put(blender_object: bpy.types.Object, x: float, y: float, z: float = 0.0, turn: float = 0.0) -> None:
    blender_object.location, blender_object.rotation_euler = (x, y, z), (0, 0, turn)
    show(blender_object, True)


def kelvin_colour(kelvin: float) -> tuple[float, float, float]:
    """Linear RGB of a black body's light for a camera whose white is 5500 K, its greatest channel 1.

    Planck's law at 610, 540 and 460 nm stands for the three channels.
    """
    wavelengths = np.array([610e-9, 540e-9, 460e-9])
    second_radiation_constant = 1.438777e-2
    relative = np.expm1(second_radiation_constant / (wavelengths * WHITE_KELVIN)) / np.expm1(
        second_radiation_constant / (wavelengths * kelvin)
    )
    red, green, blue = relative / relative.max()
    return float(red), float(green), float(blue)


class Room:
    """All furniture, things and lights of the rooms, standing in Blender's scene."""

    def __init__(self) -> None:
        folder = Path(bpy.utils.resource_path("LOCAL")) / "datafiles" / "studiolights" / "world"
        radiance = {path.stem: _radiance(path) for path in sorted(folder.glob("*.exr"))}
        photographs = [np.round(255 * srgb_from_linear(values)).astype(np.uint8) for values in radiance.values()]
        self.materials = make_materials(print_atlas(photographs), marker_board(photographs))
        self.environments = {name: _without_suns(name, values) for name, values in radiance.items()}
        self._add_lights()
        self.walls = make_walls(self.materials)
        self.furniture = {
            "desk": make_desk(self.materials),
            "shelf": make_shelf(self.materials),
            "sofa": make_sofa(self.materials),
        }
        self.covers = make_covers(self.materials)
        sheet = [(-0.105, -0.14, 0.0), (0.105, -0.14, 0.0), (0.105, 0.14, 0.0), (-0.105, 0.14, 0.0)]
        self.sheets = [
            Shape().sheet(sheet).build(f"sheet{number}", self.materials["print"]) for number in range(len(SHEET_DEPTHS))
        ]
        self.small_props = make_small_props(self.materials)
        generator = np.random.default_rng(0)
        self.screens = [make_screen(f"screen{number}", self.materials) for number in range(2)]
        self.laptop, self.keyboard = make_laptop("laptop", self.materials), make_keyboard("keyboard", self.materials)
        self.book_rows = [make_book_row(f"books{n}", self.materials, 0.6, generator) for n in range(2)]
        self.crates = [make_crate(f"crate{number}", self.materials) for number in range(3)]
        self.distractors = {shape.name: make_distractor(shape, self.materials) for shape in DISTRACTORS}
        self.pillows = [make_pillow(f"pillow{number}", self.materials) for number in range(3)]

    @property
    def props(self) -> list[Prop]:
        large = [*self.screens, self.laptop, self.keyboard, *self.book_rows, *self.crates, *self.pillows]
        return [*self.small_props, *large]

    def furnish(self, scene: PhotorealScene, taken: Sequence[Circle], generator: np.random.Generator) -> None:
        """Puts furniture, cover, background and clutter in place, clear of the circles that the objects have taken."""
        place = PLACES[scene.scene]
        for name, parts in self.furniture.items():
            for part in parts:
                show(part, name == scene.scene)
        for thing in (*self.covers.values(), *self.sheets, *(prop.model for prop in self.props)):
            show(thing, False)
        self.walls.floor.location.z, self.walls.behind.location.y = place.floor, place.wall
        self.walls.floor.color, self.walls.behind.color = _tint(CARPETS, generator), _tint(PLASTERS, generator)
        for wall in self.walls.sides:
            wall.color = self.walls.behind.color
        self.walls.poster.location = (generator.uniform(-1.0, 1.0), place.wall - 0.003, generator.uniform(0.45, 0.7))
        self.walls.poster.color = print_corner("photo", generator)
        self._cover(scene, place, generator)
        circles = list(taken)
        self._put_background(scene, place, circles, generator)
        self._scatter(scene, place, circles, generator)

    def light(self, scene: PhotorealScene, generator: np.random.Generator) -> None:
        """Sets sun, window, lamps and panorama."""
        azimuth, elevation = generator.uniform(-0.5, 0.35), generator.uniform(0.3, 0.55)
        towards = Vector((-cos(elevation) * cos(azimuth), cos(elevation) * sin(azimuth), sin(elevation)))
        self.sun.rotation_euler = towards.to_track_quat("Z", "Y").to_euler()
        self.sun.data.energy = SUN_STRENGTH * scene.window_light / 100
        self.window.data.energy = WINDOW_WATTS * scene.window_light / 100
        self.lamp.data.energy = LAMP_WATTS * scene.lamp_light / 100
        self.lamp.data.color = kelvin_colour(scene.colour_temperature)
        self.panorama.image = self.environments[scene.environment]
        self.panorama_turn.inputs["Rotation"].default_value = (0, 0, generator.uniform(0, 2 * pi))
        strength = ENVIRONMENT_STRENGTH * scene.environment_light / 100
        self.world_background.inputs["Strength"].default_value = strength

    def _cover(self, scene: PhotorealScene, place: Place, generator: np.random.Generator) -> None:
        base = scene.surface
        if base in ("board", "magazines"):
            base = "cloth" if scene.scene == "sofa" else ("wood", "laminate")[generator.integers(2)]
        tints = {"wood": WOODS, "laminate": LAMINATES, "cloth": CLOTHS}[base]
        cover = self.covers[scene.scene, base]
        cover.color = _tint(tints, generator)
        show(cover, True)
        body, *others = self.furniture[scene.scene]
        body.color = cover.color if scene.scene == "sofa" and base == "cloth" else _tint(CLOTHS, generator)
        for other in others:
            other.color = body.color
        if scene.surface == "board":
            board = self.covers["board", "board"]
            width = max(0.5, 3 * scene.object_spread + 0.15)
            board.scale = (width, width, 1)
            x, y = generator.uniform(-0.03, 0.03, 2)
            put(board, x, y, turn=generator.integers(4) * pi / 2 + generator.normal(0, 0.1))
        elif scene.surface == "magazines":
            for depth, sheet in zip(SHEET_DEPTHS, self.sheets, strict=True):
                sheet.color = print_corner(str(generator.choice(["cover", "cover", "page", "text"])), generator)
                x, y = generator.normal(0, scene.object_spread + 0.05, 2)
                put(sheet, x, y, -depth, generator.uniform(-0.9, 0.9))

    def _put_background(
        self, scene: PhotorealScene, place: Place, circles: list[Circle], generator: np.random.Generator
    ) -> None:
        candidates: list[tuple[Prop, float, float, float]] = []  # prop, x, y, turn
        back, side = place.back, place.half_width
        if scene.background == "screens":
            if scene.scene != "sofa":
                for screen, x in zip(self.screens, (-0.32, 0.34), strict=True):
                    x += generator.uniform(-0.1, 0.1)
                    candidates.append((screen, x, back - 0.1, -x * generator.uniform(0.4, 0.9)))
                candidates.append((self.keyboard, generator.uniform(-0.5, 0.5), back - 0.3, generator.normal(0, 0.3)))
            x = generator.choice([-1, 1]) * (side - 0.22)
            candidates.append(
                (self.laptop, x, generator.uniform(-0.15, 0.2), -np.sign(x) * generator.uniform(0.6, 1.2))
            )
        elif scene.background == "books":
            for row, x in zip(self.book_rows, (-0.36, 0.36), strict=True):
                candidates.append((row, x + generator.uniform(-0.1, 0.1), back - 0.22, generator.normal(0, 0.05)))
        elif scene.background == "boxes":
            for crate, x in zip(self.crates, (-0.55, 0.0, 0.55), strict=True):
                candidates.append((crate, x + generator.uniform(-0.1, 0.1), back - 0.17, generator.normal(0, 0.15)))
        if scene.scene == "sofa":
            for pillow in self.pillows:
                x = generator.uniform(-side + 0.2, side - 0.2)
                candidates.append((pillow, x, back - 0.12, generator.normal(0, 0.2)))
        for prop, x, y, turn in candidates:
            needed = prop.needed_at(x, y, turn)
            if all(_is_free(circle, circles) for circle in needed):
                prop.dress(generator)
                put(prop.model, x, y, -COVER_DEPTH, turn)
                circles.extend(needed)

    def _scatter(
        self, scene: PhotorealScene, place: Place, circles: list[Circle], generator: np.random.Generator
    ) -> None:
        """Puts small things wherever there is room, sooner near the objects than far away."""
        count = {"none": 0, "sparse": 6, "dense": 30}[scene.clutter]
        for index in generator.permutation(len(self.small_props))[:count]:
            prop = self.small_props[index]
            for _ in range(12):
                distance, angle = scene.object_spread + generator.uniform(0.05, 0.6), generator.uniform(0, 2 * pi)
                x, y = 1.25 * distance * cos(angle), distance * sin(angle)
                inside = abs(x) + prop.radius < place.half_width and (
                    place.front < y - prop.radius and y + prop.radius < place.back
                )
                if inside and _is_free((x, y, prop.radius), circles):
                    prop.dress(generator)
                    put(prop.model, x, y, -COVER_DEPTH, generator.uniform(-pi, pi) * prop.turns)
                    circles.append((x, y, prop.radius))
                    break

    def _add_lights(self) -> None:
        def lamp(name: str, kind: str, position: Sequence[float], towards: Sequence[float]) -> bpy.types.Object:
            blender_object = link(name, bpy.data.lights.new(name, kind))
            blender_object.location = position
            direction = Vector(towards) - Vector(position)
            blender_object.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()
            return blender_object

        self.sun = lamp("sun", "SUN", (0, 0, 0), (1, 0, 0))
        self.sun.data.angle, self.sun.data.color = radians(0.6), (1.0, 0.93, 0.82)
        self.window = lamp("window", "AREA", (-2.28, 0.0, 0.85), (0, 0, 0.4))
        self.window.data.shape, self.window.data.size, self.window.data.size_y = "RECTANGLE", 1.5, 1.4
        self.window.data.color = (0.86, 0.94, 1.0)
        self.lamp = lamp("lamp", "AREA", (0.5, -0.5, 1.85), (0.5, -0.4, 0))
        self.lamp.data.shape, self.lamp.data.size, self.lamp.data.size_y = "RECTANGLE", 1.5, 0.5
        world = bpy.data.worlds.new("panorama")
        bpy.context.scene.world = world
        world.cycles.sampling_method = "NONE"  # without its suns a panorama is smooth: no shadow rays
        nodes = Nodes(world)
        self.panorama_turn = nodes.add("Mapping", {"Vector": nodes.add("TexCoord").outputs["Generated"]})
        self.panorama = nodes.add("TexEnvironment", {"Vector": self.panorama_turn.outputs[0]})
        self.world_background = nodes.add("Background", {"Color": self.panorama.outputs[0]})
        nodes.add("OutputWorld", {"Surface": self.world_background.outputs[0]})


def _is_free(circle: Circle, circles: Sequence[Circle]) -> bool:
    x, y, radius = circle
    return all((x - a) ** 2 + (y - b) ** 2 > (radius + other) ** 2 for a, b, other in circles)


def _tint(
    tints: Sequence[tuple[float, float, float]], generator: np.random.Generator
) -> tuple[float, float, float, float]:
    red, green, blue = np.array(tints[generator.integers(len(tints))]) * generator.uniform(0.85, 1.1)
    return float(red), float(green), float(blue), 0.4


def _radiance(path: Path) -> NDArray[np.float32]:
    """Linear RGB of a panorama, rows from the top down, shape (height, width, 3)."""
    image = bpy.data.images.load(str(path))
    width, height = image.size
    values = np.empty(width * height * 4, dtype=np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)[::-1, :, :3]


def _without_suns(name: str, radiance: NDArray[np.float32]) -> bpy.types.Image:
    """A panorama of half the size and mean 1, cut at six times the mean: the room has a sun of its own."""
    height, width = (length // 2 for length in radiance.shape[:2])
    values = np.minimum(radiance, 6 * radiance.mean())
    values = values.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    image = bpy.data.images.new(name, width, height, float_buffer=True)
    pixels = np.ones((height, width, 4), dtype=np.float32)
    pixels[..., :3] = values[::-1] / values.mean()
    image.pixels.foreach_set(pixels.ravel())
    image.pack()
    return image
