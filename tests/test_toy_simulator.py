"""The toy simulator: exact masks, reproducible bytes, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.simulators.toy import ToyScene, ToySimulator

SIMULATOR = ToySimulator(image_size=40)


def render_one(scene=None, seed=0):
    return SIMULATOR.render([scene or {}], [seed], ignore_progress).images[0]


def test_same_scene_and_seed_give_the_same_bytes_alone_or_among_others():
    scene = {"disc_x": 3.0, "num_samples": 4}
    together = SIMULATOR.render([{}, scene], [1, 7], ignore_progress).images[1]
    assert together.image.tobytes() == render_one(scene, 7).image.tobytes()
    assert together.image.tobytes() != render_one(scene, 8).image.tobytes()


def test_masks_are_the_shapes_that_were_asked_for():
    mask = render_one({"disc_x": 2.0, "disc_y": 4.0}).semantic_mask == 2
    rows, columns = np.nonzero(mask)
    pixel = 20 / 40  # ground units
    # The disc is symmetric, so its centroid is its centre but for the raster: half a pixel at most.
    assert (columns.mean() + 0.5) * pixel - 10 == pytest.approx(2.0, abs=pixel / 2)
    assert 10 - (rows.mean() + 0.5) * pixel == pytest.approx(4.0, abs=pixel / 2)
    assert mask.sum() * pixel**2 == pytest.approx(np.pi * 2.6**2, rel=0.05)  # raster of a boundary 32 pixels long


def test_near_hides_far_and_a_wholly_hidden_object_is_not_annotated():
    apart = {"triangle_x": 0.0, "square_x": 0.0, "disc_x": 8.0}
    behind = render_one({**apart, "triangle_y": 1.0, "square_y": 0.9})
    in_front = render_one({**apart, "triangle_y": 0.9, "square_y": 1.0})
    assert behind.instance_categories == in_front.instance_categories == (1, 2, 3)
    assert 0 < (behind.semantic_mask == 3).sum() < (in_front.semantic_mask == 3).sum()
    square_and_disc_cover = {"square_x": -0.4, "square_y": 0.0, "disc_x": 1.5, "disc_y": -0.5}
    hidden = render_one({"triangle_x": 0.0, "triangle_y": 0.05, **square_and_disc_cover})
    assert hidden.instance_categories == (1, 2)
    assert set(np.unique(hidden.instance_mask)) == {0, 1, 2}


def test_more_samples_mean_less_noise_and_more_light_a_brighter_image():
    def noise(num_samples):
        first, second = (render_one({"num_samples": num_samples}, seed).image.astype(float) for seed in (0, 1))
        return (first - second)[:6].std()  # the top rows are ground alone

    assert noise(4) / noise(64) == pytest.approx(4, rel=0.2)  # √(64 / 4); gamma bends it a little
    assert render_one({"ambient_light": 80.0}).image.mean() > render_one({"ambient_light": 20.0}).image.mean() + 20


def test_material_changes_the_look_and_not_the_mask():
    rubber, metal = render_one({"disc_material": "rubber"}), render_one({"disc_material": "metal"})
    assert (rubber.instance_mask == metal.instance_mask).all()
    changed = (rubber.image != metal.image).any(2)
    assert changed.any() and not changed[rubber.semantic_mask != 2].any()


@pytest.mark.parametrize(
    ("scene", "named"),
    [
        ({"disc_z": 1.0}, "disc_z"),
        ({"disc_x": 11.0}, "disc_x"),
        ({"disc_x": float("nan")}, "disc_x"),
        ({"num_samples": 0}, "num_samples"),
        ({"disc_material": "glass"}, "disc_material"),
    ],
)
def test_wrong_scenes_are_refused_in_one_line(scene, named):
    with pytest.raises(ValueError, match=named) as refusal:
        SIMULATOR.check(scene)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match=named):
        SIMULATOR.render([{}, scene], [0, 1], ignore_progress)


def test_every_field_can_be_set_and_seeds_match_scenes():
    SIMULATOR.check({name: 1 for name in ToyScene.model_fields if not name.endswith("material")})
    with pytest.raises(ValueError, match="seeds"):
        SIMULATOR.render([{}], [], ignore_progress)


def test_progress_counts_images():
    counts: list[int] = []
    SIMULATOR.render([{}] * 3, [0, 1, 2], counts.append)
    assert sum(counts) == 3
