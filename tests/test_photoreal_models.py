"""CAD models: files that are read and refused, meshes that are made, simplified and sculpted, against closed forms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from autosimulate_pipeline.cad_models import mesh_files
from autosimulate_pipeline.cad_models.mesh_parts import Textures
from autosimulate_pipeline.cad_models.models import (
    CadModel,
    diameter,
    read_mesh,
    read_models,
    vertex_normals,
    write_models,
)
from autosimulate_pipeline.simulators.photoreal.physics.mesh_simplification import simplify
from autosimulate_pipeline.simulators.photoreal.procedural_models import SCULPTURES, make_models
from autosimulate_pipeline.simulators.photoreal.scene import LINEMOD_OCCLUDED
from autosimulate_pipeline.simulators.photoreal.surface_nets import extract_surface

LMO = Path(os.environ.get("AUTOSIMULATE_LMO", Path(__file__).parents[1] / "data" / "01_raw" / "lmo"))
IN_THIRD = (
    "from autosimulate_pipeline.simulators.photoreal.procedural_models import SCULPTURES, make_model; "
    "print(make_model(11, SCULPTURES[11]()).digest())"
)


def box_model(object_id: int = 3, size_mm: tuple[float, float, float] = (40.0, 60.0, 120.0)) -> CadModel:
    mesh = trimesh.creation.box(size_mm)
    vertices, faces = np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int64)
    colours = np.arange(24, dtype=np.uint8).reshape(8, 3) * 10
    normals = vertex_normals(vertices, faces)
    return CadModel(object_id, "box", vertices, faces, normals, colours, None, None, diameter(vertices, "box"))


def num_faces_of_edges(faces: NDArray[np.int64]) -> list[int]:
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return sorted(set(np.unique(edges, axis=0, return_counts=True)[1].tolist()))


def volume(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Signed: positive if the faces look outwards."""
    return float(np.linalg.det(vertices[faces]).sum() / 6)


def two_balls(points: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = np.linalg.norm(points[:, None] - np.array([[0.0, 0, 0], [0, 34, 0]]), axis=2) - 20
    return np.asarray(apart.min(axis=1))


def write_textured(folder: Path, texture: str = "wood.png", size: tuple[int, int] = (4, 2)) -> Path:
    """A tetrahedron of 0.1 m with texture coordinates and, in the folder, its material and image."""
    corners = "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\nvt 0 0\nvt 1 0\nvt 0 1\nvt 0.5 0.5\n"
    faces = "f 1/1 3/3 2/2\nf 1/1 2/2 4/4\nf 1/1 4/4 3/3\nf 2/2 3/3 4/4\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mesh.obj").write_text(f"mtllib mesh.mtl\n{corners}usemtl wood\n{faces}")
    (folder / "mesh.mtl").write_text(f"newmtl wood\nKd 1 1 1\nmap_Kd {texture}\n")
    Image.fromarray(np.full((size[1], size[0], 3), (200, 30, 10), dtype=np.uint8)).save(folder / "wood.png")
    return folder / "mesh.obj"


def test_written_models_are_read_back_as_they_were(tmp_path: Path) -> None:
    uv = np.linspace(0, 1, 16).reshape(8, 2)
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    one_picture = Textures((picture,), np.zeros(12, dtype=np.int64))
    textured = replace(box_model(7), uv=uv, textures=one_picture, vertex_colours=None)
    write_models([box_model(), textured], tmp_path / "models")
    plain, painted = read_models(tmp_path / "models", {3: "box", 7: "box"})
    assert plain.digest() == box_model().digest()
    assert (painted.object_id, painted.vertex_colours) == (7, None)
    assert painted.texture is not None and textured.texture is not None and painted.uv is not None
    np.testing.assert_array_equal(painted.texture, textured.texture)
    # trimesh may split and reorder vertices along seams: compare coordinates at the corners of the faces
    np.testing.assert_allclose(painted.uv[painted.faces], uv[textured.faces], atol=1e-7)
    np.testing.assert_array_equal(painted.vertices_mm[painted.faces], textured.vertices_mm[textured.faces])


def test_digest_depends_on_every_field() -> None:
    model = box_model()
    assert model.vertex_colours is not None
    recoloured = model.vertex_colours.copy()
    recoloured[3, 1] ^= 1
    others = [
        replace(model, vertex_colours=recoloured),
        replace(model, vertices_mm=model.vertices_mm + 1e-6),
        replace(model, faces=model.faces[::-1]),
        replace(model, name="crate"),
        replace(model, object_id=4),
    ]
    assert len({other.digest() for other in [model, box_model(), *others]}) == 1 + len(others)


