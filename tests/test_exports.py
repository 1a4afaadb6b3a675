"""COCO as other programs write it: what is read, what is clipped or left out and said, and what is refused."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import exports
from autosimulate_pipeline.annotations import instance_layers, read_coco, read_labelled_folder, write_coco
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.cli import validate_dataset
from autosimulate_pipeline.evaluation import precisions_by_category
from autosimulate_pipeline.records import AnnotatedDataset, Prediction
from autosimulate_pipeline.simulators.external.protocol import read_answer
from autosimulate_pipeline.simulators.toy import ToySimulator
from autosimulate_pipeline.task_models.augmentation import augmented
from conftest import copied_project

TOY = ToySimulator.categories

CONTESTED = "273 pixels belong to more than one instance: a segmentation takes the smaller one there"
NOTES = {
    "CVAT": [
        "read 3 annotations with iscrowd 1 as single objects: their image has none of their category with iscrowd 0",
        CONTESTED,
    ],
    "Label Studio": [
        "clipped 3 polygons by at most 0.13 px",
        CONTESTED,
        "took the box around the mask of 2 annotations whose bbox differs from it by at most 2 px",
    ],
    "Roboflow": [
        "left out 1 category without annotations and with the name of another",
        "clipped 3 boxes by at most 0.3 px",
    ],
    "labelme": ["left out 3 polygons of fewer than 3 corners beside whole ones", CONTESTED],
    "VIA": [CONTESTED],
}


def read_as_a_run(folder, categories, caplog):
    """What a run reads in the folder, and what it says."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        dataset = read_labelled_folder(folder, categories)
    return dataset, [record.getMessage().removeprefix(f"{folder}: ") for record in caplog.records]


def validated(folder):
    """What validate-dataset prints."""
    outcome = CliRunner().invoke(validate_dataset, [str(folder)])
    assert outcome.exit_code == 0, outcome.output
    return outcome.output.splitlines()


@pytest.mark.parametrize("tool", exports.TOOLS)
def test_what_labelling_programs_export_is_read_by_runs_and_by_validate_dataset_alike(tmp_path, tool, caplog):
    exports.TOOLS[tool](tmp_path / "export", 0)
    dataset, said = read_as_a_run(tmp_path / "export", TOY, caplog)
    assert said == NOTES[tool]
    lines = validated(tmp_path / "export")
    assert [line.removeprefix("note: ") for line in lines if line.startswith("note: ")] == said
    assert {line.strip() for line in lines} >= {f"{name}: 3 instances (export 3)" for name in TOY}
    for number, image in enumerate(dataset.images):
        by_name = {TOY[category - 1]: index for index, category in enumerate(image.instance_categories)}
        masks = list(image.instance_masks)
        for name, corners in exports.objects(number):
            x, y, width, height = exports.around(corners)
            wanted = [x, y, min(width, exports.WIDTH - x), height]
            np.testing.assert_allclose(image.boxes[by_name[name]], wanted, rtol=0, atol=2.1)
            if tool != "Roboflow":
                assert masks[by_name[name]].sum() == pytest.approx(exports.area(corners), rel=0.1)
        assert image.has_masks == (tool != "Roboflow")


def test_a_facade_keeps_its_windows_and_itself_whatever_lies_on_what(tmp_path, caplog):
    exports.facades(tmp_path / "set")
    dataset, said = read_as_a_run(tmp_path / "set", ("facade", "window", "door"), caplog)
    assert said == [
        "took the box around the mask of 1 annotation whose bbox differs from it by at most 3 px",
        "1,100 pixels belong to more than one instance: a segmentation takes the smaller one there",
    ]
    write_coco(dataset, tmp_path / "kept")  # as a run keeps it
    for image in (dataset.images[0], read_coco(tmp_path / "kept").images[0]):
        assert Counter(image.instance_categories) == {1: 1, 2: 12, 3: 1}
        *small, facade = image.instance_masks
        assert facade[30:100, 6:94].all() and [int(mask.sum()) for mask in small] == [80] * 12 + [140]
        semantic = image.semantic_mask
        assert (semantic == 2).sum() == 12 * 80 and (semantic == 3).sum() == 140
        assert (semantic == 1).sum() == facade.sum() - 1100


