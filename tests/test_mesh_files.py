"""Ordinary OBJ, PLY and GLB files: their colours, pictures and polygons as their makers meant them."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from autosimulate_pipeline.cad_models.mesh_files import load_mesh
from autosimulate_pipeline.cad_models.mesh_parts import GREY
from autosimulate_pipeline.cad_models.models import CadModel, read_mesh, write_models
from autosimulate_pipeline.cad_models.polygons import MAX_CONCAVE_CORNERS, cut_polygons
from bad_inputs import box_glb, glb
from test_photoreal_models import write_textured

CORNERS = "".join(f"v {x} {y} {z}\n" for x in (0, 0.1) for y in (0, 0.1) for z in (0, 0.1))
SIDES = ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4")
L_SHAPE = np.array([[0, 0], [40, 0], [40, 10], [10, 10], [10, 30], [0, 30]], dtype=np.float64)  # 600 mm²
L_OUTLINES = [list(range(6)), *([k, k + 6, (k + 1) % 6 + 6, (k + 1) % 6] for k in range(6)), list(range(11, 5, -1))]


def sides(first: int, last: int) -> str:
    return "".join(f"f {side}\n" for side in SIDES[first:last])


def colours_of_faces(model: CadModel) -> list[set[tuple[int, ...]]]:
    """The colours at the corners of each face: one where nothing blends."""
    assert model.vertex_colours is not None
    return [{tuple(colour) for colour in corners} for corners in model.vertex_colours[model.faces].tolist()]


def area(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    corners = vertices[faces]
    return float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    )


def volume(model: CadModel) -> float:
    return abs(float(np.linalg.det(model.vertices_mm[model.faces]).sum() / 6))


# Colours


def test_obj_faces_have_the_colours_of_their_materials(tmp_path: Path) -> None:
    (tmp_path / "a.mtl").write_text("newmtl red one\nKd 1 0 0\n")
    (tmp_path / "b.mtl").write_text("newmtl other\nKd 0.2 0.4 0.6\n")
    text = f"mtllib a.mtl\nmtllib b.mtl\n{CORNERS}usemtl red one\n{sides(0, 3)}usemtl other\n{sides(3, 6)}"
    (tmp_path / "mesh.obj").write_text(text)
    model = read_mesh(tmp_path / "mesh.obj", 1, "cube", 1000)
    assert colours_of_faces(model) == [{(255, 0, 0)}] * 6 + [{(51, 102, 153)}] * 6
    assert volume(model) == pytest.approx(1e6)


def test_plain_obj_faces_keep_their_colour_beside_textured_ones(tmp_path: Path) -> None:
    path = write_textured(tmp_path)
    path.write_text(path.read_text() + "usemtl blue\nf 1 2 4\n")
    (tmp_path / "mesh.mtl").write_text((tmp_path / "mesh.mtl").read_text() + "newmtl blue\nKd 0 0 1\n")
    model = read_mesh(path, 1, "wedge", 1000)
    assert model.textures is not None
    assert model.textures.of_faces.tolist() == [0, 0, 0, 0, -1]
    assert colours_of_faces(model) == [{(255, 255, 255)}] * 4 + [{(0, 0, 255)}]  # white: the picture as it is


def test_obj_with_two_pictures_keeps_both(tmp_path: Path) -> None:
    path = write_textured(tmp_path)
    Image.new("RGB", (3, 5), (0, 90, 0)).save(tmp_path / "my leaf.png")
    (tmp_path / "mesh.mtl").write_text(
        "newmtl wood\nmap_Kd wood.png\nnewmtl leaf\nmap_Kd -s 2 2 1 -clamp off my leaf.png\n"
    )
    path.write_text(path.read_text().replace("f 2/2 3/3 4/4", "usemtl leaf\nf 2/2 3/3 4/4"))
    model = read_mesh(path, 1, "wedge", 1000)
    assert model.textures is not None and model.uv is not None
    assert [picture.shape for picture in model.textures.pictures] == [(2, 4, 3), (5, 3, 3)]
    assert model.textures.of_faces.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(model.uv[model.faces[3]], [[2, 0], [0, 2], [1, 1]])  # twice, as -s says


@pytest.mark.parametrize("values", ["0.2 0.4 0.6", "51 102 153"])
def test_colours_that_follow_obj_vertices(tmp_path: Path, values: str) -> None:
    (tmp_path / "mesh.obj").write_text(CORNERS.replace("\n", f" {values}\n") + sides(0, 6))
    assert colours_of_faces(read_mesh(tmp_path / "mesh.obj", 1, "cube", 1000)) == [{(51, 102, 153)}] * 12


def test_colours_of_ply_faces_do_not_blend(tmp_path: Path) -> None:
    box = trimesh.creation.box((20, 20, 20))
    box.visual.face_colors = np.arange(48, dtype=np.uint8).reshape(12, 4)
    (tmp_path / "mesh.ply").write_bytes(box.export(file_type="ply"))
    model = read_mesh(tmp_path / "mesh.ply", 1, "box", 1)
    assert colours_of_faces(model) == [{(4 * face, 4 * face + 1, 4 * face + 2)} for face in range(12)]
    np.testing.assert_array_equal(model.vertices_mm[model.faces], box.vertices[box.faces])


def test_ply_vertex_colours_may_be_fractions(tmp_path: Path) -> None:
    names = ("x", "y", "z", "red", "green", "blue")
    header = ["ply", "format ascii 1.0", "element vertex 4", *(f"property float {name}" for name in names)]
    header += ["element face 4", "property list uchar int vertex_index", "element edge 0", "property int vertex1"]
    rows = ["0 0 0 1 0 0", "20 0 0 0 1 0", "0 20 0 0 0 1", "0 0 20 .2 .4 .6"]
    faces = ["3 0 2 1", "3 0 1 3", "3 0 3 2", "3 1 2 3"]
    (tmp_path / "mesh.ply").write_bytes("\r\n".join([*header, "end_header", *rows, *faces, ""]).encode())
    model = read_mesh(tmp_path / "mesh.ply", 1, "wedge", 1)
    assert model.vertex_colours is not None
    assert model.vertex_colours.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [51, 102, 153]]


def painted(*factors: list[float]) -> Callable[[dict[str, Any]], None]:
    """Gives the cube a primitive for each colour."""

    def edit(header: dict[str, Any]) -> None:
        (mesh,) = header["meshes"]
        header["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": factor}} for factor in factors]
        mesh["primitives"] = [{**mesh["primitives"][0], "material": index} for index in range(len(factors))]

    return edit


def test_glb_faces_have_the_colours_of_their_materials(tmp_path: Path) -> None:
    (tmp_path / "mesh.glb").write_bytes(glb(painted([1, 0, 0, 1], [0.2158605, 0, 0.0343398, 1])))
    model = read_mesh(tmp_path / "mesh.glb", 1, "cube", 1000)
    # 0.2158605 and 0.0343398 of light are 128 and 52 in sRGB
    assert colours_of_faces(model) == [{(255, 0, 0)}] * 12 + [{(128, 0, 52)}] * 12


def test_glb_as_trimesh_writes_it(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for shift, colour in ((0.0, [255, 0, 0, 255]), (0.2, [0, 0, 255, 255])):
        box = trimesh.creation.box((0.1, 0.1, 0.1))
        material = trimesh.visual.material.PBRMaterial(baseColorFactor=colour)
        box.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([shift, 0, 0]))
    (tmp_path / "mesh.glb").write_bytes(scene.export(file_type="glb"))
    model = read_mesh(tmp_path / "mesh.glb", 1, "pair", 1000)
    assert colours_of_faces(model) == [{(255, 0, 0)}] * 12 + [{(0, 0, 255)}] * 12
    assert np.ptp(model.vertices_mm, axis=0).round(3).tolist() == [300, 100, 100]


def test_glb_picture_is_multiplied_by_its_factor(tmp_path: Path) -> None:
    box = trimesh.creation.box((0.1, 0.1, 0.1))
    uv = np.linspace(0, 1, 16).reshape(8, 2)
    image = Image.new("RGB", (2, 4), (10, 200, 30))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, baseColorFactor=[255, 0, 255, 255])
    box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    (tmp_path / "mesh.glb").write_bytes(trimesh.Scene(box).export(file_type="glb"))
    model = read_mesh(tmp_path / "mesh.glb", 1, "cube", 1000)
    assert model.texture is not None and model.uv is not None
    assert model.texture.shape == (4, 2, 3) and model.texture[0, 0].tolist() == [10, 200, 30]
    assert colours_of_faces(model) == [{(255, 0, 255)}] * 12
    np.testing.assert_allclose(model.uv[model.faces], uv[box.faces], atol=1e-6)


def test_mirrored_glb_parts_still_look_outwards(tmp_path: Path) -> None:
    (tmp_path / "mesh.glb").write_bytes(glb(lambda header: header["nodes"][-1].update(matrix=None, scale=[-1, 1, 2])))
    mesh = load_mesh(tmp_path / "mesh.glb")
    assert float(np.linalg.det(mesh.vertices[mesh.faces]).sum() / 6) == pytest.approx(2 * 0.05**3)


def test_files_without_colours_are_grey_and_it_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.05)
    (tmp_path / "mesh.obj").write_text(f"{CORNERS}usemtl nowhere\n{sides(0, 6)}")
    for kind in ("ply", "glb"):
        (tmp_path / f"mesh.{kind}").write_bytes(trimesh.Trimesh(ball.vertices, ball.faces).export(file_type=kind))
    for kind in ("obj", "ply", "glb"):
        caplog.clear()
        path = tmp_path / f"mesh.{kind}"
        models = [read_mesh(path, 1, "ball", 1000) for _ in range(2)]
        assert {colour for face in colours_of_faces(models[0]) for colour in face} == {GREY}
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert f"{path} has no colours: rendered in grey" in caplog.text


def test_part_without_a_colour_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m.mtl").write_text("newmtl a\nKd 1 0 0\n")
    (tmp_path / "mesh.obj").write_text(f"mtllib m.mtl\n{CORNERS}usemtl a\n{sides(0, 5)}usemtl b\n{sides(5, 6)}")
    assert colours_of_faces(read_mesh(tmp_path / "mesh.obj", 1, "cube", 1000))[-2:] == [{GREY}] * 2
    assert "mesh.obj has 2 faces without a colour" in caplog.text


def test_textures_that_a_ply_file_cannot_hold_are_not_written(tmp_path: Path) -> None:
    path = write_textured(tmp_path)
    path.write_text(path.read_text() + "usemtl blue\nf 1 2 4\n")
    with pytest.raises(ValueError, match="wedge must have one texture for all its faces"):
        write_models([read_mesh(path, 1, "wedge", 1000)], tmp_path / "models")


# Polygons


def test_concave_polygons_are_covered_and_no_more() -> None:
    """Star-shaped polygons in random planes: the triangles' areas add up to the polygon's, none is turned over."""
    generator = np.random.default_rng(0)
    polygons, areas = [], []
    for size in (4, 5, 8, 8, 40):
        angles = np.sort(generator.uniform(0, 2 * np.pi, size))
        flat = generator.uniform(0.2, 1, (size, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        u, v = flat.T
        areas.append(abs(float((u * np.roll(v, -1) - v * np.roll(u, -1)).sum() / 2)))
        axes = np.linalg.qr(generator.normal(size=(3, 3)))[0]
        polygons.append(flat @ axes[:2])
    vertices = np.concatenate(polygons)
    sizes = np.array([len(polygon) for polygon in polygons])
    faces, owners = cut_polygons(vertices, sizes, np.arange(len(vertices)))
    assert np.bincount(owners).tolist() == (sizes - 2).tolist()
    normals = np.cross(*(vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2)))
    for number, expected in enumerate(areas):
        own = normals[owners == number]
        assert np.linalg.norm(own, axis=1).sum() / 2 == pytest.approx(expected, rel=1e-9)
        assert (own @ own[np.linalg.norm(own, axis=1).argmax()] >= -1e-12).all()


def write_l_obj(path: Path, points: NDArray[np.float64]) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in points]
    path.write_text("\n".join([*lines, *("f " + " ".join(str(c + 1) for c in outline) for outline in L_OUTLINES), ""]))


def write_l_ply(path: Path, points: NDArray[np.float64]) -> None:
    header = [f"element vertex {len(points)}", *(f"property double {axis}" for axis in "xyz")]
    header += [f"element face {len(L_OUTLINES)}", "property list uchar uint vertex_indices", "end_header", ""]
    body = b"".join(struct.pack(f">B{len(outline)}I", len(outline), *outline) for outline in L_OUTLINES)
    start = "\n".join(["ply", "format binary_big_endian 1.0", *header]).encode()
    path.write_bytes(start + points.astype(">f8").tobytes() + body)


@pytest.mark.parametrize(("name", "write"), [("mesh.obj", write_l_obj), ("mesh.ply", write_l_ply)])
def test_concave_faces_are_not_filled(tmp_path: Path, name: str, write: Callable[[Path, Any], None]) -> None:
    low, high = (np.column_stack([L_SHAPE, np.full(6, z)]) for z in (0.0, 20.0))
    write(tmp_path / name, np.concatenate([high, low]))
    model = read_mesh(tmp_path / name, 1, "bracket", 1)
    assert volume(model) == pytest.approx(600 * 20)
    assert area(model.vertices_mm, model.faces) == pytest.approx(2 * 600 + 140 * 20)


def test_obj_polygons_of_five_corners_and_relative_corners(tmp_path: Path) -> None:
    prism = [(np.cos(a), np.sin(a), z) for z in (0, 1) for a in 2 * np.pi * np.arange(5) / 5]
    lines = [f"v {30 * x} {30 * y} {30 * z}" for x, y, z in prism]
    lines += [f"f {k + 1} {(k + 1) % 5 + 1} {(k + 1) % 5 + 6} {k + 6}" for k in range(5)]
    lines += ["f -6 -7 -8 -9 -10", "f -5 -4 -3 -2 -1"]
    lines += ["v 0 0 30", "f -1 -1 -2"]  # counted from here, and without area
    (tmp_path / "mesh.obj").write_text("\n".join(lines))
    model = read_mesh(tmp_path / "mesh.obj", 1, "prism", 1)
    assert volume(model) == pytest.approx(2.5 * np.sin(2 * np.pi / 5) * 30**3, rel=1e-6)


# The same as another program reads


@pytest.mark.parametrize(
    ("kind", "options"),
    [("ply", {"encoding": "ascii"}), ("ply", {}), ("obj", {}), ("glb", {})],
)
def test_mesh_is_the_one_that_trimesh_wrote(tmp_path: Path, kind: str, options: dict[str, str]) -> None:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=30)
    mesh.apply_transform(trimesh.transformations.random_rotation_matrix(np.array([0.1, 0.5, 0.9])))
    content = mesh.export(file_type=kind, **options)
    (tmp_path / f"mesh.{kind}").write_bytes(content.encode() if isinstance(content, str) else content)
    read = load_mesh(tmp_path / f"mesh.{kind}")
    np.testing.assert_allclose(read.vertices[read.faces], mesh.vertices[mesh.faces], atol=1e-5)


def test_whole_numbers_of_glb_that_stand_for_fractions(tmp_path: Path) -> None:
    """Positions as 16-bit numbers, as programs that make files small write them."""
    header, body = box_glb()
    places = np.array([[0, 0, 0, 0], [32767, 0, 0, 0], [0, 32767, 0, 0], [0, 0, 32767, 0]], dtype="<i2")
    start = len(body) - 8  # behind the header of the chunk
    header["bufferViews"].append({"buffer": 0, "byteOffset": start, "byteLength": 32, "byteStride": 8})
    of_view = {"bufferView": len(header["bufferViews"]) - 1, "componentType": 5122, "normalized": True}
    header["accessors"].append({**of_view, "count": 4, "type": "VEC3"})
    header["extensionsRequired"] = ["KHR_mesh_quantization"]
    position = {"POSITION": len(header["accessors"]) - 1}
    header["meshes"][0]["primitives"] = [{"attributes": position, "mode": 5}]
    body = struct.pack("<I", start + 32) + body[4:] + places.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(body), len(text), b"JSON")
    (tmp_path / "mesh.glb").write_bytes(head + text + body)
    mesh = load_mesh(tmp_path / "mesh.glb")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert mesh.faces.tolist() == [[0, 1, 2], [2, 1, 3]]  # a strip


# Faults


def compressed(header: dict[str, Any]) -> None:
    header["extensionsUsed"] = header["extensionsRequired"] = ["KHR_draco_mesh_compression"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("mesh.glb", glb(compressed), "mesh.glb is compressed by Draco .* export it again without compression"),
        ("mesh.glb", glb(lambda header: header.update(extensionsRequired=["X_y"])), "mesh.glb must .* extension X_y"),
        ("mesh.glb", glb(lambda header: header["accessors"][0].update(bufferView=99)), "mesh.glb must be a readable"),
        ("mesh.glb", glb(lambda header: header["nodes"][0].update(children=[0])), "mesh.glb must .* a tree"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 zero\n", "mesh.obj must be a readable mesh: line 2, 'v 1 0 zero'"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\nv 1 1e999 0\nv 0 1 0\nf 1 2 3 4\n", "mesh.obj: vertices must be finite"),
        ("mesh.obj", b"v 0 0 0\nf 1 0 1\n", "mesh.obj must be .* line 2, .* got 0"),
        ("mesh.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "mesh.obj: faces must name vertex 1 to 3, got 9"),
        ("mesh.obj", b"mtllib my part.mtl\n", "mesh.obj names a file that cannot be read: .*my part.mtl is missing"),
        ("mesh.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float a\nelement face 1\n"
         b"property list uchar int vertex_index\nend_header\n0\n3 0 0 0\n", "mesh.ply must be .* it lacks 'x'"),
        ("mesh.ply", b"ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nend_header\n0\n",
         "mesh.ply must be .* 5 rows of vertex"),
    ],
)  # fmt: skip
def test_faults_are_one_line_with_the_file(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_mesh(tmp_path / name, 1, "thing", 1000)
    assert "\n" not in str(caught.value)


def test_concave_faces_of_too_many_corners_are_refused() -> None:
    angles = np.linspace(0, 2 * np.pi, MAX_CONCAVE_CORNERS + 2, endpoint=False)
    radii = np.where(np.arange(len(angles)) % 2, 1.0, 2.0)
    star = np.stack([radii * np.cos(angles), radii * np.sin(angles), 0 * angles], axis=1)
    with pytest.raises(ValueError, match="concave faces must have at most 2000 corners, got 2002"):
        cut_polygons(star, np.array([len(star)]), np.arange(len(star)))


def test_ply_corners_that_are_no_vertices_are_named(tmp_path: Path) -> None:
    content = trimesh.creation.box((20, 20, 20)).export(file_type="ply", encoding="ascii")
    for wrong in (b"-5", b"8", b"nan"):
        (tmp_path / "mesh.ply").write_bytes(content.rstrip().rpartition(b" ")[0] + b" " + wrong)
        with pytest.raises(ValueError, match=f"mesh.ply: faces must name vertices 0 to 7, got {wrong.decode()}"):
            read_mesh(tmp_path / "mesh.ply", 1, "box", 1)
