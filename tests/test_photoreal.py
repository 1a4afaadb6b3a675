"""PhysX really drops objects, Blender really renders them; masks, depths, poses against geometry worked out here."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from pxr import Usd, UsdGeom, UsdValidation
from scipy.spatial import ConvexHull

from autosimulate_pipeline.cad_models.models import CadModel, vertex_normals, write_models
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Scene, ignore_progress
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.simulators.photoreal.camera import LINEMOD_CAMERA_MATRIX, camera_matrix, look_at, project
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealScene, PhotorealSettings
from autosimulate_pipeline.simulators.photoreal.silhouettes import full_extent, ray_depth
from autosimulate_pipeline.simulators.photoreal.simulator import Photoreal
from autosimulate_pipeline.simulators.photoreal.usd import export_usd

OBJECTS = {2: "brick", 4: "egg", 7: "post"}
COLOURS = {2: (200, 40, 30), 4: (235, 225, 60), 7: (40, 60, 180)}
QUICK: Mapping[str, int | str] = {"num_samples": 1, "clutter": "none", "surface": "wood"}
TWO = [{**QUICK, "camera_distance": 0.7}, {**QUICK, "scene": "sofa", "camera_elevation": 60.0, "camera_roll": 30.0}]
RENDER_TWO = """
import hashlib, json, sys
from pathlib import Path
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealSettings
from autosimulate_pipeline.simulators.photoreal.simulator import Photoreal
settings = PhotorealSettings.model_validate_json(sys.argv[1])
scenes, seeds = json.loads(sys.argv[2]), json.loads(sys.argv[3])
images = Photoreal(settings, ParallelSettings(num_workers=1)).render(scenes, seeds, lambda _: None).images
print([hashlib.sha256(image.image.tobytes() + image.instance_mask.tobytes()).hexdigest() for image in images])
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> PhotorealSettings:
    """Three convex objects: what is seen of them can be worked out from their corners alone."""
    folder = tmp_path_factory.mktemp("photoreal")
    egg = trimesh.creation.icosphere(subdivisions=3, radius=40.0)
    egg.apply_scale([1.0, 1.0, 1.4])
    shapes = {2: trimesh.creation.box([120, 60, 70]), 4: egg, 7: trimesh.creation.cylinder(25.0, 110.0, sections=32)}
    models = []
    for object_id, mesh in shapes.items():
        vertices, faces = np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int64)
        colours = np.tile(np.array(COLOURS[object_id], dtype=np.uint8), (len(vertices), 1))
        normals, widest = vertex_normals(vertices, faces), float(np.linalg.norm(np.ptp(vertices, axis=0)))
        models.append(CadModel(object_id, OBJECTS[object_id], vertices, faces, normals, colours, None, None, widest))
    write_models(models, folder / "models")
    return PhotorealSettings(
        models_folder=folder / "models", objects=OBJECTS, num_distractors=2, cache_folder=folder / "cache"
    )


def simulator(settings: PhotorealSettings, image_width: int = 320) -> Photoreal:
    return Photoreal(settings.model_copy(update={"image_width": image_width}), ParallelSettings(num_workers=1))


def render(
    settings: PhotorealSettings, scenes: Sequence[Scene], image_width: int = 64, seeds: Sequence[int] | None = None
) -> list[AnnotatedImage]:
    dataset = simulator(settings, image_width).render(scenes, seeds or range(len(scenes)), ignore_progress)
    return list(dataset.images)


@pytest.fixture(scope="module")
def pair(settings: PhotorealSettings) -> AnnotatedDataset:
    return simulator(settings).render(TWO, [5, 6], ignore_progress)


def corners_mm(settings: PhotorealSettings, image: AnnotatedImage, index: int) -> NDArray[np.float64]:
    """The model's vertices in the camera's coordinates, by the pose that the annotation gives."""
    model = simulator(settings).models[image.instance_categories[index] - 1]
    assert image.geometry is not None
    return model.vertices_mm @ image.geometry.rotations[index].T + image.geometry.translations_mm[index]


def test_masks_are_the_pixels_whose_centres_lie_in_the_projected_hulls(
    settings: PhotorealSettings, pair: AnnotatedDataset
) -> None:
    num_unhidden = 0
    for image in pair.images:
        assert image.geometry is not None
        assert image.visible_fractions is not None
        for index, fraction in enumerate(image.visible_fractions):
            outline = ConvexHull(project(corners_mm(settings, image, index), image.geometry.camera_matrix))
            rows, columns = np.indices(image.instance_mask.shape)  # centres of pixels at whole numbers, as in OpenCV
            distance = np.max([a * columns + b * rows + c for a, b, c in outline.equations], axis=0)
            is_certain = np.abs(distance) > 0.02  # pixels; float32 in both ray tracers
            visible = image.instance_mask == index + 1
            assert image.geometry.full_masks is not None
            np.testing.assert_array_equal(image.geometry.full_masks[index][is_certain], (distance < 0)[is_certain])
            assert not (visible & (distance > 0.02)).any()
            if fraction == 1:
                num_unhidden += 1
                intersection, union = np.sum(visible & (distance < 0)), np.sum(visible | (distance < 0))
                assert intersection / union >= 0.98
    assert num_unhidden >= 3


