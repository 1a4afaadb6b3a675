"""The split, and the three layouts, held against pycocotools, counts by hand and the published rules."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools.coco import COCO

from autosimulate_pipeline.annotations import read_bop, read_coco, read_objects, write_bop
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.annotations.splitting import validation_images
from autosimulate_pipeline.annotations.training_sets import Part, TrainingSet
from autosimulate_pipeline.cli import validate_dataset
from autosimulate_pipeline.datasets import ShardDataset, TrainingSetDataset
from autosimulate_pipeline.pipelines.generate.card import contact_sheet
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Geometry
from autosimulate_pipeline.reporting.palette import category_colour

CATEGORIES, OBJECT_IDS = ("ape", "can", "never seen"), (5, 1, 9)


def test_every_category_has_its_share_in_validation():
    rng = np.random.default_rng(0)
    probabilities = np.array([0.9, 0.5, 0.3, 0.1, 0.05])
    shown = [tuple(np.flatnonzero(rng.random(5) < probabilities) + 1) for _ in range(1000)]
    is_validation = validation_images(shown, 0.1)
    assert abs(is_validation.sum() - 100) <= 3
    for category in range(1, 6):
        members = np.array([category in image for image in shown])
        share = is_validation[members].mean()
        assert abs(share - 0.1) < 0.02, (category, members.sum(), share)
    # Images in runs of 100 (a shard each): none is without validation images, as a block at the end would leave them.
    assert is_validation.reshape(10, 100).any(axis=1).all()
    np.testing.assert_array_equal(is_validation, validation_images(shown, 0.1))


@pytest.mark.parametrize(
    ("shown", "share", "expected"),
    [
        ([(1,), (1,)], 0.1, [False, True]),
        ([(), (), (), ()], 0.5, [False, True, False, True]),
        ([(1,), (2,), (2,), (2,)], 0.25, [False, False, False, True]),  # one image of a category: to train on
        ([(1, 2), (1,), (1, 2), (1,)], 0.5, [False, False, True, True]),  # 2 before 1, for it has fewer
    ],
)
def test_small_splits_worked_out_by_hand(shown, share, expected):
    assert validation_images(shown, share).tolist() == expected


def posed_image(seed, categories):
    """An image of blocks side by side, with poses and depth; a third one counts as hardly visible."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((24, 32), dtype=np.uint8)
    for index in range(len(categories)):
        mask[4 : 10 + index, 2 + 9 * index : 9 + 9 * index] = index + 1
    count = len(categories)
    geometry = Geometry(
        np.array([[60.0, 0, 16], [0, 60.0, 12], [0, 0, 1]]),
        np.tile(np.eye(3), (count, 1, 1)),
        np.tile([0.0, 0.0, 900.0], (count, 1)),
        depth_mm=np.where(mask > 0, 900.0, 0.0).astype(np.float32),
        full_masks=mask == np.arange(1, count + 1)[:, None, None],
    )
    fractions = tuple(0.05 if index == 2 else 1.0 for index in range(count))
    pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return AnnotatedImage(pixels, mask, tuple(categories), None, fractions, geometry)


SHARDS = [[posed_image(10 * shard + i, ((1, 2, 2), (2,), (), (1,))[i]) for i in range(4)] for shard in range(2)]
VALIDATION = (1, 4)  # numbers of images