def test_diameter_and_normals_of_simple_shapes() -> None:
    assert box_model(size_mm=(20, 30, 60)).diameter_mm == pytest.approx(70)
    ball = trimesh.creation.icosphere(subdivisions=4, radius=25)
    normals = vertex_normals(np.array(ball.vertices), np.array(ball.faces))
    np.testing.assert_allclose(normals, ball.vertices / 25, atol=0.01)  # faces of 1 mm on a radius of 25


def test_textured_obj_is_read_in_millimetres(tmp_path: Path) -> None:
    model = read_mesh(write_textured(tmp_path), 2, "wedge", scale_to_mm=1000)
    np.testing.assert_allclose(np.ptp(model.vertices_mm, axis=0), 100)
    assert model.texture is not None and model.texture.shape == (2, 4, 3)
    assert tuple(model.texture[0, 0]) == (200, 30, 10)
    assert model.uv is not None
    corner = model.vertices_mm[:, 1].argmax()  # the vertex at y = 0.1 m has texture coordinates (0, 1)
    np.testing.assert_allclose(model.uv[corner], [0, 1])
    assert model.diameter_mm == pytest.approx(100 * np.sqrt(2))


def test_parts_of_a_glb_become_one_mesh(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for shift, colour in ((0.0, (255, 0, 0)), (0.2, (0, 255, 0))):
        part = trimesh.creation.box((0.1, 0.1, 0.1))
        part.visual.vertex_colors = (*colour, 255)
        scene.add_geometry(part, transform=trimesh.transformations.translation_matrix((shift, 0, 0)))
    (tmp_path / "mesh.glb").write_bytes(scene.export(file_type="glb"))
    model = read_mesh(tmp_path / "mesh.glb", 2, "pair", scale_to_mm=1000)
    assert np.ptp(model.vertices_mm, axis=0).round(3).tolist() == [300, 100, 100]
    assert model.vertex_colours is not None
    left = model.vertices_mm[:, 0] < 100
    assert {tuple(colour) for colour in model.vertex_colours[left].tolist()} == {(255, 0, 0)}
    assert {tuple(colour) for colour in model.vertex_colours[~left].tolist()} == {(0, 255, 0)}


def test_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "mesh.ply"
    path.write_bytes(trimesh.creation.box((20, 20, 20)).export(file_type="ply"))
    assert np.ptp(read_mesh(path, 1, "cube", 1).vertices_mm) == 20
    path.write_bytes(trimesh.creation.box((50, 50, 50)).export(file_type="ply"))
    os.utime(path, ns=(1, 1))  # however coarse the clock
    assert np.ptp(read_mesh(path, 1, "cube", 1).vertices_mm) == 50


def test_vertices_of_no_face_are_left_out(tmp_path: Path) -> None:
    box = trimesh.creation.box((20, 20, 20))
    vertices = np.concatenate([[[300.0, 0, 0]], box.vertices])
    mesh = trimesh.Trimesh(vertices, box.faces + 1, process=False)
    (tmp_path / "mesh.ply").write_bytes(mesh.export(file_type="ply"))
    model = read_mesh(tmp_path / "mesh.ply", 1, "cube", 1)
    assert model.vertices_mm.shape == (8, 3) and np.ptp(model.vertices_mm, axis=0).tolist() == [20, 20, 20]
    np.testing.assert_allclose(model.vertices_mm[model.faces], box.vertices[box.faces])


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_textures_outside_the_folder_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    for texture in ("../secret.png", str(tmp_path / "secret.png"), "missing.png"):
        path = write_textured(tmp_path / "inner", texture)
        os.utime(path, ns=(1, 1) if texture == "missing.png" else (2 + len(texture),) * 2)
        with pytest.raises(ValueError, match="names a file that cannot be read") as caught:
            read_mesh(path, 1, "wedge", 1000)
        assert "mesh.obj" in one_line(caught.value)


def test_texture_bomb_is_refused_undecoded(tmp_path: Path) -> None:
    path = write_textured(tmp_path, size=(8193, 1))
    with pytest.raises(ValueError, match="at most 8192 px a side"):
        read_mesh(path, 1, "wedge", 1000)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"ply\nformat ascii 1.0\nelement vertex 99999999\nproperty float x\nend_header\n1\n", "readable mesh"),
        (b"not a mesh", "readable mesh"),
        (b"", "readable mesh"),
        (trimesh.creation.box((50, 50, 50)).export(file_type="ply")[:-20], "readable mesh"),
        (trimesh.PointCloud(np.eye(3)).export(file_type="ply"), "with faces"),
        (trimesh.creation.box((0.05, 0.05, 0.05)).export(file_type="ply"), "is it in mm"),
        (trimesh.creation.box((2500, 50, 50)).export(file_type="ply"), "is it in mm"),
        (
            trimesh.Trimesh([[0, 0, 0], [50, 0, 0], [0, 50, 0]], [[0, 1, 2]]).export(file_type="ply"),
            "must be a solid",
        ),
        (
            b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
            b"element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n9 0 0\n0 nan 0\n3 0 1 2\n",
            "finite",
        ),
        (
            b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
            b"element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n9 0 0\n0 9 0\n3 0 1 7\n",
            "bad.ply",  # trimesh or we: one of the two notices
        ),
    ],
)
def test_malformed_mesh_is_refused_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "bad.ply").write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_mesh(tmp_path / "bad.ply", 1, "bad", 1)
    assert "bad.ply" in one_line(caught.value)


