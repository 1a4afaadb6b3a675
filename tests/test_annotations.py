"""COCO folders: exact round trips, agreement with pycocotools, one clear line for whatever is wrong."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from autosimulate_pipeline.annotations import read_coco, write_coco
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage


def random_dataset():
    """Images of several sizes with up to 3 speckled instances, one image without any."""
    rng = np.random.default_rng(0)
    images = []
    for height, width, count in ((20, 31, 3), (33, 17, 1), (9, 9, 0), (64, 80, 2)):
        mask = rng.integers(0, count + 1, (height, width), dtype=np.uint8)
        categories = tuple(int(category) for category in rng.integers(1, 4, count))
        images.append(AnnotatedImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), mask, categories))
    return AnnotatedDataset(("cube", "ball", "cone"), tuple(images))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco") / "dataset"
    write_coco(random_dataset(), folder)
    return folder


@pytest.fixture
def copied(written, tmp_path):
    return shutil.copytree(written, tmp_path / "dataset")


def change(folder, edit):
    """Rewrites annotations.json after `edit(content)`."""
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_round_trip_is_exact(written):
    dataset, again = random_dataset(), read_coco(written)
    assert again.categories == dataset.categories and len(again) == len(dataset)
    for image, image_again in zip(dataset.images, again.images, strict=True):
        np.testing.assert_array_equal(image_again.image, image.image)
        np.testing.assert_array_equal(image_again.instance_mask, image.instance_mask)
        assert image_again.instance_mask.dtype == np.uint8
        assert image_again.instance_categories == image.instance_categories


def test_equal_datasets_give_equal_bytes_and_a_used_folder_is_kept(written, tmp_path):
    write_coco(random_dataset(), tmp_path / "again")
    for path in (path for path in written.rglob("*") if path.is_file()):
        assert (tmp_path / "again" / path.relative_to(written)).read_bytes() == path.read_bytes()
    with pytest.raises(FileExistsError, match="empty"):
        write_coco(random_dataset(), tmp_path / "again")


def test_pycocotools_reads_the_same_masks(written):
    coco, dataset = COCO(str(written / "annotations.json")), random_dataset()
    for image_id, image in enumerate(dataset.images, start=1):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        assert [annotation["category_id"] for annotation in annotations] == list(image.instance_categories)
        for number, annotation in enumerate(annotations, start=1):
            mask = image.instance_mask == number
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation["bbox"] == box and annotation["area"] == mask.sum()


def own_folder(folder, segmentations, category_ids, size=(10, 12), suffix="png"):
    """A user's folder with one image and (segmentation, box) annotations."""
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (size[1], size[0]), (10, 20, 30)).save(folder / "images" / f"a.{suffix}")
    content = {
        "info": {"year": 2024},
        "images": [{"id": 40, "file_name": f"a.{suffix}", "width": size[1], "height": size[0], "license": 1}],
        "annotations": [
            {"id": i, "image_id": 40, "category_id": c, "segmentation": s, "bbox": b, "iscrowd": 0, "area": 1.5}
            for i, ((s, b), c) in enumerate(zip(segmentations, category_ids, strict=True))
        ],
        "categories": [{"id": 90, "name": "late"}, {"id": 7, "name": "early", "supercategory": "x"}],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_polygons_sparse_ids_and_jpeg_are_read(tmp_path):
    square = ([[2, 3, 6, 3, 6, 8, 2, 8]], [2, 3, 4, 5])
    dataset = read_coco(own_folder(tmp_path / "own", [square], [90], suffix="jpg"))
    assert dataset.categories == ("early", "late") and dataset.images[0].instance_categories == (2,)
    expected = np.zeros((10, 12), dtype=np.uint8)
    expected[3:8, 2:6] = 1
    np.testing.assert_array_equal(dataset.images[0].instance_mask, expected)


def test_overlapping_instances_keep_their_masks_and_the_smaller_lies_on_the_larger(tmp_path):
    def runs(top, bottom):  # rows top to bottom of all 12 columns, uncompressed, in column order
        return {
            "size": [10, 12],
            "counts": [top] + [bottom - top, 10 - bottom + top] * 11 + [bottom - top, 10 - bottom],
        }

    segmentations = [(runs(0, 4), [0, 0, 12, 4]), (runs(2, 3), [0, 2, 12, 1]), (runs(2, 6), [0, 2, 12, 4])]
    folder = own_folder(tmp_path / "own", segmentations, [7, 7, 90])
    dataset = read_coco(folder)
    write_coco(dataset, tmp_path / "again")
    for image in (dataset.images[0], read_coco(tmp_path / "again").images[0]):
        assert image.instance_categories == (1, 1, 2)
        assert image.instance_mask[:, 0].tolist() == [1, 1, 2, 3, 3, 3, 0, 0, 0, 0]  # of equal ones the later is above
        assert image.masks_below[:, :, 0].tolist() == [[0, 0, 3, 1] + [0] * 6, [0, 0, 1, 0] + [0] * 6]
        rows = [mask[:, 0].nonzero()[0].tolist() for mask in image.instance_masks]
        assert rows == [[0, 1, 2, 3], [2], [2, 3, 4, 5]]
        assert image.boxes.tolist() == [[0, 0, 12, 4], [0, 2, 12, 1], [0, 2, 12, 4]]


def set_in(kind, key, value):
    return lambda content: content[kind][0].__setitem__(key, value)


MALFORMED = {
    "a name with ..": (set_in("images", "file_name", "../../secret.png"), "inside"),
    "an absolute name": (set_in("images", "file_name", "/etc/passwd"), "inside"),
    "a missing image": (set_in("images", "file_name", "none.png"), "none.png is missing"),
    "another image size": (set_in("images", "width", 30), "30x20"),
    "a huge image": (set_in("images", "width", 10**9), "images.0.width"),
    "another mask size": (set_in("annotations", "segmentation", {"size": [3, 3], "counts": [9]}), r"\[20, 31\]"),
    "a mask too short": (set_in("annotations", "segmentation", {"size": [20, 31], "counts": [3, 3]}), "620"),
    "a negative run": (set_in("annotations", "segmentation", {"size": [20, 31], "counts": [700, -80]}), "at least 0"),
    "counts that are no RLE": (set_in("annotations", "segmentation", {"size": [20, 31], "counts": "~~"}), "got '~'"),
    "counts cut off": (
        set_in("annotations", "segmentation", {"size": [20, 31], "counts": "oo"}),
        "a text that is cut off",
    ),
    "an empty mask": (set_in("annotations", "segmentation", {"size": [20, 31], "counts": [620]}), "one pixel"),
    "an odd polygon": (set_in("annotations", "segmentation", [[1, 1, 5, 1, 5]]), "3 corners"),
    "a polygon outside": (set_in("annotations", "segmentation", [[1, 1, 500, 1, 5, 5]]), "inside the image"),
    "another box": (set_in("annotations", "bbox", [9, 9, 3, 3]), "bbox"),
    "an unknown category": (set_in("annotations", "category_id", 9), "category_id"),
    "an unknown image": (set_in("annotations", "image_id", 9), "image_id"),
    "an id twice": (set_in("annotations", "id", 2), "annotation ids"),
    "no annotations": (lambda content: content["annotations"].clear(), "annotations"),
    "no images key": (lambda content: content.pop("images"), "images: Field required"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_content_is_named_in_one_line(copied, name):
    edit, message = MALFORMED[name]
    change(copied, edit)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as refusal:
        read_coco(copied)
    assert "\n" not in str(refusal.value)


def test_missing_or_broken_files_are_named(copied, tmp_path):
    (copied / "images" / "000001.png").write_bytes((copied / "images" / "000001.png").read_bytes()[:200])
    with pytest.raises(ValueError, match="000001.png must be a PNG or JPEG"):
        read_coco(copied)
    (copied / "annotations.json").write_text("{")
    with pytest.raises(ValueError, match="annotations.json: content: Invalid JSON"):
        read_coco(copied)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="annotations.json is missing"):
            read_coco(folder)