def test_depth_is_that_of_rays_through_the_posed_models(settings: PhotorealSettings, pair: AnnotatedDataset) -> None:
    for image in pair.images:
        geometry = image.geometry
        assert geometry is not None
        assert geometry.depth_mm is not None
        height, width = image.instance_mask.shape
        assert geometry.depth_mm[geometry.depth_mm > 0].min() > 200  # nothing stands before the lens
        for index, category in enumerate(image.instance_categories):
            model = simulator(settings).models[category - 1]
            pose = geometry.rotations[index], geometry.translations_mm[index]
            expected = ray_depth(model, *pose, geometry.camera_matrix, (0, 0, width, height))
            visible = (image.instance_mask == index + 1) & (expected > 0)
            assert visible.sum() > 20
            np.testing.assert_allclose(geometry.depth_mm[visible], expected[visible], atol=1)


def test_boxes_and_fractions_are_those_of_whole_objects(pair: AnnotatedDataset) -> None:
    for image in pair.images:
        assert image.geometry is not None
        assert image.geometry.full_masks is not None
        assert image.visible_fractions is not None
        for index, (mask, box) in enumerate(zip(image.geometry.full_masks, image.boxes, strict=True)):
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            seen = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
            is_inside = box[0] >= 0 and box[1] >= 0 and box[0] + box[2] <= 320 and box[1] + box[3] <= 240
            if is_inside:
                np.testing.assert_array_equal(box, seen)
                share = np.sum(image.instance_mask == index + 1) / mask.sum()
                assert image.visible_fractions[index] == pytest.approx(share, abs=0.01)


def test_of_an_object_that_reaches_to_the_camera_what_is_visible_is_known(settings: PhotorealSettings) -> None:
    brick = simulator(settings).models[0]
    visible = np.zeros((24, 32), dtype=bool)
    visible[4:9, 20:27] = True
    mask, box, num_pixels = full_extent(
        brick, np.eye(3), np.array([0.0, 0.0, 40.0]), camera_matrix(32), visible
    )  # 35 mm thick on both sides of its centre: from 5 mm before the camera
    np.testing.assert_array_equal(mask, visible)
    assert box.tolist() == [20, 4, 7, 5] and num_pixels == 35


def test_objects_wear_their_colours_and_lie_on_the_support(pair: AnnotatedDataset) -> None:
    assert pair.categories == ("brick", "egg", "post")
    assert pair.object_ids == (2, 4, 7)
    for image in pair.images:
        assert set(image.instance_categories) == {1, 2, 3}
        for index, category in enumerate(image.instance_categories):
            mean = image.image[image.instance_mask == index + 1].mean(axis=0)
            colour = COLOURS[(2, 4, 7)[category - 1]]
            assert mean.argmax() in np.flatnonzero(np.array(colour) > 0.9 * max(colour))
            assert mean.argmin() == np.argmin(colour) or category != 2


