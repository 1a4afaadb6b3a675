"""YOLO folders of other programs: what is background, what is skipped, what is clipped, which layouts there are."""

from __future__ import annotations

import logging
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from autosimulate_pipeline.annotations import lack_of_masks, read_labelled_folder
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.annotations.notices import Notices
from autosimulate_pipeline.annotations.yolo import read_yolo
from autosimulate_pipeline.configuration import ConfigurationError, check_parameters
from autosimulate_pipeline.pipelines.reference_data.nodes import read_folders
from autosimulate_pipeline.simulators.toy import ToySimulator
from test_own_validation import parameters

CATEGORIES = ToySimulator.categories  # square, disc, triangle
WIDTH, HEIGHT = 80, 40

ULTRALYTICS = "train: images/train\nval: images/val\nnames: {0: triangle, 1: disc}\n"
ROBOFLOW = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['triangle', 'disc']\n"
CVAT = "names:\n  0: triangle\n  1: disc\npath: .\ntrain: train.txt\nval: val.txt\n"

DISC = "1 0.5 0.25 0.25 0.5\n"  # x 30 to 50, y 0 to 20
TRIANGLE = "0 0.125 0.75 0.25 0.5\n"  # x 0 to 20, y 20 to 40


def photograph(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def yolo_folder(folder, seed=0, data=ULTRALYTICS, places=("images/train", "images/val"), labels=(DISC, TRIANGLE)):
    """Two photographs in each place, named alike, of which the second of each has the same labels in another order."""
    write(folder / "data.yaml", data)
    for index, place in enumerate(places):
        for number in range(2):
            photograph(folder / place / f"{number}.jpg", [seed, index, number])
            text = "".join(labels[:: 1 - 2 * number])
            write(folder / place.replace("images", "labels") / f"{number}.txt", text)
    return folder


def read(folder):
    """The dataset and the lines on what was tolerated."""
    notices = Notices()
    return read_yolo(folder, CATEGORIES, notices), notices.lines


def test_a_run_reads_the_boxes_that_the_validator_counts(tmp_path):
    folder = yolo_folder(tmp_path / "own")
    assert check_dataset(folder).instances == {"triangle": {"train": 2, "val": 2}, "disc": {"train": 2, "val": 2}}
    dataset = read_labelled_folder(folder, CATEGORIES)
    assert dataset.categories == CATEGORIES and len(dataset) == 4
    assert [image.instance_categories for image in dataset.images] == [(2, 3), (3, 2)] * 2
    assert dataset.images[0].boxes.tolist() == [[30, 0, 20, 20], [0, 20, 20, 20]]
    with Image.open(folder / "images/train/0.jpg") as first:
        np.testing.assert_array_equal(dataset.images[0].image, np.asarray(first))


def test_a_photograph_without_labels_is_background_and_what_is_no_label_is_skipped(tmp_path, caplog):
    folder = yolo_folder(tmp_path / "own", labels=("\n", DISC, " \r\n", DISC))
    (folder / "labels/train/0.txt").unlink()
    write(folder / "labels/val/0.txt", "")
    for name in ("images/train/.DS_Store", "images/val/._1.jpg", "labels/val/._1.txt", "labels/train/classes.txt"):
        write(folder / name, "\0")
    contents = check_dataset(folder)
    assert contents.images == {"train": 2, "val": 2}
    assert contents.instances == {"triangle": {"train": 0, "val": 0}, "disc": {"train": 1, "val": 1}}
    told = (
        "took 1 photograph without a label file for background",
        "skipped 4 files that are no photographs or labels: .DS_Store, classes.txt, ._1.jpg, …",
        "skipped 2 lines of label files that repeat another",
        "skipped 4 blank lines of label files",
    )
    assert sorted(contents.notices) == sorted(told)
    assert all(line in str(contents) for line in told)
    with caplog.at_level(logging.WARNING):
        dataset = read_labelled_folder(folder, CATEGORIES)
    assert [image.instance_categories for image in dataset.images] == [(), (2,), (), (2,)]
    assert dataset.images[0].boxes.shape == (0, 4)
    assert sorted(record.getMessage() for record in caplog.records) == sorted(f"{folder}: {line}" for line in told)


def test_a_box_a_hair_beyond_the_border_is_clipped_and_a_byte_order_mark_is_none(tmp_path):
    folder = yolo_folder(tmp_path / "own", labels=("\ufeff1 0.9 0.5 0.205 0.5\n",))
    dataset, notices = read(folder)
    np.testing.assert_allclose(dataset.images[0].boxes, [[63.8, 10, 16.2, 20]], rtol=0, atol=1e-9)
    assert notices == ("clipped 4 boxes by at most 0.2 px",)
    write(folder / "labels/train/0.txt", "1 0.9 0.5 0.26 0.5\n")
    with pytest.raises(ValueError, match="labels/train/0.txt:1 must be a box within"):
        read(folder)
    write(folder / "labels/train/0.txt", "1.0 1 0.5 2e-9 0.5\n")
    assert len(read(folder)[0].images[0].instance_categories) == 1, "a class may be written 1.0"


def test_the_publishers_own_programs_layouts_are_read_and_each_split_alone(tmp_path):
    roboflow = yolo_folder(tmp_path / "roboflow", 1, ROBOFLOW, ("train/images", "valid/images", "test/images"))
    assert check_dataset(roboflow).images == {"train": 2, "val": 2, "test": 2}
    cvat = yolo_folder(tmp_path / "cvat", 2, CVAT)
    for split in ("train", "val"):
        write(cvat / f"{split}.txt", "".join(f"data/images/{split}/{number}.jpg\n" for number in range(2)))
    assert check_dataset(cvat).images == {"train": 2, "val": 2}
    for split in (roboflow / "valid", roboflow / "valid/images", cvat / "images/val"):
        assert check_dataset(split).images == {split.name: 2}
        dataset = read_labelled_folder(split, CATEGORIES)
        assert [image.instance_categories for image in dataset.images] == [(2, 3), (3, 2)]
    validation, test = read_folders(roboflow / "valid", roboflow / "test", ToySimulator())
    assert len(validation) == len(test) == 2
    write(cvat / "train.txt", "data/images/train/9.jpg\n")
    with pytest.raises(FileNotFoundError, match=r"train.txt:1 must name a file in .*, got 'data/images/train/9.jpg'"):
        check_dataset(cvat)


@pytest.mark.parametrize("place", ["images", "."])
def test_classes_txt_stands_for_data_yaml(tmp_path, place):
    """Label Studio's folder, and LabelImg's, where labels lie beside the photographs."""
    folder = yolo_folder(tmp_path / "own", places=(place,))
    (folder / "data.yaml").unlink()
    write(folder / "classes.txt", "triangle\ndisc\n")
    dataset, _ = read(folder)
    assert [image.instance_categories for image in dataset.images] == [(2, 3), (3, 2)]
    assert check_dataset(folder).instances == {"triangle": {"own": 2}, "disc": {"own": 2}}
    write(folder / "classes.txt", "\n")
    with pytest.raises(ValueError, match="classes.txt must have the name of a class in each line"):
        check_dataset(folder)


def test_labels_are_found_whose_name_a_mac_has_taken_apart(tmp_path):
    folder = yolo_folder(tmp_path / "own")
    for path in (folder / "images/train/0.jpg", folder / "labels/train/0.txt"):
        form = "NFC" if path.suffix == ".jpg" else "NFD"
        path.rename(path.with_stem(unicodedata.normalize(form, "Größe")))
    dataset, notices = read(folder)
    assert dataset.images[1].instance_categories == (2, 3) and not notices


def test_labels_of_a_photograph_in_another_format_are_not_lost_silently(tmp_path):
    folder = yolo_folder(tmp_path / "own")
    (folder / "images/val/1.jpg").rename(folder / "images/val/1.webp")
    for reads in (check_dataset, read):
        with pytest.raises(ValueError, match="1.txt must have an image in .*, got 1.webp, which is no PNG or JPEG"):
            reads(folder)


def test_other_classes_are_left_out_and_counted(tmp_path):
    folder = yolo_folder(tmp_path / "own", data=ULTRALYTICS.replace("disc", "dog"))
    dataset, notices = read(folder)
    assert [image.instance_categories for image in dataset.images] == [(3,)] * 4
    assert dataset.images[0].boxes.tolist() == [[0, 20, 20, 20]]
    assert notices == ("left out 4 boxes of classes that the simulator lacks: dog",)
    for text, got in (("0 .5 .5 .1 .1", "only cat"), ("", "4 images without labels")):
        write(folder / "data.yaml", ULTRALYTICS.replace("triangle", "cat"))
        for path in (folder / "labels").rglob("*.txt"):
            write(path, text)
        with pytest.raises(ValueError, match=f"must have at least 1 box of square, disc, triangle, got {got}"):
            read(folder)


def test_photographs_may_be_links_and_labels_may_not(tmp_path):
    folder = yolo_folder(tmp_path / "own")
    expected = read(folder)[0]
    for path in sorted((folder / "images").rglob("*.jpg")):
        path.symlink_to(path.rename(tmp_path / path.relative_to(folder).as_posix().replace("/", "-")))
    shutil.move(folder / "images/val", tmp_path / "val")
    (folder / "images/val").symlink_to(tmp_path / "val")
    for image, linked in zip(expected.images, read(folder)[0].images, strict=True):
        np.testing.assert_array_equal(linked.image, image.image)
    labels = folder / "labels/val/0.txt"
    labels.symlink_to(labels.rename(tmp_path / "labels.txt"))
    with pytest.raises(ValueError, match="labels/val/0.txt must stay inside .*, got a link to '.*labels.txt'"):
        read(folder)


def test_a_run_is_refused_for_a_network_that_needs_masks_and_takes_boxes(tmp_path):
    folders = [yolo_folder(tmp_path / name, seed) for seed, name in enumerate(("validation", "test"))]
    assert lack_of_masks(folders[0]) == f"{folders[0]} is a YOLO folder, whose labels are boxes"
    with pytest.raises(ConfigurationError, match="validation_folder must have masks .* is a YOLO folder"):
        check_parameters(parameters(*folders))
    check_parameters(parameters(*folders, type="yolov3_spp", input_size=64))
    shutil.copy(folders[0] / "images/val/0.jpg", folders[1] / "images/val/0.jpg")
    with pytest.raises(ValueError, match="test/images/val/0.jpg and .*validation/images/val/0.jpg are the same"):
        read_folders(*folders, ToySimulator())
