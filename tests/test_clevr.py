"""Blender really renders the CLEVR scenes: what is seen, what is annotated, and that it is the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import ConvexHull

from autosimulate_pipeline.records import AnnotatedImage, Scene, ignore_progress
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.simulators.clevr.simulator import (
    CAMERA_POSITION,
    CATEGORIES,
    COLOURS_SRGB,
    FOCAL_LENGTH_MM,
    OBJECT_RADIUS,
    SENSOR_WIDTH_MM,
    Clevr,
    ClevrScene,
    camera_axes,
)

FAST: Mapping[str, int] = {"image_size": 64, "num_samples": 4}
RENDER_ONE = (
    "from autosimulate_pipeline.simulators.clevr.simulator import Clevr; "
    "Clevr().render([{'image_size': 16, 'num_samples': 1}] * 2, [0, 1], lambda _: None)"
)


def project(points: ArrayLike, image_size: int) -> NDArray[np.float64]:
    """Pixel coordinates (x to the right, y down) of world points by the pinhole camera.

    The image covers [0, image_size]²; the pixel in row i and column j has its centre at (j + ½, i + ½).

    Args:
        points: in front of the camera, shape (..., 3), metres.

    Returns: shape (..., 2).
    """
    right, up, depth = np.moveaxis((np.asarray(points) - CAMERA_POSITION) @ camera_axes().T, -1, 0)
    focal_length = FOCAL_LENGTH_MM / SENSOR_WIDTH_MM * image_size
    return image_size / 2 + focal_length * np.stack([right, -up], axis=-1) / depth[..., None]


def surface_points(scene: ClevrScene, category: str, num_steps: int = 64) -> NDArray[np.float64]:
    """World points whose convex hull is the object, shape (num_points, 3); round shapes have `num_steps` sides."""
    angles = np.linspace(0, 2 * np.pi, num_steps, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    if category == "cube":
        unit_points = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(-1, 3)
    elif category == "cylinder":
        unit_points = np.concatenate([np.insert(circle, 2, height, axis=-1) for height in (-1.0, 1.0)])
    else:
        polar = np.linspace(0, np.pi, num_steps // 2 + 1)
        rings = [np.insert(np.sin(angle) * circle, 2, np.cos(angle), axis=-1) for angle in polar]
        unit_points = np.concatenate(rings)
    return np.asarray(scene.centre(category) + OBJECT_RADIUS * unit_points)


def render(scenes: Sequence[Scene], num_workers: int = 1, seeds: Sequence[int] | None = None) -> list[AnnotatedImage]:
    simulator = Clevr(ParallelSettings(num_workers=num_workers))
    return list(simulator.render(scenes, seeds or range(len(scenes)), ignore_progress).images)


def random_scenes(num_scenes: int) -> list[dict[str, float | str]]:
    generator = np.random.default_rng(0)
    return [
        {
            **FAST,
            "back_light": generator.uniform(0, 100),
            **{f"{category}_x": generator.uniform(-9, 9) for category in CATEGORIES},
            **{f"{category}_y": generator.uniform(-6, 6) for category in CATEGORIES},
            **{f"{category}_colour": str(generator.choice(list(COLOURS_SRGB))) for category in CATEGORIES},
            **{f"{category}_material": str(generator.choice(["rubber", "metal"])) for category in CATEGORIES},
        }
        for _ in range(num_scenes)
    ]


def signed_distances(scene: Scene, category: str, image_size: int) -> NDArray[np.float64]:
    """Of each pixel centre to the object's outline in pixels, negative inside."""
    outline = ConvexHull(project(surface_points(ClevrScene.model_validate(scene), category, num_steps=96), image_size))
    rows, columns = np.indices((image_size, image_size)) + 0.5
    return np.max([a * columns + b * rows + offset for a, b, offset in outline.equations], axis=0)


def test_bytes_depend_on_scene_and_seed_alone() -> None:
    scenes, order = random_scenes(10), np.random.default_rng(1).permutation(10).tolist()
    once = render(scenes)
    by_two = render(scenes, num_workers=2)
    shuffled = render([scenes[index] for index in order], seeds=order)
    for index, image in enumerate(once):
        for other in (by_two[index], shuffled[order.index(index)]):
            assert image.image.tobytes() == other.image.tobytes()
            assert image.instance_mask.tobytes() == other.instance_mask.tobytes()
    reseeded = render(scenes[:1], seeds=[99])[0]
    assert reseeded.image.tobytes() != once[0].image.tobytes()


@pytest.mark.parametrize("y", [-6.0, 0.0, 6.0])
def test_masks_are_the_pixels_whose_centres_lie_in_the_projected_outlines(y: float) -> None:
    scene = {"image_size": 128, "num_samples": 1} | {f"{category}_y": y for category in CATEGORIES}
    image = render([scene])[0]
    assert image.instance_categories == (1, 2, 3)
    for label, category in enumerate(CATEGORIES, start=1):
        distance = signed_distances(scene, category, 128)
        # Round shapes are 96-sided: their sides lie up to r(1 - cos(π/96)) = 0.005 pixels inside the circle at r = 9.
        is_certain = np.abs(distance) > 0.02
        np.testing.assert_array_equal((image.instance_mask == label)[is_certain], (distance < 0)[is_certain])
        column, row = np.floor(project(ClevrScene.model_validate(scene).centre(category), 128)).astype(int)
        assert image.instance_mask[row, column] == label