def test_hundreds_of_sharp_panels_beyond_the_border_are_read(tmp_path, caplog):
    exports.solar_panels(tmp_path / "set")
    dataset, said = read_as_a_run(tmp_path / "set", ("panel",), caplog)
    assert said == ["clipped 15 polygons by at most 0.5 px"]
    write_coco(dataset, tmp_path / "kept")
    for image in (dataset.images[0], read_coco(tmp_path / "kept").images[0]):
        assert image.instance_mask.dtype == np.uint16 and image.masks_below is None
        assert len(image.instance_categories) == len(image.boxes) == image.instance_mask.max() == 300
        np.testing.assert_allclose(image.boxes[:, 2:], [[19, 8]] * 300, atol=1.5)
    variant = augmented(dataset, 2, seed=0).images[1]
    assert len(variant.boxes) == variant.instance_mask.max() > 100


def test_an_instance_set_has_its_crowd_as_a_region_that_is_ignored(tmp_path, caplog):
    exports.instance_set(tmp_path / "set")
    dataset, said = read_as_a_run(tmp_path / "set", ("apple", "leaf"), caplog)
    assert said == [
        "ignored 1 region with iscrowd 1 beside single objects of their category, as COCO does crowds",
        "left out 1 annotation whose polygons cover no pixel",
        "29 pixels belong to more than one instance: a segmentation takes the smaller one there",
    ]
    write_coco(dataset, tmp_path / "kept")
    for kept in (dataset, read_coco(tmp_path / "kept")):
        image = kept.images[0]
        assert image.is_crowd == (False, False, False, True) and image.counted.tolist() == [True, True, True, False]
        apples, heap = image.boxes[:3], image.boxes[3]
        in_heap = [[12.0, 32.0, 8.0, 8.0], [30.0, 32.0, 8.0, 8.0]]

        def precision(boxes, kept=kept):
            prediction = Prediction((1,) * len(boxes), tuple(0.9 - 0.1 * np.arange(len(boxes))), instance_boxes=boxes)
            return precisions_by_category([prediction], kept)["apple"].mean()

        assert precision(np.array([*in_heap, *apples])) == precision(apples) == pytest.approx(1.0)  # none is wrong
        assert precision(np.array([[0.0, 0.0, 4.0, 4.0], *apples])) < 0.99
        assert heap.tolist() == [10, 30, 50, 16]


def edited(folder, edit):
    """The VIA export after `edit(content)`."""
    exports.via(folder)
    path = folder / "annotations.json"
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    edit(content)
    path.write_text(json.dumps(content))
    return folder


def first(**keys):
    return lambda content: content["annotations"][2].update(keys)  # the disc at the right border