def training_set(layout):
    def part(shard, split):
        chosen = [(4 * shard + i, image) for i, image in enumerate(SHARDS[shard])]
        chosen = [(number, image) for number, image in chosen if (number in VALIDATION) == (split == "val")]
        images = AnnotatedDataset(CATEGORIES, tuple(image for _, image in chosen), OBJECT_IDS)
        return Part(split, shard, tuple(number for number, _ in chosen), images)

    parts = (part(shard, split) for shard in range(2) for split in ("train", "val"))
    return TrainingSet(layout, CATEGORIES, OBJECT_IDS, parts, "# A card\n", Image.new("RGB", (8, 8)))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A folder in each layout, written by the dataset."""
    folder = tmp_path_factory.mktemp("sets")
    for layout in ("coco", "bop", "yolo"):
        TrainingSetDataset(str(folder / layout)).save(training_set(layout))
    return folder


@pytest.mark.parametrize("layout", ["coco", "bop", "yolo"])
def test_every_layout_holds_all_images_and_keeps_its_rules(sets, layout):
    contents = check_dataset(sets / layout)
    assert (contents.format, contents.images) == (layout, {"train": 6, "val": 2})
    # By hand: a shard has 2 apes, 2 cans and a sliver of a can that BOP alone keeps. For validation are image 1, a can,
    # and image 4, an ape, a can and a sliver.
    slivers = 1 if layout == "bop" else 0
    assert contents.instances["ape"] == {"train": 3, "val": 1}
    assert contents.instances["can"] == {"train": 2 + slivers, "val": 2 + slivers}
    assert contents.instances["never seen"] == {"train": 0, "val": 0}, "no category is dropped"
    assert (sets / layout / "README.md").read_text() == "# A card\n"
    assert TrainingSetDataset(str(sets / layout)).load() == sets / layout


def test_coco_set_as_pycocotools_reads_it(sets):
    for split, numbers in (("train", (0, 2, 3, 5, 6, 7)), ("val", VALIDATION)):
        coco = COCO(sets / "coco" / split / "annotations.json")
        assert [coco.cats[index]["name"] for index in (1, 2, 3)] == list(CATEGORIES)
        assert_labels(coco, {number + 1: number for number in numbers}, (1, 2, 3))


def test_bop_scenes_as_pycocotools_reads_them(sets):
    for scene, numbers in (("train_pbr/000000", (0, 2, 3)), ("val_pbr/000001", (4,))):
        coco = COCO(sets / "bop" / scene / "scene_gt_coco.json")
        assert {index: coco.cats[index]["name"] for index in coco.cats} == dict(
            zip(OBJECT_IDS, CATEGORIES, strict=True)
        )
        assert_labels(coco, {number: number for number in numbers}, OBJECT_IDS)
        assert all((sets / "bop" / scene / image["file_name"]).is_file() for image in coco.dataset["images"])


def assert_labels(coco, numbers, category_ids):
    """COCO's labels are those of the images that count; `numbers`: that of each image id."""
    assert set(coco.imgs) == set(numbers)
    for image_id, number in numbers.items():
        image = SHARDS[number // 4][number % 4]
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        assert Counter(a["category_id"] for a in annotations) == Counter(
            category_ids[category - 1]
            for category, counts in zip(image.instance_categories, image.counted, strict=True)
            if counts
        )
        for annotation, index in zip(annotations, np.flatnonzero(image.counted) + 1, strict=True):
            mask = image.instance_mask == index
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            assert isinstance(annotation["area"], int) and annotation["area"] == mask.sum() > 0
            assert min(annotation["bbox"][2:]) > 0


def test_bop_set_is_scenes_that_our_reader_gives_back(sets):
    root = sets / "bop"
    assert read_objects(root) == dict(zip(OBJECT_IDS, CATEGORIES, strict=True))
    assert sorted(path.name for path in (root / "train_pbr").iterdir()) == ["000000", "000001"]
    camera = json.loads((root / "camera.json").read_text())
    assert camera == {"cx": 16, "cy": 12, "depth_scale": 0.1, "fx": 60, "fy": 60, "height": 24, "width": 32}
    (image,) = read_bop(root / "val_pbr/000001", read_objects(root)).images
    np.testing.assert_array_equal(image.image, SHARDS[1][0].image)
    np.testing.assert_array_equal(image.geometry.depth_mm, SHARDS[1][0].geometry.depth_mm)
    np.testing.assert_array_equal(image.geometry.full_masks, SHARDS[1][0].geometry.full_masks)
    assert image.visible_fractions == (1.0, 1.0, 0.05)
    assert (root / "val_pbr/000001/rgb/000004.png").is_file(), "ids are those of the whole set"


def test_a_shard_is_loaded_as_what_reads_it(tmp_path):
    shard = ShardDataset(str(tmp_path / "shard"))
    assert not shard.exists()
    shard.save(AnnotatedDataset(CATEGORIES, tuple(SHARDS[0]), OBJECT_IDS))
    read = shard.load()
    assert shard.exists() and len(read()) == 4 and read().object_ids == OBJECT_IDS


def test_contact_sheet_shows_boxes_of_any_size(tmp_path):
    mask = np.zeros((480, 640), dtype=np.uint8)
    mask[0, 0], mask[100:300, 200:400] = 1, 2
    tiny = AnnotatedImage(np.full((480, 640, 3), 9, dtype=np.uint8), mask, (1, 2))
    sheet = np.asarray(contact_sheet(AnnotatedDataset(("a", "b"), (tiny,) * 7)))
    assert sheet.shape == (2 * 120, 6 * 160, 3), "two rows of six, a quarter of the size"
    assert sheet[0, 0].tolist() == list(category_colour(1))
    assert sheet[120 + 25, 60].tolist() == list(category_colour(2)) and sheet[120 + 30, 60].tolist() == [9, 9, 9]


def change_json(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def in_annotation(key, value):
    return lambda content: content["annotations"][0].__setitem__(key, value)


BROKEN = {
    "an empty box": ("coco/train/annotations.json", in_annotation("bbox", [2, 4, 0, 6]), "bbox must enclose the seg"),
    "another box": (
        "coco/train/annotations.json",
        in_annotation("bbox", [9, 9, 7, 6]),
        "bbox must enclose the segmentation",
    ),
    "a box outside": ("coco/train/annotations.json", in_annotation("bbox", [30, 4, 7, 6]), "bbox must enclose the seg"),
    "an unknown category": ("coco/train/annotations.json", in_annotation("category_id", 8), "one of [1, 2, 3], got 8"),
    "an id twice": ("coco/val/annotations.json", in_annotation("id", 2), "annotation ids must differ"),
    "a missing image": (
        "coco/val/annotations.json",
        lambda content: content["images"][0].__setitem__("file_name", "none.png"),
        "none.png is missing",
    ),
    "a way out": (
        "coco/val/annotations.json",
        lambda content: content["images"][0].__setitem__("file_name", "../../../x.png"),
        "must stay inside",
    ),
    "a stretched rotation": (
        "bop/train_pbr/000000/scene_gt.json",
        lambda content: content["0"][0].__setitem__("cam_R_m2c", [2, 0, 0, 0, 1, 0, 0, 0, 1]),
        "must be a rotation",
    ),
    "an object without a name": (
        "bop/train_pbr/000000/scene_gt.json",
        lambda content: content["0"][0].__setitem__("obj_id", 77),
        "obj_id must be in objects.json, got 77",
    ),
    "no camera": ("bop/camera.json", lambda content: content.pop("fx"), "camera.json: fx: Field required"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_validator_names_what_is_wrong_in_one_line(sets, tmp_path, name):
    path, edit, message = BROKEN[name]
    layout = path.split("/")[0]
    shutil.copytree(sets / layout, tmp_path / layout)
    change_json(tmp_path / path, edit)
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        check_dataset(tmp_path / layout)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["rgb", "depth"])
def test_the_validator_decodes_the_pictures_of_a_bop_scene(sets, tmp_path, kind):
    shutil.copytree(sets / "bop", tmp_path / "bop")
    picture = tmp_path / "bop/val_pbr/000000" / kind / "000001.png"
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"{kind}/000001.png must be a PNG or JPEG image") as refusal:
        check_dataset(tmp_path / "bop")
    assert "\n" not in str(refusal.value)


def test_the_validator_takes_a_folder_or_scene_of_anyones_and_refuses_another(sets, tmp_path):
    assert check_dataset(sets / "coco/val").images == {"val": 2}
    write_bop(AnnotatedDataset(CATEGORIES, tuple(SHARDS[0]), OBJECT_IDS), tmp_path / "scene")
    assert check_dataset(tmp_path / "scene").instances["ape"] == {"scene": 2}
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="must hold .* got none of these"):
        check_dataset(tmp_path / "empty")


def test_the_command_counts_or_fails_in_one_line(sets, tmp_path):
    told = CliRunner().invoke(validate_dataset, [str(sets / "yolo")])
    assert (told.exit_code, told.output.splitlines()[0]) == (0, "yolo: 8 images (train 6, val 2)")
    refused = CliRunner().invoke(validate_dataset, [str(tmp_path)])
    assert refused.exit_code == 1 and refused.output.startswith(f"Error: {tmp_path} must hold")
    assert len(refused.output.splitlines()) == 1


def test_the_coco_splits_are_folders_that_a_run_can_validate_on(sets):
    assert read_coco(sets / "coco/train").categories == CATEGORIES
