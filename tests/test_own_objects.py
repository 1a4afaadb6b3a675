"""A folder of OBJ, PLY and GLB files in the place of BOP's models: read, refused, rendered and learned from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from autosimulate_pipeline.cad_models.model_files import read_model_files
from autosimulate_pipeline.cad_models.models import write_models
from autosimulate_pipeline.cad_models.settings import ModelFileSettings
from autosimulate_pipeline.records import AnnotatedImage, ignore_progress
from autosimulate_pipeline.simulators import ParallelSettings, build_simulator
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealSettings
from autosimulate_pipeline.simulators.photoreal.simulator import Photoreal
from conftest import Kedro

RED, GREEN, BLUE = (200, 30, 20), (20, 160, 40), (30, 40, 190)
LINEAR_BLUE = [0.0130, 0.0212, 0.5149, 1.0]  # BLUE as glTF has it
BRIGHT = {
    "num_samples": 8, "window_light": 60.0, "lamp_light": 60.0, "environment_light": 60.0, "camera_distance": 0.6,
    "camera_elevation": 60.0, "clutter": "none", "surface": "wood",
}  # fmt: skip


def wedge_obj(size: float, *, is_textured: bool) -> str:
    """A tetrahedron with right angles at one corner, its legs along the axes."""
    corners = f"v 0 0 0\nv {size} 0 0\nv 0 {size} 0\nv 0 0 {size}\n"
    if not is_textured:
        return f"{corners}f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    coordinates = "vt 0 0\nvt 1 0\nvt 0 1\nvt 0.5 0.5\n"
    faces = "f 1/1 3/3 2/2\nf 1/1 2/2 4/4\nf 1/1 4/4 3/3\nf 2/2 3/3 4/4\n"
    return f"mtllib paint.mtl\n{corners}{coordinates}usemtl paint\n{faces}"


def write_objects(folder: Path) -> Path:
    """Four objects of about 8 cm: a red picture, green vertices, a blue material, and no colour."""
    folder.mkdir(parents=True)
    (folder / "picture.obj").write_text(wedge_obj(80, is_textured=True))
    (folder / "paint.mtl").write_text("newmtl paint\nmap_Kd paint.png\n")
    Image.new("RGB", (4, 4), RED).save(folder / "paint.png")
    ball = trimesh.creation.icosphere(subdivisions=2, radius=40)
    ball.visual.vertex_colors = (*GREEN, 255)
    (folder / "ball.ply").write_bytes(ball.export(file_type="ply"))
    box = trimesh.creation.box((0.08, 0.05, 0.06))
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=LINEAR_BLUE)
    box.visual = trimesh.visual.TextureVisuals(material=material)
    (folder / "brick.glb").write_bytes(trimesh.Scene(box).export(file_type="glb"))
    (folder / "bare.obj").write_text(wedge_obj(80, is_textured=False))
    return folder


def test_categories_are_the_names_of_the_files_or_those_that_conf_gives(tmp_path: Path) -> None:
    folder = write_objects(tmp_path / "own")
    models = read_model_files(folder, ModelFileSettings(names={"picture": "painted wedge"}))
    assert [(model.object_id, model.name) for model in models] == [
        (1, "ball"), (2, "bare"), (3, "brick"), (4, "painted wedge")
    ]  # fmt: skip
    for model in models:
        np.testing.assert_allclose(model.vertices_mm.min(axis=0) + model.vertices_mm.max(axis=0), 0, atol=1e-9)


def test_units_and_axes_are_the_formats_or_those_that_conf_gives(tmp_path: Path) -> None:
    sizes = (0.08, 0.05, 0.06)
    for kind in ("glb", "ply"):
        (tmp_path / f"{kind}_box.{kind}").write_bytes(trimesh.creation.box(sizes).export(file_type=kind))

    def read(folder: Path, **settings: str) -> list[list[float]]:
        models = read_model_files(folder, ModelFileSettings.model_validate(settings))
        return [np.ptp(model.vertices_mm, axis=0).round(3).tolist() for model in models]

    assert read(tmp_path, unit="m") == [[80, 60, 50], [80, 50, 60]]  # GLB's y points up
    assert read(tmp_path, unit="m", up_axis="z") == [[80, 50, 60]] * 2
    assert read(tmp_path, unit="m", up_axis="x") == [[50, 60, 80]] * 2
    (tmp_path / "ply_box.ply").unlink()
    assert read(tmp_path) == [[80, 60, 50]]


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_the_axis_that_points_up_does_so_without_a_mirror(tmp_path: Path, axis: str) -> None:
    (tmp_path / "wedge.obj").write_text(wedge_obj(80, is_textured=False))
    [model] = read_model_files(tmp_path, ModelFileSettings.model_validate({"up_axis": axis}))
    assert np.linalg.det(model.vertices_mm[model.faces]).sum() / 6 == pytest.approx(80**3 / 6)
    heights = np.unique(model.vertices_mm.round(6), axis=0)[:, 2]
    assert (heights == heights.max()).sum() == 1  # the corner of the leg that points up


def settings_of(folder: Path, **options: object) -> dict[str, object]:
    return {"models_folder": str(folder), "cache_folder": str(folder / "cache"), **options}


@pytest.mark.parametrize(
    ("edit", "options", "complaint"),
    [
        ("", {"model_files": {"unit": "km"}}, "model_files.unit: input should be 'mm', 'cm', 'm' or 'in', got 'km'"),
        ("", {"model_files": {"units": "m"}}, "no option model_files.units, only unit, up_axis, names"),
        ("", {"model_files": {"names": {"bal": "b"}}}, "names must name files of .*, such as ball, got bal$"),
        ("", {"model_files": {"names": {"ball": "brick"}}}, "each file another name, got brick for ball and brick"),
        ("", {"model_files": {"unit": "m"}}, "ball.ply must be 5 to 2000 mm long, got 80000 mm .its 80 read as m.; "
         "set simulator.options.model_files.unit: mm or cm would fit"),
        ("", {"objects": {1: "ball"}}, "objects must be left out for files of one's own.* lacks models_info.json"),
        ("ball.obj", {}, "must hold one file of the name ball, got ball.obj and ball.ply"),
        ("empty", {}, "must hold OBJ, PLY or GLB files, or BOP models .* got none"),
        ("stl", {}, "must hold OBJ, PLY or GLB files, or BOP models .* got files in .stl"),
        ("missing", {}, "is missing; wanted CAD models there"),
        ("bop", {"model_files": {"unit": "m"}}, "model_files must be left out for BOP models"),
    ],
)  # fmt: skip
def test_wrong_folders_and_options_are_refused_in_a_line(
    tmp_path: Path, edit: str, options: dict[str, object], complaint: str
) -> None:
    folder = write_objects(tmp_path / "own")
    if edit == "ball.obj":
        (folder / edit).write_text(wedge_obj(80, is_textured=False))
    elif edit == "bop":
        write_models(read_model_files(folder, ModelFileSettings())[:1], tmp_path / "bop")
        folder = tmp_path / "bop"
    elif edit:
        folder = tmp_path / edit
    if edit in ("empty", "stl"):
        folder.mkdir()
    if edit == "stl":
        (folder / "ball.stl").write_bytes(b"")
    with pytest.raises((ValueError, FileNotFoundError), match=complaint) as caught:
        build_simulator("photoreal", settings_of(folder, **options), ParallelSettings())
    assert "\n" not in str(caught.value)


def test_size_names_the_unit_that_would_fit(tmp_path: Path) -> None:
    (tmp_path / "wedge.obj").write_text(wedge_obj(0.08, is_textured=False))
    with pytest.raises(ValueError, match=r"wedge.obj must be .* got 0.08 mm .*model_files.unit: m would fit"):
        read_model_files(tmp_path, ModelFileSettings())
    (tmp_path / "wedge.obj").write_text(wedge_obj(1e-9, is_textured=False))
    with pytest.raises(ValueError, match="no unit fits: scale the model"):
        read_model_files(tmp_path, ModelFileSettings())


def test_edges_of_boxes_stay_sharp_and_balls_round(tmp_path: Path) -> None:
    box, ball = trimesh.creation.box((40, 50, 60)), trimesh.creation.icosphere(subdivisions=3, radius=30)
    for name, mesh in (("box", box), ("globe", ball)):
        (tmp_path / f"{name}.ply").write_bytes(mesh.export(file_type="ply"))
    sharp, round_ = read_model_files(tmp_path, ModelFileSettings())
    assert len(sharp.vertices_mm) == 24  # each corner three times
    corners = sharp.vertices_mm[sharp.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(sharp.vertex_normals[sharp.faces], np.repeat(flat[:, None], 3, axis=1), atol=1e-6)
    assert len(round_.vertices_mm) == len(ball.vertices)
    np.testing.assert_allclose(round_.vertex_normals, round_.vertices_mm / 30, atol=0.02)  # faces of 5 mm


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = write_objects(tmp_path / "own")
    (folder / "ball.ply").rename(tmp_path / "elsewhere.ply")
    (folder / "ball.ply").symlink_to(tmp_path / "elsewhere.ply")
    with pytest.raises(ValueError, match="ball.ply must stay inside"):
        read_model_files(folder, ModelFileSettings())


def mean_colour(image: AnnotatedImage, category: int) -> NDArray[np.float64]:
    visible = np.isin(image.instance_mask, [1 + k for k, c in enumerate(image.instance_categories) if c == category])
    assert visible.sum() > 20
    return np.asarray(image.image[visible].mean(axis=0))


def test_every_kind_of_colour_is_rendered(tmp_path: Path) -> None:
    """Red, green, blue and grey objects are so in a render: the channels' order and, for grey, their balance."""
    settings = PhotorealSettings(
        models_folder=write_objects(tmp_path / "own"), image_width=96, num_distractors=0, num_arrangements=1,
        cache_folder=tmp_path / "cache",
    )  # fmt: skip
    photoreal = Photoreal(settings, ParallelSettings(num_workers=1))
    assert photoreal.categories == ("ball", "bare", "brick", "picture")
    [image] = photoreal.render([BRIGHT], [3], ignore_progress).images
    ball, bare, brick, picture = (mean_colour(image, category) for category in (1, 2, 3, 4))
    assert ball.argmax() == 1 and ball[1] > 1.3 * ball[[0, 2]].max()
    assert brick.argmax() == 2 and brick[2] > 1.3 * brick[[0, 1]].max()
    assert picture.argmax() == 0 and picture[0] > 1.3 * picture[1:].max()
    assert bare.min() > 40 and np.ptp(bare) < 0.5 * bare.max()  # lamps and wood colour it, but it is not black


