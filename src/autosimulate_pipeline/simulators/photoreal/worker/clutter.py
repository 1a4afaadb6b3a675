"""What stands and lies about on desks: screens, keyboards, books, mugs, bottles, cables, paper. Models in code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from autosimulate_pipeline.blender.session import bpy
from autosimulate_pipeline.blender.shapes import Shape
from autosimulate_pipeline.simulators.photoreal.prints import KINDS, TILES_PER_ROW
from autosimulate_pipeline.simulators.photoreal.worker.materials import new_material

Materials = Mapping[str, bpy.types.Material]
Colour = tuple[float, float, float, float]

PALETTE = (
    (0.72, 0.70, 0.66), (0.80, 0.80, 0.80), (0.03, 0.03, 0.035), (0.02, 0.05, 0.25), (0.45, 0.02, 0.02),
    (0.75, 0.50, 0.03), (0.03, 0.18, 0.06), (0.60, 0.12, 0.30), (0.05, 0.22, 0.35), (0.25, 0.24, 0.23),
    (0.55, 0.20, 0.04), (0.10, 0.05, 0.03),
)  # fmt: skip
"""Linear colours of things made of plastic, ceramics and cloth."""


Circle = tuple[float, float, float]
"""x, y and radius of a place that is taken, in metres."""


@dataclass(frozen=True)
class Prop:
    """A thing that can be put about.

    Attributes:
        model: stands on its own z = 0; hidden unless placed.
        radius: of the circle that it needs on the support, in metres.
        prints: the kind of print that it wears; None: it wears a colour.
        turns: how far it may be turned from facing −y, 1 for any way.
        footprint: of what is long, the circles that it needs in its own coordinates, in place of one.
    """

    model: bpy.types.Object
    radius: float
    prints: str | None = None
    turns: float = 1.0
    footprint: tuple[Circle, ...] = ()

    def needed_at(self, x: float, y: float, turn: float) -> list[Circle]:
        """The circles that it needs on the support when it stands there."""
        along = [
            (x + cos(turn) * dx - sin(turn) * dy, y + sin(turn) * dx + cos(turn) * dy, radius)
            for dx, dy, radius in self.footprint
        ]
        return along or [(x, y, self.radius)]

    def dress(self, generator: np.random.Generator) -> None:
        """Gives it a print or a colour."""
        self.model.color = print_corner(self.prints, generator) if self.prints else plain(generator)


def plain(generator: np.random.Generator) -> Colour:
    """A colour of the palette, a little off, and a roughness in alpha."""
    red, green, blue = PALETTE[generator.integers(len(PALETTE))] * generator.uniform(0.8, 1.1, 3)
    return float(red), float(green), float(blue), float(generator.uniform(0.25, 0.55))


def print_corner(kind: str, generator: np.random.Generator) -> Colour:
    """One of the atlas's prints of this kind: its lower left corner in texture coordinates, a turn of its hue."""
    tile = int(generator.choice([index for index, name in enumerate(KINDS) if name == kind]))
    row, column = divmod(tile, TILES_PER_ROW)
    hue = float(generator.random()) if kind in ("label", "cover") else 0.0
    return column / TILES_PER_ROW, 1 - (row + 1) / TILES_PER_ROW, hue, 1.0


def make_small_props(materials: Materials) -> list[Prop]:
    """Things for the space around the objects."""
    makers: list[tuple[Callable[[str, Materials], Prop], int]] = [
        (_mug, 2), (_bowl, 2), (_bottle, 2), (_cup, 2), (_pen, 4), (_cable, 4), (_package, 4), (_ball, 2), (_tape, 2),
        (_mouse, 1), (_phone, 1), (_magazine, 4), (_book, 3), (_spray, 1), (_plant, 1), (_pen_pot, 1), (_frame, 1),
        (_adapter, 2),
    ]  # fmt: skip
    return [make(f"{make.__name__}{number}", materials) for make, count in makers for number in range(count)]


def make_screen(name: str, materials: Materials) -> Prop:
    """A monitor 0.52 m wide that looks towards −y."""
    shape = Shape().box((0.54, 0.03, 0.34), (0, 0.015, 0.29), bevel=0.006)
    shape.sheet([(-0.255, -0.001, 0.14), (0.255, -0.001, 0.14), (0.255, -0.001, 0.445), (-0.255, -0.001, 0.445)], 1)
    shape.box((0.06, 0.02, 0.2), (0, 0.04, 0.12)).turned([(0.0, 0.012), (0.11, 0.012), (0.12, 0.0)], (0, 0.04, 0))
    return Prop(shape.build(name, materials["dark"], materials["screen"]), 0.12, "screen")  # of its foot


