"""Things modelled in code for Blender: boxes, turned profiles, tubes and sheets, joined into one mesh. Metres, z up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import cos, pi, sin

from autosimulate_pipeline.blender.session import Vector, bmesh, bpy

Point = tuple[float, float, float]

TURNED_SEGMENTS = 40
"""Sides of a surface of revolution."""


class Shape:
    """A mesh in the making. Each part takes the index of one of the materials that `build` is given.

    Texture coordinates run from 0 to 1 over each side of a box and each sheet, and around and along what is turned.
    """

    def __init__(self) -> None:
        self.mesh = bmesh.new()
        self.uv = self.mesh.loops.layers.uv.new("uv")

    def box(
        self,
        size: Point,
        centre: Point,
        material: int = 0,
        bevel: float = 0.0,
        segments: int = 2,
        face_materials: dict[str, int] | None = None,
    ) -> Shape:
        """A box along the axes, its edges rounded by `bevel`.

        `face_materials` gives sides other materials: "+x", "-x", "+y", "-y", "+z", "-z".
        """
        before = set(self.mesh.faces)
        made = bmesh.ops.create_cube(self.mesh, size=1)["verts"]
        bmesh.ops.scale(self.mesh, vec=size, verts=made)
        faces = [face for face in self.mesh.faces if face not in before]
        for face in faces:
            axis = max(range(3), key=lambda k: abs(face.normal[k]))
            side = f"{'+' if face.normal[axis] > 0 else '-'}{'xyz'[axis]}"
            face.material_index = (face_materials or {}).get(side, material)
            across, up = [(1, 2), (0, 2), (0, 1)][axis]
            mirrored = side in ("-x", "+y", "-z")
            for loop in face.loops:
                u = loop.vert.co[across] / size[across] + 0.5
                loop[self.uv].uv = (1 - u if mirrored else u, loop.vert.co[up] / size[up] + 0.5)
        if bevel:
            edges = list({edge for face in faces for edge in face.edges})
            rounded = bmesh.ops.bevel(
                self.mesh, geom=edges, offset=bevel, segments=segments, profile=0.5, affect="EDGES", material=material
            )
            for face in rounded["faces"]:
                face.smooth = True
        new_vertices = {vertex for face in self.mesh.faces if face not in before for vertex in face.verts}
        bmesh.ops.translate(self.mesh, vec=centre, verts=list(new_vertices))
        return self

    def turned(
        self,
        profile: Sequence[tuple[float, float]],
        centre: Point = (0.0, 0.0, 0.0),
        material: int = 0,
    ) -> Shape:
        """A surface of revolution about z; `profile`: (radius, height) from one end to the other."""
        rings = [
            [
                self.mesh.verts.new(
                    (centre[0] + radius * cos(angle), centre[1] + radius * sin(angle), centre[2] + height)
                )
                for angle in (2 * pi * k / TURNED_SEGMENTS for k in range(TURNED_SEGMENTS))
            ]
            for radius, height in profile
        ]
        self._skin(rings, material)
        return self

    def tube(self, points: Sequence[Point], radius: float, material: int = 0, segments: int = 10) -> Shape:
        """A round bar through the points."""
        rings = []
        for index, point in enumerate(points):
            before, after = points[max(index - 1, 0)], points[min(index + 1, len(points) - 1)]
            frame = (Vector(after) - Vector(before)).to_track_quat("Z", "Y").to_matrix()
            circle = ((cos(a), sin(a), 0.0) for a in (2 * pi * k / segments for k in range(segments)))
            rings.append([self.mesh.verts.new(Vector(point) + radius * (frame @ Vector(c))) for c in circle])
        self._skin(rings, material)
        for ring in (rings[0][::-1], rings[-1]):
            self.mesh.faces.new(ring).material_index = material
        return self

    def sheet(self, corners: Sequence[Point], material: int = 0) -> Shape:
        """A flat side through four corners, from its lower left one counter-clockwise as seen from its front."""
        face = self.mesh.faces.new([self.mesh.verts.new(corner) for corner in corners])
        face.material_index = material
        for loop, uv in zip(face.loops, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
            loop[self.uv].uv = uv
        return self

    def build(self, name: str, *materials: bpy.types.Material) -> bpy.types.Object:
        """The Blender object, linked to the scene."""
        mesh = bpy.data.meshes.new(name)
        self.mesh.normal_update()
        self.mesh.to_mesh(mesh)
        self.mesh.free()
        for material in materials:
            mesh.materials.append(material)
        return link(name, mesh)

    def _skin(self, rings: Sequence[Sequence[bmesh.types.BMVert]], material: int) -> None:
        """Smooth quadrilaterals between neighbouring rings."""
        segments = len(rings[0])
        for row, (lower, upper) in enumerate(itertools.pairwise(rings)):
            for k in range(segments):
                following = (k + 1) % segments
                face = self.mesh.faces.new((lower[k], lower[following], upper[following], upper[k]))
                face.smooth, face.material_index = True, material
                corners = ((k, row), (k + 1, row), (k + 1, row + 1), (k, row + 1))
                for loop, (u, v) in zip(face.loops, corners, strict=True):
                    loop[self.uv].uv = (u / segments, v / (len(rings) - 1))


def link(name: str, data: bpy.types.ID) -> bpy.types.Object:
    """A new object with this data in the current scene."""
    blender_object = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(blender_object)
    return blender_object