ORDINARY = {
    "iscrowd false": first(iscrowd=False),
    "iscrowd null": first(iscrowd=None),
    "ids as text": first(id="two", image_id="0"),
    "ids as floats": first(id=2.0, image_id=0.0),
    "no area": lambda content: [annotation.pop("area", None) for annotation in content["annotations"]],
    "no bbox": lambda content: content["annotations"][2].pop("bbox"),
    "no bbox in a folder of boxes": lambda content: [
        content["annotations"][0].update(segmentation=[]),
        content["annotations"][2].pop("bbox"),
    ],
    "a flat polygon": first(segmentation=[44, 20, 60, 20, 60, 40, 44, 40], bbox=[44, 20, 16, 20]),
    "a box beyond by a hair": lambda content: [one.update(segmentation=[]) for one in content["annotations"]],
    "an empty polygon beside": first(segmentation=[[44, 20, 60, 20, 60, 40, 44, 40], []], bbox=[44, 20, 16, 20]),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_the_validator_takes_what_a_run_takes(tmp_path, name):
    folder = edited(tmp_path / "export", ORDINARY[name])
    assert sum(counts["export"] for counts in check_dataset(folder).instances.values()) == 9
    dataset = read_labelled_folder(folder, TOY)
    assert [image.instance_categories for image in dataset.images] == [(3, 1, 2)] * 3
    assert all((image.boxes[:, :2] + image.boxes[:, 2:] <= [64, 48]).all() for image in dataset.images)


def test_what_floating_point_adds_to_a_border_is_no_news(tmp_path):
    beyond = [[44, 20, 64.0000000001, 20, 64.0000000001, 40, 44, 40]]
    folder = edited(tmp_path / "masks", first(segmentation=beyond, bbox=[44, 20, 20.0000000001, 20]))
    assert check_dataset(folder).notices == (CONTESTED,)
    boxes = edited(tmp_path / "boxes", lambda content: [one.update(segmentation=[]) for one in content["annotations"]])
    content = json.loads((boxes / "annotations.json").read_text())
    for annotation in content["annotations"]:
        annotation["bbox"] = [44, 20, 20.0000000001, 20]
    (boxes / "annotations.json").write_text(json.dumps(content))
    assert check_dataset(boxes).notices == ()


WRONG = {
    "ids twice": (first(id=0), "annotation ids must differ, got 1 of them more than once: 0"),
    "a polygon far out": (first(segmentation=[[44, 20, 90, 20, 60, 40]]), "annotation 2: a polygon must stay inside"),
    "a line alone": (first(segmentation=[[44, 20, 60, 20]]), "annotation 2: a polygon must have x, y for 3 corners"),
    "corners of two boxes": (
        first(bbox=[44, 20, 64, 40]),
        "annotation 2: bbox must enclose the segmentation, [44.0, 20",
    ),
    "pairs": (first(segmentation=[{"x": 1, "y": 2}]), "annotations.2.segmentation: must be polygons, lists of numbers"),
    "neither": (first(segmentation=[], bbox=[]), "annotation 2 must have a bbox or a segmentation, got neither"),
    "two of a name": (
        lambda content: content["categories"][0].update(name="disc"),
        "names of categories must differ, got 'disc' twice with annotations, ids 1 and 2",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_validator_and_a_run_refuse_alike_in_words(tmp_path, name):
    edit, message = WRONG[name]
    folder = edited(tmp_path / "export", edit)
    with pytest.raises(ValueError) as by_validator:
        check_dataset(folder)
    with pytest.raises(ValueError) as by_run:
        read_labelled_folder(folder, TOY)
    assert message in str(by_run.value) and "\n" not in str(by_run.value)
    assert str(by_validator.value) == str(by_run.value)


def test_the_order_of_a_file_does_not_decide_which_mask_is_seen(tmp_path):
    exports.cvat(tmp_path / "one")
    exports.cvat(tmp_path / "other")
    path = tmp_path / "other/annotations.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["id"] = 100 - annotation["id"]
    path.write_text(json.dumps(content))
    for image, other in zip(read_coco(tmp_path / "one").images, read_coco(tmp_path / "other").images, strict=True):
        np.testing.assert_array_equal(image.semantic_mask, other.semantic_mask)
        for mask, of_other in zip(image.instance_masks, reversed(list(other.instance_masks)), strict=True):
            np.testing.assert_array_equal(mask, of_other)


def test_variants_of_an_image_keep_what_lies_below(tmp_path):
    exports.labelme(tmp_path / "export")
    for image in augmented(read_coco(tmp_path / "export"), 4, seed=1).images:
        masks = dict(zip(image.instance_categories, image.instance_masks, strict=True))
        if {1, 3} <= masks.keys():
            assert not (masks[3] & ~masks[1]).any() and image.masks_below is not None  # the triangle is on the square
            assert (image.semantic_mask[masks[3]] == 3).all()


def test_masks_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    exports.cvat(tmp_path / "export")
    for limit, message in ((500, "masks must have at most 500 pixels"), (3072, "masks must lie at most 1 deep")):
        monkeypatch.setattr(instance_layers, "MAX_BYTES", limit)
        with pytest.raises(ValueError, match=f"annotations.json: image 1.*{message}"):
            read_coco(tmp_path / "export")


def test_of_an_external_simulators_masks_the_higher_id_is_in_front(tmp_path):
    exports.cvat(tmp_path / "answer")
    path = tmp_path / "answer/annotations.json"
    content = json.loads(path.read_text()) | {"info": {"protocol_version": 1}}
    path.write_text(json.dumps(content))
    for image in read_answer(tmp_path / "answer", 3, ("square", "disc", "triangle")).images:
        assert image.instance_categories == (1, 2), "the triangle, listed first, is hidden by the square"
        assert image.masks_below is None


# Photographs


def with_first_picture(folder, content):
    exports.roboflow(folder)
    next((folder / "images").glob("photo-0*")).write_bytes(content)
    return folder


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [12, 16])
def test_photographs_of_16_bits_are_scaled_by_what_their_values_reach(tmp_path, channels, bits, caplog):
    full = 2**bits - 1
    shades = np.rint(np.linspace(0, full, exports.WIDTH)).astype(np.uint16)
    pixels = np.broadcast_to(shades[None, :, None], (exports.HEIGHT, exports.WIDTH, channels)).copy()
    if channels in (2, 4):
        pixels[..., -1] = 65535
    folder = with_first_picture(tmp_path / "export", exports.png_of_16_bits(pixels))
    dataset, said = read_as_a_run(folder, TOY, caplog)
    wanted = np.rint(shades * (255 / full)).astype(np.uint8)
    for channel in range(3):
        np.testing.assert_array_equal(dataset.images[0].image[..., channel], np.tile(wanted, (exports.HEIGHT, 1)))
    assert f"scaled 1 image of 16 bits a channel to 8: their values reach {full}" in said


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white_and_not_what_they_hide(tmp_path, mode, caplog):
    pixels = np.full((exports.HEIGHT, exports.WIDTH, 4), (200, 200, 200, 255), dtype=np.uint8)
    pixels[:, :20] = (10, 10, 10, 0)
    pixels[:, 20:30, 3] = 128
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture = Image.fromarray((pixels[..., 3] < 200).astype(np.uint8), "P")
        picture.putpalette([200, 200, 200, 10, 10, 10])
        picture.info["transparency"] = 1
    else:
        picture = picture.convert(mode)
    path = tmp_path / "picture.png"
    picture.save(path)
    dataset, said = read_as_a_run(with_first_picture(tmp_path / "export", path.read_bytes()), TOY, caplog)
    image = dataset.images[0].image
    assert (image[:, :20] == 255).all() and (image[:, 30:] == 200).all()
    assert (image[:, 20:30] == (255 if mode == "P" else 227)).all()
    assert "laid 1 image with transparent parts on white" in said


# A whole run

ENVIRONMENT = """
simulator:
  type: toy
  parameters:
    ambient_light: {distribution: gaussian, low: 0, high: 100, mean: 40, unit: "%"}
    square_x: {distribution: gaussian, low: -10, high: 10, mean: 0}
reference_data: {validation_folder: photos/validation, test_folder: photos/test}
task_model: TASK_MODEL
search: {trials: {objective: map}}
pilot: {num_images: 20}
training: {epochs: 1, first_epochs: 1}
loop: {num_images: 2, num_iterations: 1}
hypergradient: {max_steps: 1}
final_evaluation: {num_images: 2, own_network: {epochs: 1}}
"""


SEGMENTATION = "{type: unet, input_size: 16, base_channels: 4}"
DETECTION = "{type: yolov3_spp, input_size: 32, width: 0.0625}"
WRITERS = {
    "CVAT": exports.cvat,
    "Label Studio": exports.label_studio,
    "Roboflow": exports.roboflow,
    "labelme": exports.labelme,
    "VIA": exports.via,
}


@pytest.mark.parametrize(
    ("validation", "test", "task_model"),
    [
        ("CVAT", "labelme", SEGMENTATION),
        ("VIA", "Label Studio", SEGMENTATION),
        ("Roboflow", "Roboflow", DETECTION),  # boxes alone
    ],
)
def test_a_search_runs_on_an_export_and_keeps_every_instance(tmp_path, validation, test, task_model):
    project = copied_project(tmp_path)
    for seed, (folder, tool) in enumerate((("validation", validation), ("test", test))):
        WRITERS[tool](project / "photos" / folder, seed=seed)
        validated(project / "photos" / folder)
    (project / "conf/export").mkdir()
    (project / "conf/export/parameters.yml").write_text(ENVIRONMENT.replace("TASK_MODEL", task_model))
    command = [sys.executable, "-m", "kedro", "run", "--env", "export", "--params", "run=export"]
    finished = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    output = " ".join((finished.stdout + finished.stderr).split())
    assert finished.returncode == 0, output
    for line in (*NOTES[validation], *NOTES[test]):
        assert line in output
    assert (project / "data/08_reporting/export/report.html").is_file()
    kept = read_coco(next((project / "data/01_raw/export").glob("validation*")))
    read = read_labelled_folder(project / "photos/validation", TOY)
    assert [len(image.instance_categories) for image in kept.images] == [
        len(image.instance_categories) for image in read.images
    ]
    assert isinstance(kept, AnnotatedDataset) and kept.categories == TOY