def test_bytes_are_the_same_in_another_process_and_order(settings: PhotorealSettings, pair: AnnotatedDataset) -> None:
    run = subprocess.run(
        [sys.executable, "-c", RENDER_TWO, settings.model_dump_json(), json.dumps(TWO[::-1]), "[6, 5]"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    images = pair.images[::-1]
    expected = [hashlib.sha256(image.image.tobytes() + image.instance_mask.tobytes()).hexdigest() for image in images]
    assert run.stdout.strip() == str(expected)
    assert run.stderr == ""


def test_lights_and_exposure_brighten(settings: PhotorealSettings) -> None:
    lights = ("window_light", "lamp_light", "environment_light")
    dark = {**QUICK, "num_samples": 8, "background": "books", **dict.fromkeys(lights, 0.0)}
    scenes = [dark, *({**dark, light: 50.0} for light in lights), {**dark, "lamp_light": 50.0, "exposure": 1.0}]
    means = [image.image.mean() for image in render(settings, scenes, seeds=[3] * 5)]
    assert means[0] < 3
    assert all(mean > means[0] + 10 for mean in means[1:])
    assert means[4] > means[2] + 10


def test_colour_temperature_goes_from_orange_to_blue(settings: PhotorealSettings) -> None:
    lamp_only = {**QUICK, "num_samples": 8, "window_light": 0.0, "environment_light": 0.0, "background": "wall"}
    scenes = [{**lamp_only, "colour_temperature": kelvin} for kelvin in (2500.0, 5500.0, 9000.0)]
    ratios = [
        image.image[..., 0].mean() / image.image[..., 2].mean() for image in render(settings, scenes, seeds=[3] * 3)
    ]
    assert ratios[0] > 1.3 * ratios[1] > 1.3 * ratios[2]


def test_more_samples_mean_less_noise(settings: PhotorealSettings) -> None:
    """Monte-Carlo noise falls by √16 = 4 in theory; half of that leaves room for clipping and the pixel filter."""

    counts = (1, 16, 128)
    scenes = [{**QUICK, "num_samples": num_samples} for num_samples in counts]
    few, more, many = (image.image.astype(float) for image in render(settings, scenes, seeds=[8] * 3))
    assert np.std(few - many) > 2 * np.std(more - many)


def test_every_choice_renders_with_instances_numbered_without_gaps(settings: PhotorealSettings) -> None:
    choices = {
        name: PhotorealScene.model_json_schema()["properties"][name]["enum"]
        for name in ("scene", "surface", "background", "clutter", "environment")
    }
    scenes = [
        {"num_samples": 1, **{name: values[number % len(values)] for name, values in choices.items()}}
        for number in range(8)
    ]
    images = render(settings, scenes, image_width=32)
    assert len({image.image.tobytes() for image in images}) == len(scenes)
    for image in images:
        assert image.image.shape == (24, 32, 3)
        assert set(np.unique(image.instance_mask)) - {0} == set(range(1, len(image.instance_categories) + 1))


def test_usd_is_valid_and_holds_the_posed_objects(settings: PhotorealSettings, tmp_path: Path) -> None:
    photoreal = simulator(settings)
    namesakes = [replace(model, vertices_mm=model.vertices_mm * 1.2) for model in photoreal.models]
    write_models(namesakes, tmp_path / "models")  # rendered before, by the same worker
    render(settings.model_copy(update={"models_folder": tmp_path / "models"}), TWO[:1])
    export_usd(photoreal, TWO[0], 5, tmp_path / "scene.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "scene.usdc"))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert [error.GetMessage() for error in UsdValidation.ValidationContext(validators).Validate(stage)] == []
    assert (UsdGeom.GetStageMetersPerUnit(stage), UsdGeom.GetStageUpAxis(stage)) == (1.0, "Z")
    [job] = photoreal.jobs([PhotorealScene.model_validate(TWO[0])], [5])
    for placed in job.models:
        prim = stage.GetPrimAtPath(f"/room/{OBJECTS[placed.object_id]}_0")
        pose = np.array(UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(Usd.TimeCode.Default())).T
        np.testing.assert_allclose(pose, placed.pose, atol=1e-6)
        [mesh] = [child for child in prim.GetChildren() if child.IsA(UsdGeom.Mesh)]
        colours = np.array(UsdGeom.Mesh(mesh).GetDisplayColorAttr().Get())
        assert colours.mean(axis=0).argmax() == np.argmax(COLOURS[placed.object_id])


def test_intrinsics_keep_rays_in_place_at_any_size() -> None:
    point = [0.1, -0.2, 1.3]
    large, small = (project(point, camera_matrix(width)) for width in (640, 320))
    np.testing.assert_allclose(camera_matrix(640), LINEMOD_CAMERA_MATRIX)
    np.testing.assert_allclose((small + 0.5) * 2, large + 0.5)


def test_a_camera_shows_its_target_in_the_middle_and_the_sky_above() -> None:
    for roll in (0.0, 90.0):
        pose = look_at([0.3, -0.8, 0.5], [0.0, 0.1, 0.0], roll)
        target, above = (pose.rotation @ np.array([0.0, 0.1, z]) + pose.translation for z in (0.0, 0.1))
        np.testing.assert_allclose(target[:2], 0, atol=1e-12)
        np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(pose.rotation) == pytest.approx(1)
        towards = above[:2] / np.linalg.norm(above[:2])
        np.testing.assert_allclose(towards, [0, -1] if roll == 0 else [-1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("scene", "complaint"),
    [
        ({"cube_x": 1.0}, "'cube_x' is unknown, wanted one of .*camera_distance"),
        ({"camera_distance": 9.0}, "'camera_distance' is 9.0: input should be less than or equal to 1.5"),
        ({"exposure": float("nan")}, "'exposure' is nan"),
        ({"num_samples": 0}, "'num_samples' is 0"),
        ({"scene": "moon"}, "'scene' is 'moon': input should be 'desk', 'shelf' or 'sofa'"),
        ({"camera_elevation": 90, "surface": 3}, "'surface' is 3.*; .*'camera_elevation' is 90"),
    ],
)
def test_bad_scenes_are_refused_in_one_line(settings: PhotorealSettings, scene: Scene, complaint: str) -> None:
    for call in (
        simulator(settings).check,
        lambda bad: simulator(settings).render([{}, bad], [0, 1], ignore_progress),
    ):
        with pytest.raises(ValueError, match=complaint) as failure:
            call(scene)
        assert "\n" not in str(failure.value)


def test_every_scene_needs_a_seed(settings: PhotorealSettings) -> None:
    with pytest.raises(ValueError, match="one seed for each of the 2 scenes, got 1"):
        simulator(settings).render([{}, {}], [0], ignore_progress)


def test_objects_need_names_of_their_own_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a name of its own"):
        PhotorealSettings(models_folder=tmp_path, objects={1: "ape", 2: "ape"})
    with pytest.raises(FileNotFoundError, match="none is missing; wanted CAD models there"):
        Photoreal(PhotorealSettings(models_folder=tmp_path / "none"))