def make_laptop(name: str, materials: Materials) -> Prop:
    """Open, 0.34 m wide, its screen towards −y."""
    shape = Shape().box((0.34, 0.24, 0.018), (0, 0, 0.009), bevel=0.004)
    _keys(shape, columns=13, rows=5, pitch=0.0225, centre=(0, 0.035, 0.019))
    shape.box((0.08, 0.05, 0.001), (0, -0.075, 0.0185), material=3)
    lean = 0.35
    for lift, half, bottom, top, material in ((0.0, 0.17, 0.0, 0.235, 0), (0.0015, 0.16, 0.02, 0.222, 1)):
        y = 0.12 - lift
        corners = ((-half, bottom), (half, bottom), (half, top), (-half, top))
        shape.sheet([(x, y + sin(lean) * up, 0.02 + cos(lean) * up) for x, up in corners], material)
    parts = (materials[part] for part in ("dark", "screen", "white", "metal"))
    return Prop(shape.build(name, *parts), 0.19, "screen")


def make_keyboard(name: str, materials: Materials) -> Prop:
    shape = Shape().box((0.44, 0.14, 0.016), (0, 0, 0.008), bevel=0.004)
    _keys(shape, columns=21, rows=6, pitch=0.0200, centre=(0, 0, 0.016))
    model = shape.build(name, materials["dark"], materials["dark"], materials["dark"])
    return Prop(model, 0.23, footprint=tuple((x, 0.0, 0.102) for x in (-0.147, 0.0, 0.147)))


def make_book_row(name: str, materials: Materials, width: float, generator: np.random.Generator) -> Prop:
    """Books that stand side by side along x, their backs towards −y."""
    shape, x = Shape(), -width / 2
    covers = [materials["plastic"]]
    while x < width / 2 - 0.05:
        thick, tall, deep = generator.uniform((0.012, 0.17, 0.12), (0.05, 0.29, 0.2))
        index = 1 + int(generator.integers(6))
        shape.box((thick - 0.001, deep, tall), (x + thick / 2, deep / 2, tall / 2), index, bevel=0.0015, segments=1)
        shape.box((thick - 0.006, deep - 0.004, 0.002), (x + thick / 2, deep / 2, tall), 7)
        if generator.random() < 0.6:
            band, low = generator.uniform((0.01, 0.08), (0.05, 0.7)) * (1, tall)
            other = 1 + int(generator.integers(6))
            shape.box((thick - 0.0005, 0.002, band), (x + thick / 2, 0.0008, low + band), other)
        x += thick
    covers += [_cover_material(colour) for colour in generator.permutation(np.array(PALETTE))[:6] * 0.8]
    model = shape.build(name, *covers, materials["page"])
    return Prop(model, width / 2, footprint=tuple((x, 0.08, 0.12) for x in np.linspace(-width / 2, width / 2, 5)))


def make_crate(name: str, materials: Materials) -> Prop:
    """A cardboard box 0.4 m wide with a strip of tape."""
    shape = Shape().box((0.4, 0.28, 0.26), (0, 0, 0.13), bevel=0.003)
    shape.box((0.402, 0.05, 0.001), (0, 0, 0.2605), 1).box((0.001, 0.05, 0.06), (0.2005, 0, 0.23), 1)
    shape.sheet([(-0.1, -0.1405, 0.08), (0.08, -0.1405, 0.08), (0.08, -0.1405, 0.2), (-0.1, -0.1405, 0.2)], 2)
    model = shape.build(name, materials["cardboard"], materials["white"], materials["print"])
    return Prop(model, 0.245, "label", footprint=((-0.1, 0.0, 0.173), (0.1, 0.0, 0.173)))


def make_pillow(name: str, materials: Materials) -> Prop:
    """A cushion 0.4 m wide that leans on a sofa's back."""
    shape, steps = Shape(), np.linspace(-1, 1, 17)
    for side in (-1, 1):
        grid = [
            [
                shape.mesh.verts.new((
                    0.2 * x, side * 0.08 * ((1 - x**4) * (1 - z**4)) ** 0.6, 0.2 + 0.2 * z * (1 - 0.06 * (1 - x * x))
                ))
                for x in steps
            ]
            for z in steps
        ]  # fmt: skip
        for row, column in np.ndindex(16, 16):
            corners = (grid[row][column], grid[row][column + 1], grid[row + 1][column + 1], grid[row + 1][column])
            shape.mesh.faces.new(corners if side < 0 else corners[::-1]).smooth = True
    return Prop(shape.build(name, materials["cloth"]), 0.16)  # of its foot


def _cover_material(colour: NDArray[np.float64]) -> bpy.types.Material:
    material, nodes = new_material("cover")
    red, green, blue = (float(channel) for channel in colour)
    nodes.surface((red, green, blue), 0.4)
    return material