def test_the_nearer_of_two_overlapping_objects_is_seen() -> None:
    scene = {**FAST, "cube_x": 0, "cube_y": 0, "sphere_x": 0, "sphere_y": -1, "cylinder_x": 0, "cylinder_y": 8}
    image = render([scene])[0]
    column, row = np.floor(project(ClevrScene.model_validate(scene).centre("sphere"), 64)).astype(int)
    assert image.semantic_mask[row, column] == 1 + CATEGORIES.index("sphere")
    num_in_outline = np.count_nonzero(signed_distances(scene, "cube", 64) < 0)
    assert 0 < np.count_nonzero(image.semantic_mask == 1) < num_in_outline


def test_instances_out_of_view_are_not_listed() -> None:
    image = render([{**FAST, "cube_x": 10, "cube_y": -10}])[0]
    assert image.instance_categories == (2, 3)
    assert set(np.unique(image.instance_mask)) == {0, 1, 2}
    assert set(np.unique(image.semantic_mask)) == {0, 2, 3}


def test_images_are_rgb_bytes_of_the_asked_size() -> None:
    for size, image in zip((8, 33), render([{"image_size": size, "num_samples": 1} for size in (8, 33)]), strict=True):
        assert image.image.shape == (size, size, 3)
        assert image.instance_mask.shape == (size, size)
        assert image.image.dtype == image.instance_mask.dtype == np.uint8


def test_lights_go_from_dark_to_over_exposed() -> None:
    levels = [render([{**FAST, "ambient_light": level, "back_light": level}])[0].image for level in (0, 50, 100)]
    dark, well_lit, over_exposed = (level.mean() for level in levels)
    assert dark < 30
    assert 100 < well_lit < 200
    assert over_exposed > well_lit + 30
    well_clipped, over_clipped = ((level == 255).all(axis=-1).mean() for level in levels[1:])
    assert well_clipped < 0.03
    assert over_clipped > 0.1


def test_more_samples_mean_less_noise() -> None:
    """Monte-Carlo noise falls by √16 = 4 in theory; half of that leaves room for clipping and the pixel filter."""

    def noise(num_samples: int) -> float:
        pair = render([{**FAST, "num_samples": num_samples}] * 2)
        return float(np.std(pair[0].image.astype(float) - pair[1].image))

    assert noise(2) > 2 * noise(32)


def test_bounces_are_light_path_bounces() -> None:
    """Without a bounce metal mirrors no ground and faces that no lamp reaches get no light from it."""
    metal: dict[str, float | int | str] = {
        **FAST,
        "num_samples": 64,
        "cube_material": "metal",
        "sphere_material": "metal",
        "cube_colour": "gray",
    }
    none, one, many = (render([{**metal, "num_bounces": bounces}])[0] for bounces in (0, 1, 8))
    on_metal = none.semantic_mask == 1
    assert one.image[on_metal].mean() > none.image[on_metal].mean() + 10  # noise moves this mean by less than 1
    assert not np.array_equal(one.image, many.image)


def test_rubber_and_metal_wear_the_colour_they_are_given() -> None:
    for channel, colour in enumerate(("red", "green", "blue")):
        for material in ("rubber", "metal"):
            scene = {**FAST, "cube_colour": colour, "cube_material": material}
            image = render([scene])[0]
            assert image.image[image.semantic_mask == 1].mean(axis=0).argmax() == channel


@pytest.mark.parametrize(
    ("scene", "complaint"),
    [
        ({"cone_x": 1.0}, "'cone_x' is unknown, wanted one of .*cube_x"),
        ({"cube_x": 10.5}, "'cube_x' is 10.5: input should be less than or equal to 10"),
        ({"cube_x": float("nan")}, "'cube_x' is nan"),
        ({"num_samples": "many"}, "'num_samples' is 'many'"),
        ({"num_samples": 0}, "'num_samples' is 0"),
        ({"sphere_material": "glass"}, "'sphere_material' is 'glass': input should be 'rubber' or 'metal'"),
        ({"cube_x": 11, "cube_y": "far"}, "'cube_x' is 11.*; .*'cube_y' is 'far'"),
    ],
)
def test_bad_scenes_are_refused_in_one_line(scene: Scene, complaint: str) -> None:
    for call in (Clevr().check, lambda bad: Clevr().render([{}, bad], [0, 1], ignore_progress)):
        with pytest.raises(ValueError, match=complaint) as failure:
            call(scene)
        assert "\n" not in str(failure.value)


def test_every_scene_needs_a_seed() -> None:
    with pytest.raises(ValueError, match="one seed for each of the 2 scenes, got 1"):
        Clevr().render([{}, {}], [0], ignore_progress)


def test_a_run_prints_nothing_and_leaves_no_process() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RENDER_ONE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    output, _ = run.communicate(timeout=60)
    assert (run.returncode, output) == (0, b"")
    for _ in range(50):  # the operating system may take a moment to collect them
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("processes of the run are still alive")


def test_a_missing_library_is_named_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "libSM.so.6").touch()  # shadows the real one: the loader refuses an empty file
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", RENDER_ONE], check=False, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert any("libSM.so.6" in line and "apt-get install libx11-6" in line for line in run.stderr.splitlines())
