"""Labelled images of a user's own: COCO or BOP, masks or boxes, categories by name, nothing in both folders."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from autosimulate_pipeline.annotations import read_coco, read_labelled_folder, write_bop, write_coco
from autosimulate_pipeline.configuration import ConfigurationError, check_parameters
from autosimulate_pipeline.datasets import AnnotatedImagesDataset
from autosimulate_pipeline.pipelines.reference_data.nodes import read_folders
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Geometry
from autosimulate_pipeline.simulators.toy import ToySimulator
from test_configuration import load

CATEGORIES = ToySimulator.categories  # square, disc, triangle
SIZES = ((40, 60), (33, 21))


def labelled(folder, names, annotations, seed=0, **photograph):
    """A COCO folder with two images; `annotations` are (image, category name, box, further keys)."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images = []
    for number, (height, width) in enumerate(SIZES, start=1):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"photo {number}.png")
        images.append({"id": number, "file_name": f"photo {number}.png", "width": width, "height": height})
    ids = {name: 10 * index + 7 for index, name in enumerate(names)}
    content = {
        "images": images,
        "categories": [{"id": ids[name], "name": name} for name in reversed(names)],
        "annotations": [
            {"id": index, "image_id": image, "category_id": ids[name], "bbox": box, **more}
            for index, (image, name, box, more) in enumerate(annotations, start=1)
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def polygon(x, y, width, height):
    return {"segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]]}


def masks(folder, seed=0):
    """A folder with masks of all three categories, in another order than the simulator's."""
    boxes = [(1, "triangle", [30, 5, 8, 10]), (1, "square", [2, 3, 10, 12]), (2, "disc", [4, 20, 9, 9])]
    annotations = [(*entry, polygon(*entry[2])) for entry in boxes]
    return labelled(folder, ["triangle", "unused", "disc", "square"], annotations, seed)


def boxes_alone(folder, seed=0):
    annotations = [
        (1, "disc", [30.5, 5, 8, 10.25], {"segmentation": []}),
        (1, "disc", [2, 3, 10, 12], {}),
        (2, "square", [0, 0, 21, 33], {"segmentation": None}),
    ]
    return labelled(folder, ["disc", "square"], annotations, seed)


def test_categories_go_by_name_whatever_their_order_and_ids(tmp_path):
    dataset = read_labelled_folder(masks(tmp_path / "own"), CATEGORIES)
    assert dataset.categories == CATEGORIES
    assert [image.instance_categories for image in dataset.images] == [(3, 1), (2,)]
    assert [image.image.shape[:2] for image in dataset.images] == list(SIZES)
    assert dataset.images[0].semantic_mask[6, 31] == 3 and dataset.images[0].semantic_mask[4, 4] == 1


def test_boxes_without_masks_are_the_labels_and_make_the_round_trip(tmp_path):
    dataset = read_labelled_folder(boxes_alone(tmp_path / "own"), CATEGORIES)
    kept = AnnotatedImagesDataset(str(tmp_path / "kept"))
    kept.save(dataset)
    for images in (dataset.images, kept.load().images):
        assert [image.instance_categories for image in images] == [(2, 2), (1,)]
        assert images[0].boxes.tolist() == [[30.5, 5, 8, 10.25], [2, 3, 10, 12]]
        assert not any(image.instance_mask.any() for image in images)


def test_one_annotation_without_a_mask_makes_all_of_the_folder_boxes(tmp_path):
    annotations = [(1, "disc", [2, 3, 10, 12], polygon(2, 3, 10, 12)), (2, "disc", [0, 0, 9, 9], {})]
    dataset = read_coco(labelled(tmp_path / "own", ["disc"], annotations))
    assert not dataset.images[0].instance_mask.any() and dataset.images[0].boxes.tolist() == [[2, 3, 10, 12]]


@pytest.mark.parametrize("box", [[5, 5, 0, 4], [5, 5, 4, -1], [50, 5, 20, 4], [-9, 5, 20, 4]])
def test_a_box_without_an_area_or_outside_the_image_is_refused(tmp_path, box):
    with pytest.raises(ValueError, match="annotation 1: bbox must be .* in the image of 60x40") as refusal:
        read_coco(labelled(tmp_path / "own", ["disc"], [(1, "disc", box, {})]))
    assert "\n" not in str(refusal.value)


def test_labels_of_categories_that_the_simulator_lacks_are_left_out_or_hide_what_they_lie_on(tmp_path, caplog):
    square, dog, disc = (2, 3, 10, 12), (4, 5, 4, 4), (4, 20, 9, 9)
    annotations = [(1, "square", [*square], polygon(*square)), (1, "dog", [*dog], polygon(*dog))]
    folder = labelled(tmp_path / "own", ["square", "dog", "disc"], [*annotations, (2, "disc", [*disc], polygon(*disc))])
    with caplog.at_level(logging.WARNING):
        left_out = read_labelled_folder(folder, CATEGORIES).images
        background = read_labelled_folder(folder, CATEGORIES, others="background").images
    for images in (left_out, background):
        assert [image.instance_categories for image in images] == [(1,), (2,)]
        assert images[0].boxes.tolist() == [[*square]] and images[0].masks_below is None
    assert [image.semantic_mask[6, 5] for image in (left_out[0], background[0])] == [1, 0]
    assert left_out[0].instance_mask.sum() == 120 and background[0].instance_mask.sum() == 120 - 16
    lines = [record.getMessage() for record in caplog.records]
    assert f"{folder}: left out 1 annotation of categories that the simulator lacks: dog" in lines
    assert f"{folder}: took 1 annotation of categories that the simulator lacks for background: dog" in lines


def test_a_folder_without_any_category_of_the_simulator_is_refused(tmp_path):
    folder = labelled(tmp_path / "own", ["disc", "dog"], [(1, "dog", [1, 1, 5, 5], {})])
    with pytest.raises(ValueError, match="must be the simulator's, square, disc, triangle, got dog"):
        read_labelled_folder(folder, CATEGORIES)


def test_a_photograph_is_turned_as_its_exif_says(tmp_path):
    upright = np.zeros((64, 32, 3), dtype=np.uint8)
    upright[:16] = 255  # a bright top
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90° clockwise, so stored turned by 90° the other way
    (tmp_path / "images").mkdir()
    Image.fromarray(np.rot90(upright)).save(tmp_path / "images/a.jpg", exif=exif, quality=95)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 32, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 32, 16]}],
        "categories": [{"id": 1, "name": "disc"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    image = read_coco(tmp_path).images[0].image
    assert image.shape == (64, 32, 3) and image[:15].min() > 200 and image[17:].max() < 55
    content["images"][0] |= {"width": 64, "height": 32}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="a.jpg must be 64x32 as in annotations.json, got 32x64"):
        read_coco(tmp_path)


def bop_scene(folder, names, object_ids, categories, has_objects=True, seed=0):
    """A BOP scene with one image of an instance for each of `categories` (from 1, among `names`)."""
    count = len(categories)
    mask = np.zeros((24, 40), dtype=np.uint8)
    for index in range(count):
        mask[5:15, 2 + 9 * index : 9 + 9 * index] = index + 1
    geometry = Geometry(np.diag([20.0, 20.0, 1.0]), np.tile(np.eye(3), (count, 1, 1)), np.full((count, 3), 700.0))
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    image = AnnotatedImage(pixels, mask, tuple(categories), geometry=geometry)
    write_bop(AnnotatedDataset(tuple(names), (image,), tuple(object_ids)), folder)
    if not has_objects:
        (folder / "objects.json").unlink()
    return folder


def test_bop_objects_go_by_name_or_by_the_ids_of_the_simulator(tmp_path):
    names, ids = ("disc", "dog", "triangle", "square"), (9, 3, 4, 1)
    named = read_labelled_folder(bop_scene(tmp_path / "named", names, ids, (2, 1, 4)), CATEGORIES)
    assert named.images[0].instance_categories == (2, 1), "the dog is left out"
    assert named.object_ids == (1, 9, 4)
    folder = bop_scene(tmp_path / "ids", names, ids, (2, 1, 4), has_objects=False)
    by_id = read_labelled_folder(folder, CATEGORIES, object_ids=(3, 9, 1))
    assert by_id.images[0].instance_categories == (1, 2, 3)
    with pytest.raises(FileNotFoundError, match="objects.json is missing: it says which BOP object"):
        read_labelled_folder(folder, CATEGORIES)
    lacking = bop_scene(tmp_path / "lacking", names[:3], ids[:3], (1,))
    with pytest.raises(ValueError, match="objects.json must name all of square, disc, triangle, got no square"):
        read_labelled_folder(lacking, CATEGORIES)


def test_both_folders_may_have_any_layout(tmp_path, caplog):
    scene = bop_scene(tmp_path / "scene", CATEGORIES, (1, 2, 3), (1, 2, 3))
    with caplog.at_level(logging.WARNING):
        validation, test = read_folders(masks(tmp_path / "own"), scene, ToySimulator())
    assert (validation.categories, test.categories) == (CATEGORIES, CATEGORIES)
    assert not caplog.records


def test_an_image_in_both_folders_is_refused_whatever_its_name(tmp_path):
    validation, test = masks(tmp_path / "val", seed=0), masks(tmp_path / "test", seed=1)
    assert len(read_folders(validation, test, ToySimulator())[1]) == 2
    with Image.open(validation / "images/photo 2.png") as copied:
        copied.save(test / "images/photo 2.png", compress_level=1)  # other bytes, the same pixels
    with pytest.raises(
        ValueError, match="test/images/photo 2.png and .*val/images/photo 2.png are the same"
    ) as refusal:
        read_folders(validation, test, ToySimulator())
    assert "\n" not in str(refusal.value)


def test_a_category_without_an_instance_is_told_and_allowed(tmp_path, caplog):
    validation, test = boxes_alone(tmp_path / "val", seed=0), masks(tmp_path / "test", seed=1)
    with caplog.at_level(logging.WARNING):
        read_folders(validation, test, ToySimulator())
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith(f"{validation} shows no triangle")


def parameters(validation, test, **task_model):
    raw = load("local")
    raw["reference_data"] |= {"validation_folder": str(validation), "test_folder": str(test)}
    raw["task_model"] = task_model or raw["task_model"]
    raw["search"] |= {"trials": {"objective": "map"}}
    return raw


def test_a_segmentation_network_needs_masks_and_says_so_before_anything_happens(tmp_path):
    validation, test = boxes_alone(tmp_path / "val", seed=0), masks(tmp_path / "test", seed=1)
    with pytest.raises(ConfigurationError, match="^reference_data.validation_folder must have masks") as refusal:
        check_parameters(parameters(validation, test))
    assert "annotation 1 has no segmentation" in str(refusal.value) and "\n" not in str(refusal.value)
    check_parameters(parameters(validation, test, type="yolov3_spp", input_size=64))
    scene = bop_scene(tmp_path / "scene", CATEGORIES, (1, 2, 3), (1, 2, 3))
    check_parameters(parameters(test, scene))
    shutil.rmtree(scene / "000000/mask_visib")
    with pytest.raises(ConfigurationError, match="test_folder must have masks .* has no mask_visib"):
        check_parameters(parameters(test, scene))
    (test / "annotations.json").write_text("{")
    with pytest.raises(ConfigurationError, match="reference_data.validation_folder: .*annotations.json: content"):
        check_parameters(parameters(test, scene))


@pytest.mark.parametrize("key", ["test_folder", "bop_scene"])
def test_a_bop_scene_without_images_is_named(tmp_path, key):
    scene = bop_scene(tmp_path / "scene", CATEGORIES, (1, 2, 3), (1, 2, 3))
    for name in ("scene_gt", "scene_gt_info", "scene_camera"):
        (scene / f"000000/{name}.json").write_text("{}")
    raw = parameters(masks(tmp_path / "own"), scene)
    if key == "bop_scene":
        raw["reference_data"] |= {"validation_folder": None, "test_folder": None, "bop_scene": {"folder": str(scene)}}
    with pytest.raises(ConfigurationError, match=f"{key}: .*scene_gt.json must hold at least 1 image, got 0$"):
        check_parameters(raw)


def test_written_boxes_of_a_detector_have_areas_as_numbers(tmp_path):
    dataset = read_coco(boxes_alone(tmp_path / "own"))
    write_coco(dataset, tmp_path / "again")
    annotations = json.loads((tmp_path / "again/annotations.json").read_text())["annotations"]
    assert [annotation["area"] for annotation in annotations] == [8 * 10.25, 120, 693]
    assert all(annotation["segmentation"] == [] for annotation in annotations)