@pytest.mark.slow
def test_a_folder_of_models_becomes_a_training_set(project: Path, kedro: Kedro, tmp_path: Path) -> None:
    """The commands of docs/own_objects.md at the smallest size."""
    folder = write_objects(tmp_path / "own")
    (folder / "bare.obj").unlink()
    (folder / "picture.obj").unlink()
    few = {"num_distractors": 0, "num_arrangements": 1}
    settings = {
        "run": "parts",
        "simulator.options": {"models_folder": str(folder), "image_width": 64, **few},
        "simulator.parameters.object_spread": None,
        "simulator.parameters.scene": None,
        "reference_data.hidden_simulator": {"num_validation_images": 2, "num_test_images": 2},
        "reference_data.hidden_simulator.options": few,
        "reference_data.hidden_simulator.parameters": {"object_spread": None, "scene": None},
        "task_model": {"input_size": 64},
        "search.start": "configured",
        "pretraining.enabled": False,
        "training": {"first_epochs": 1, "epochs": 1, "num_variants": 1},
        "loop": {"num_iterations": 1, "num_images": 2},
        "hypergradient": {"max_steps": 1},
        "final_evaluation": {"num_images": 2},
        "final_evaluation.retraining": {"epochs": 1, "num_variants": 1},
        "final_evaluation.own_network": {"epochs": 1, "num_variants": 1},
    }  # fmt: skip
    flat = []
    for block, values in settings.items():
        pairs = values.items() if isinstance(values, dict) else [("", values)]
        flat += [f"{block}.{key}".rstrip(".") + f"={'null' if value is None else value}" for key, value in pairs]
    run = kedro("--env", "photoreal", "--params", ",".join(flat))
    assert run.returncode == 0, run.stdout + run.stderr
    generated = kedro(
        "--pipeline", "generate", "--params", "run=parts,generate.num_images=2,generate.validation_share=0.5"
    )
    assert generated.returncode == 0, generated.stdout + generated.stderr
    [annotations] = (project / "data/05_model_input/parts").glob("coco-*/train/annotations.json")
    names = [category["name"] for category in json.loads(annotations.read_text())["categories"]]
    assert names == ["ball", "brick"]
