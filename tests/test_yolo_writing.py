"""YOLO folders: labels as worked out by hand, and what Ultralytics documents of the files around them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.annotations.yolo_writing import write_yolo_data, write_yolo_image
from autosimulate_pipeline.records import AnnotatedImage

HEIGHT, WIDTH = 10, 40


def image(instances, **extra):
    """An image with instances (category, rows, columns), the later ones in front."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for number, (_, rows, columns) in enumerate(instances, start=1):
        mask[rows, columns] = number
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return AnnotatedImage(pixels, mask, tuple(category for category, _, _ in instances), **extra)


def lines(folder, split="train", number=0):
    return (folder / "labels" / split / f"{number:06d}.txt").read_text().splitlines()


def test_boxes_are_shares_of_the_image_around_what_can_be_seen(tmp_path):
    full = (slice(0, 10), slice(0, 40))
    write_yolo_image(image([(2, *full), (1, slice(2, 7), slice(4, 14))]), tmp_path, "train", 0)
    assert lines(tmp_path) == ["1 0.500000 0.500000 1.000000 1.000000", "0 0.225000 0.450000 0.250000 0.500000"]
    one_pixel = image([(3, slice(9, 10), slice(39, 40))])
    write_yolo_image(one_pixel, tmp_path, "train", 1)
    assert lines(tmp_path, number=1) == ["2 0.987500 0.950000 0.025000 0.100000"]
    with Image.open(tmp_path / "images/train/000001.png") as written:
        np.testing.assert_array_equal(np.asarray(written), one_pixel.image)


def test_given_boxes_are_cut_at_the_border_and_what_can_hardly_be_seen_is_left_out(tmp_path):
    boxes = np.array([[-4.0, 2.0, 8.0, 4.0], [10.0, 0.0, 20.0, 5.0], [50.0, 0.0, 5.0, 5.0]])
    empty = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    boxes_alone = AnnotatedImage(pixels, empty, (1, 1, 2), instance_boxes=boxes, visible_fractions=(1.0, 0.05, 1.0))
    write_yolo_image(boxes_alone, tmp_path, "train", 0)
    assert lines(tmp_path) == ["0 0.050000 0.400000 0.100000 0.400000"]


def test_an_image_without_objects_has_an_empty_file(tmp_path):
    write_yolo_image(image([]), tmp_path, "val", 7)
    assert lines(tmp_path, "val", 7) == []


@pytest.fixture
def written(tmp_path):
    """Two training images and one for validation, of classes whose names YAML could take for something else."""
    for split, number, instances in (
        ("train", 0, [(1, slice(0, 3), slice(0, 3))]),
        ("train", 1, []),
        ("val", 2, [(2, slice(1, 9), slice(5, 30)), (2, slice(0, 1), slice(0, 1))]),
    ):
        write_yolo_image(image(instances), tmp_path, split, number)
    write_yolo_data(("no", "bolt: M6, λ"), ("train", "val"), tmp_path)
    return tmp_path


def test_data_file_names_splits_and_classes_and_no_place_on_this_machine(written):
    content = yaml.safe_load((written / "data.yaml").read_text(encoding="utf-8"))
    assert content == {"train": "images/train", "val": "images/val", "names": {0: "no", 1: "bolt: M6, λ"}}


def test_labels_are_where_ultralytics_looks_for_those_of_an_image(written):
    for path in (written / "images").rglob("*.png"):
        before, after = str(path).rsplit("/images/", 1)
        assert Path(f"{before}/labels/{after}").with_suffix(".txt").is_file()


def test_the_validator_counts_images_and_instances(written):
    contents = check_dataset(written)
    assert (contents.format, contents.images) == ("yolo", {"train": 2, "val": 1})
    assert contents.instances == {"no": {"train": 1, "val": 0}, "bolt: M6, λ": {"train": 0, "val": 2}}


BROKEN = {
    "a share above 1": ("labels/train/000000.txt", "0 0.5 0.5 0.2 1.2\n", "000000.txt:1 must be a box within"),
    "a box over the border": ("labels/train/000000.txt", "0 0.95 0.5 0.2 0.2\n", "000000.txt:1 must be a box within"),
    "an empty box": ("labels/val/000002.txt", "0 .5 .5 .1 .1\n1 0.5 0.5 0 0.2\n", "000002.txt:2 must be a box within"),
    "not a number": ("labels/train/000000.txt", "0 nan 0.5 0.2 0.2\n", "000000.txt:1 must be a box within"),
    "a class too many": ("labels/train/000000.txt", "2 0.5 0.5 0.2 0.2\n", "000000.txt:1 must be a class below 2"),
    "five numbers": ("labels/train/000000.txt", "0 0.5 0.5 0.2 0.2 1\n", "000000.txt:1 must be a class below 2"),
    "words": ("labels/train/000000.txt", "no 0.5 0.5 0.2 0.2\n", "000000.txt:1 must be a class and four numbers"),
    "labels without an image": ("labels/train/000009.txt", "", "000009.txt must have an image in"),
    "an image that is none": ("images/train/000000.png", "text", "000000.png must be a PNG or JPEG image"),
    "no val": ("data.yaml", "train: images/train\nnames: [no, yes]\n", "data.yaml: val: Field required"),
    "a gap in the classes": (
        "data.yaml",
        "train: images/train\nval: images/val\nnames: {0: a, 2: b}\n",
        "names must be a list, or number classes from 0",
    ),
    "a way out": ("data.yaml", "train: ../other\nval: images/val\nnames: [a, b]\n", "must name folders in"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_validator_names_what_is_wrong_in_one_line(written, name):
    path, text, message = BROKEN[name]
    (written / path).write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)) as refusal:
        check_dataset(written)
    assert "\n" not in str(refusal.value)