def test_too_many_faces_and_other_formats_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_files, "_MAX_FACES", 11)
    (tmp_path / "box.ply").write_bytes(trimesh.creation.box((50, 50, 50)).export(file_type="ply"))
    with pytest.raises(ValueError, match="at most 11 faces, got 12"):
        read_mesh(tmp_path / "box.ply", 1, "box", 1)
    (tmp_path / "box.pickle").write_bytes(b"")
    with pytest.raises(ValueError, match="must be one of .ply, .obj, .glb"):
        read_mesh(tmp_path / "box.pickle", 1, "box", 1)
    with pytest.raises(FileNotFoundError, match=r"none\.ply is missing"):
        read_mesh(tmp_path / "none.ply", 1, "box", 1)
    with pytest.raises(ValueError, match="scale_to_mm must be above 0"):
        read_mesh(tmp_path / "box.ply", 1, "box", 0)


def test_half_copied_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    with pytest.raises(FileNotFoundError, match="is missing; wanted BOP models"):
        read_models(folder, {3: "box"})
    write_models([box_model(3), box_model(4, (50, 50, 50))], folder)
    with pytest.raises(ValueError, match="must have object 5"):
        read_models(folder, {3: "box", 5: "ball"})
    with pytest.raises(ValueError, match="at least one"):
        read_models(folder, {})
    infos = json.loads((folder / "models_info.json").read_text())
    (folder / "obj_000004.ply").write_bytes((folder / "obj_000003.ply").read_bytes())
    with pytest.raises(ValueError, match="bounding box") as caught:
        read_models(folder, {4: "box"})
    one_line(caught.value)
    (folder / "obj_000004.ply").unlink()
    with pytest.raises(FileNotFoundError, match=r"obj_000004\.ply is missing"):
        read_models(folder, {4: "box"})
    (tmp_path / "other.ply").write_bytes((folder / "obj_000003.ply").read_bytes())
    (folder / "obj_000004.ply").symlink_to(tmp_path / "other.ply")
    with pytest.raises(ValueError, match="stay inside"):
        read_models(folder, {4: "box"})
    for content in ("[", "{}", json.dumps({"3": {**infos["3"], "diameter": -1}}), json.dumps({"3": {"diameter": 3}})):
        (folder / "models_info.json").write_text(content)
        with pytest.raises(ValueError, match=r"models_info\.json") as caught:
            read_models(folder, {3: "box"})
        one_line(caught.value)
    (folder / "models_info.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"models_info\.json is missing"):
        read_models(folder, {3: "box"})


def test_models_are_not_written_over_others(tmp_path: Path) -> None:
    write_models([box_model()], tmp_path)
    with pytest.raises(FileExistsError, match="empty or new"):
        write_models([box_model()], tmp_path)
    with pytest.raises(ValueError, match="must differ"):
        write_models([box_model(), box_model()], tmp_path / "new")


def test_extracted_surface_is_closed_and_where_the_field_is_zero() -> None:
    vertices, faces = extract_surface(two_balls, np.array([-24.0, -24, -24]), np.array([24.0, 60, 24]), 1.3)
    assert num_faces_of_edges(faces) == [2]
    assert np.abs(two_balls(vertices)).max() < 0.15  # at the crease a vertex stays inside its voxel
    cap = np.pi * 3**2 * (3 * 20 - 3) / 3  # each ball loses a cap of height 3 to the other
    assert volume(vertices, faces) == pytest.approx(2 * (4 / 3 * np.pi * 20**3 - cap), rel=0.004)


def test_voxel_with_two_pieces_of_surface_keeps_them_apart() -> None:
    """Two slabs whose corners all but meet in one voxel: with one vertex there, an edge would get four faces."""

    def field(points: NDArray[np.float64]) -> NDArray[np.float64]:
        first = np.abs(points - np.array([-5.2, -5.2, 0])).max(axis=1) - 5
        second = np.abs(points - np.array([5.2, 5.2, 0])).max(axis=1) - 5
        return np.minimum(first, second)

    _, faces = extract_surface(field, np.array([-12.5, -12.5, -8.0]), np.array([12.0, 12.0, 8.0]), 1.0)
    assert num_faces_of_edges(faces) == [2]


def test_simplified_ball_stays_a_closed_ball() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=50)
    vertices, faces = simplify(np.array(ball.vertices), np.array(ball.faces), 800)
    assert abs(len(faces) - 800) <= 2
    assert num_faces_of_edges(faces) == [2]
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 50, atol=0.5)
    # a polyhedron of 800 faces with its vertices on the sphere lacks about 1 % of its volume
    assert volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 50**3, rel=0.015)