def _keys(shape: Shape, columns: int, rows: int, pitch: float, centre: tuple[float, float, float]) -> None:
    for row, column in np.ndindex(rows, columns):
        x, y = (column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * pitch
        size = (0.82 * pitch, 0.82 * pitch, 0.006)
        shape.box(size, (centre[0] + x, centre[1] + y, centre[2] + 0.002), bevel=0.0015, segments=1)


def _mug(name: str, materials: Materials) -> Prop:
    profile = [(0.0, 0.004), (0.036, 0.004), (0.038, 0.09), (0.041, 0.092), (0.041, 0.004), (0.036, 0.0), (0.0, 0.0)]
    shape = Shape().turned(profile)
    arc = [(0.04 + 0.026 * sin(a), 0.0, 0.047 + 0.028 * cos(a)) for a in np.linspace(0, pi, 12)]
    return Prop(shape.tube(arc, 0.0055).build(name, materials["plastic"]), 0.06)


def _bowl(name: str, materials: Materials) -> Prop:
    inner = [(0.07 * sin(a), 0.062 - 0.056 * cos(a)) for a in np.linspace(0, pi / 2, 12)]
    outer = [(radius + 0.004, height - 0.003) for radius, height in inner[::-1] if height > 0.012]
    return Prop(Shape().turned([*inner, *outer, (0.03, 0.0), (0.0, 0.0)]).build(name, materials["white"]), 0.08)


def _bottle(name: str, materials: Materials) -> Prop:
    """Clear plastic with a coloured cap and a label."""
    side = [(0.0, 0.0), (0.031, 0.0), (0.034, 0.006), (0.034, 0.07), (0.032, 0.085), (0.034, 0.1), (0.034, 0.15)]
    neck = [(0.031, 0.17), (0.016, 0.205), (0.013, 0.215), (0.013, 0.225)]
    shape = Shape().turned([*side, *neck]).turned([(0.015, 0.218), (0.015, 0.236), (0.0, 0.236)], material=1)
    shape.turned([(0.0345, 0.102), (0.0345, 0.148)], material=2)
    return Prop(shape.build(name, materials["glass"], materials["plastic"], materials["plastic"]), 0.045)


def _cup(name: str, materials: Materials) -> Prop:
    """A tumbler, upside down."""
    return Prop(
        Shape().turned([(0.042, 0.0), (0.042, 0.004), (0.03, 0.1), (0.026, 0.103), (0.0, 0.103)])
        .build(name, materials["plastic"]), 0.05
    )  # fmt: skip


def _pen(name: str, materials: Materials) -> Prop:
    shape = Shape().tube([(-0.07, 0, 0.005), (0.055, 0, 0.005)], 0.0048)
    shape.tube([(0.055, 0, 0.005), (0.066, 0, 0.005)], 0.003, 1).tube(
        [(-0.072, 0, 0.005), (-0.03, 0, 0.005)], 0.0055, 1
    )
    return Prop(shape.build(name, materials["plastic"], materials["dark"]), 0.07)


def _cable(name: str, materials: Materials) -> Prop:
    """A lead in loose loops."""
    generator = np.random.default_rng(sum(name.encode()))
    turns = np.linspace(0, generator.uniform(2.5, 5.0) * pi, 90)
    wobble, phase = generator.uniform(0.02, 0.045), generator.uniform(0, 6)
    points = [
        (
            (0.07 + wobble * sin(1.7 * a + phase)) * cos(a) + 0.012 * a - 0.06,
            (0.05 + wobble * sin(2.3 * a)) * sin(a),
            0.004 + 0.002 * a / pi + 0.003 * sin(3.1 * a) ** 2,
        )
        for a in turns
    ]
    return Prop(Shape().tube(points, 0.003, segments=8).build(name, materials["dark"]), 0.13)


def _package(name: str, materials: Materials) -> Prop:
    generator = np.random.default_rng(sum(name.encode()))
    wide, deep, tall = generator.uniform((0.06, 0.04, 0.05), (0.15, 0.1, 0.17))
    shape = Shape().box((wide, deep, tall), (0, 0, tall / 2), bevel=0.0015)
    return Prop(shape.build(name, materials["print"]), float(np.hypot(wide, deep)) / 2, "label")


def _ball(name: str, materials: Materials) -> Prop:
    profile = [(0.033 * sin(a), 0.033 - 0.033 * cos(a)) for a in np.linspace(0, pi, 24)]
    return Prop(Shape().turned(profile).build(name, materials["cloth"]), 0.035)


def _tape(name: str, materials: Materials) -> Prop:
    ring = [(0.045, 0.0), (0.045, 0.022), (0.032, 0.022), (0.032, 0.0)]
    return Prop(Shape().turned(ring).build(name, materials["plastic"]), 0.05)


def _mouse(name: str, materials: Materials) -> Prop:
    shape = Shape().turned([(0.03, 0.0), (0.031, 0.01), (0.026, 0.025), (0.014, 0.033), (0.0, 0.035)])
    for vertex in shape.mesh.verts:
        vertex.co.y *= 1.75
    return Prop(shape.build(name, materials["dark"]), 0.06)


def _phone(name: str, materials: Materials) -> Prop:
    shape = Shape().box((0.07, 0.145, 0.008), (0, 0, 0.004), bevel=0.0035)
    shape.box((0.064, 0.135, 0.0004), (0, 0, 0.0081), 1)
    return Prop(shape.build(name, materials["dark"], materials["metal"]), 0.08)


def _magazine(name: str, materials: Materials) -> Prop:
    shape = Shape().box((0.21, 0.28, 0.004), (0, 0, 0.002), face_materials={"+z": 1})
    return Prop(shape.build(name, materials["page"], materials["print"]), 0.15, "cover")


def _book(name: str, materials: Materials) -> Prop:
    """Lies flat; cover all around the pages but for three sides."""
    generator = np.random.default_rng(sum(name.encode()))
    wide, tall, thick = generator.uniform((0.13, 0.19, 0.015), (0.19, 0.25, 0.045))
    shape = Shape().box((wide - 0.006, tall - 0.008, thick - 0.004), (0, 0, thick / 2))
    shape.box((wide, tall, 0.002), (0, 0, 0.001), 1).box((wide, tall, 0.002), (0, 0, thick - 0.001), 1)
    shape.box((0.002, tall, thick), (-wide / 2, 0, thick / 2), 1)
    return Prop(shape.build(name, materials["page"], materials["print"]), float(np.hypot(wide, tall)) / 2, "cover")


def _spray(name: str, materials: Materials) -> Prop:
    profile = [(0.0, 0.0), (0.029, 0.0), (0.03, 0.004), (0.03, 0.14), (0.022, 0.155)]
    shape = Shape().turned(profile)
    shape.turned([(0.024, 0.152), (0.024, 0.185), (0.02, 0.19), (0.0, 0.19)], material=1)
    return Prop(shape.build(name, materials["plastic"], materials["white"]), 0.04)


def _plant(name: str, materials: Materials) -> Prop:
    """A pot with bent leaves."""
    shape = Shape().turned([(0.0, 0.0), (0.05, 0.0), (0.068, 0.11), (0.072, 0.11), (0.07, 0.1), (0.0, 0.095)])
    generator = np.random.default_rng(7)
    for _ in range(46):
        angle, lean, length = generator.uniform((0, 0.15, 0.12), (2 * pi, 1.1, 0.3))
        rows = []
        for step in np.linspace(0, 1, 6):
            out, up = length * step * sin(lean * (0.4 + step)), length * step * cos(lean * (0.4 + step))
            half = 0.017 * (sin(pi * min(step + 0.08, 1)) + 0.03)
            x, y = out * cos(angle), out * sin(angle)
            rows.append([(x - side * half * sin(angle), y + side * half * cos(angle), 0.1 + up) for side in (-1, 1)])
        for lower, upper in itertools.pairwise(rows):
            shape.sheet([lower[0], lower[1], upper[1], upper[0]], 1)
    return Prop(shape.build(name, materials["plastic"], materials["leaf"]), 0.11)


def _pen_pot(name: str, materials: Materials) -> Prop:
    shape = Shape().turned([(0.0, 0.003), (0.036, 0.003), (0.036, 0.1), (0.039, 0.1), (0.039, 0.0), (0.0, 0.0)])
    for angle in np.linspace(0, 5, 6):
        foot = (0.018 * cos(angle), 0.018 * sin(angle), 0.006)
        shape.tube([foot, (0.042 * cos(angle), 0.042 * sin(angle), 0.15 + 0.01 * sin(9 * angle))], 0.004, 1)
    return Prop(shape.build(name, materials["dark"], materials["plastic"]), 0.05)


def _frame(name: str, materials: Materials) -> Prop:
    """A framed picture that stands towards −y."""
    shape = Shape().box((0.15, 0.012, 0.2), (0, 0.006, 0.1), bevel=0.002)
    shape.sheet([(-0.06, -0.001, 0.02), (0.06, -0.001, 0.02), (0.06, -0.001, 0.18), (-0.06, -0.001, 0.18)], 1)
    shape.box((0.03, 0.07, 0.004), (0, 0.045, 0.002))
    return Prop(shape.build(name, materials["dark"], materials["print"]), 0.1, "photo", turns=0.25)


def _adapter(name: str, materials: Materials) -> Prop:
    """A power supply with a piece of lead."""
    lead = [(0.05 + 0.06 * t, 0.03 * sin(4 * t), 0.008) for t in np.linspace(0, 1.5, 24)]
    shape = Shape().box((0.1, 0.045, 0.03), (0, 0, 0.015), bevel=0.004).tube(lead, 0.0025, segments=8)
    return Prop(shape.build(name, materials["dark"]), 0.12)