def test_simplified_box_keeps_its_corners() -> None:
    box = trimesh.creation.box((40, 60, 80)).subdivide().subdivide().subdivide()
    vertices, faces = simplify(np.array(box.vertices), np.array(box.faces), 150)
    assert len(faces) <= 150
    assert volume(vertices, faces) == pytest.approx(40 * 60 * 80, rel=1e-3)


@pytest.mark.parametrize("object_id", SCULPTURES)
def test_sculpture_is_a_closed_coloured_solid(object_id: int) -> None:
    model = next(model for model in make_models() if model.object_id == object_id)
    assert num_faces_of_edges(model.faces) == [2]
    mesh = trimesh.Trimesh(model.vertices_mm, model.faces, process=False)
    assert mesh.body_count == 1
    assert volume(model.vertices_mm, model.faces) > 40_000  # mm³, a ball of 4 cm: outwards and not hollow
    assert 10_000 <= len(model.faces) <= 40_000
    assert 60 <= np.ptp(model.vertices_mm, axis=0).max() <= 250
    np.testing.assert_allclose(model.vertices_mm.min(axis=0) + model.vertices_mm.max(axis=0), 0, atol=1e-4)
    assert model.vertex_colours is not None
    buckets = np.unique(model.vertex_colours // 48, axis=0, return_counts=True)[1]
    assert (buckets > 0.01 * len(model.vertex_colours)).sum() >= 4  # four colours or more cover 1 % each
    for axis in range(3):  # no half turn maps it onto itself, colours included
        turned = model.vertices_mm * np.where(np.arange(3) == axis, 1, -1)
        nearest = np.linalg.norm(turned[::97, None] - model.vertices_mm[None, ::11], axis=2)
        other = model.vertex_colours[::11][nearest.argmin(axis=1)].astype(float)
        differs = np.abs(other - model.vertex_colours[::97]).max(axis=1) > 60
        assert (differs | (nearest.min(axis=1) > 5)).mean() > 0.04


def test_sculptures_survive_their_files_and_are_the_same_in_every_process(tmp_path: Path) -> None:
    models = make_models()
    write_models(models, tmp_path / "models")
    names = {model.object_id: model.name for model in models}
    assert names == LINEMOD_OCCLUDED
    assert [model.digest() for model in read_models(tmp_path / "models", names)] == [m.digest() for m in models]
    printed = subprocess.run([sys.executable, "-c", IN_THIRD], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == next(model.digest() for model in models if model.object_id == 11)


@pytest.mark.skipif(not (LMO / "models").is_dir(), reason=f"LineMOD-Occluded is not at {LMO} (set AUTOSIMULATE_LMO)")
def test_linemod_models_are_read_with_their_colours() -> None:
    models = read_models(LMO / "models", LINEMOD_OCCLUDED)
    assert [model.object_id for model in models] == list(LINEMOD_OCCLUDED)
    for model in models:
        assert model.vertex_colours is not None and model.texture is None
        assert diameter(model.vertices_mm, model.name) == pytest.approx(model.diameter_mm, abs=1e-3)
        assert num_faces_of_edges(model.faces)[0] == 2
        np.testing.assert_allclose(np.linalg.norm(model.vertex_normals, axis=1), 1)
    duck = models[4]
    assert duck.vertex_colours is not None
    red, green, blue = duck.vertex_colours.mean(axis=0)
    assert red > green > 3 * blue  # it is yellow
