"""Photographs under names of other systems, and behind links; what a link must not lead to."""

from __future__ import annotations

import os
import shutil
import unicodedata

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from autosimulate_pipeline.annotations import read_bop, read_labelled_folder, read_objects
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.annotations.photograph_files import find_photograph
from autosimulate_pipeline.cli import validate_dataset
from autosimulate_pipeline.configuration import ConfigurationError, check_parameters
from test_annotations import change
from test_own_validation import CATEGORIES, bop_scene, masks, parameters


def coco_folder(folder, seed=0):
    """A COCO folder with `photo 1.png` and `photo 2.png`."""

    def with_areas(content):
        for annotation in content["annotations"]:
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]

    change(masks(folder, seed), with_areas)
    return folder


@pytest.fixture
def own(tmp_path):
    return coco_folder(tmp_path / "own")


def renamed(folder, file, name):
    """Moves `photo 1.png` to `file`, and lets annotations.json call it `name`."""
    (folder / "images" / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / "images/photo 1.png").rename(folder / "images" / file)
    change(folder, lambda content: content["images"][0].update(file_name=name))


COMPOSED = unicodedata.normalize("NFC", "Größe.png")
DECOMPOSED = unicodedata.normalize("NFD", "Größe.png")

SPELLINGS = {
    "a Mac's files": (DECOMPOSED, COMPOSED),
    "a Mac's names": (COMPOSED, DECOMPOSED),
    "Windows": ("camera/1.png", "camera\\1.png"),
    "Windows and a Mac": (f"größen/{DECOMPOSED}", f"größen\\{COMPOSED}"),
    "Label Studio": ("1.png", "images/1.png"),
    "Label Studio on Windows": ("1.png", "images\\1.png"),
    "a folder of that name": ("images/1.png", "images/1.png"),
    "a URL": ("a b #1.png", "a%20b%20%231.png"),
    "the current folder": ("1.png", "./images/1.png"),
}


@pytest.mark.parametrize("system", SPELLINGS)
def test_a_name_of_another_system_is_found(own, system):
    expected = read_labelled_folder(own, CATEGORIES).images[0].image
    renamed(own, *SPELLINGS[system])
    np.testing.assert_array_equal(read_labelled_folder(own, CATEGORIES).images[0].image, expected)
    assert check_dataset(own).images == {"own": 2}


def test_a_name_as_it_is_comes_first(own):
    for number, name in enumerate((COMPOSED, DECOMPOSED, "a%20b.png", "a b.png", "a\\b.png")):
        Image.new("RGB", (2, 2), (number, 0, 0)).save(own / "images" / name)
    for name in (COMPOSED, DECOMPOSED, "a%20b.png", "a b.png", "a\\b.png"):
        assert find_photograph(own / "images", name, own).name == name


@pytest.mark.parametrize("name", ["img 1.PNG", "C:\\photos\\IMG 1.png", "images/IMG 1.jpeg", "other/IMG 1.jpg"])
def test_where_no_file_has_the_name_the_message_shows_the_one_named_alike(own, name):
    renamed(own, "IMG 1.jpg", name)
    for reads in (check_dataset, lambda folder: read_labelled_folder(folder, CATEGORIES)):
        with pytest.raises(
            FileNotFoundError, match="is missing: annotations.json names it .*; .*images has IMG 1.jpg$"
        ):
            reads(own)


@pytest.mark.parametrize(
    "name", ["..\\..\\secret.png", "%2e%2e/%2e%2e/secret.png", "images/../../../secret.png", "\\a.png"]
)
def test_no_spelling_leads_out_of_the_folder(own, name):
    Image.new("RGB", (60, 40)).save(own.parent / "secret.png")
    renamed(own, "1.png", name)
    with pytest.raises((FileNotFoundError, ValueError), match="is missing|must stay inside"):
        check_dataset(own)


def linked(path, target):
    """Moves the file or folder to `target` and leaves a link behind."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
    path.symlink_to(target)


def test_photographs_may_be_links_out_of_the_folder(own, tmp_path):
    expected = [image.image for image in read_labelled_folder(own, CATEGORIES).images]
    linked(own / "images/photo 1.png", tmp_path / "all/1")
    linked(own / "images", tmp_path / "elsewhere")
    for folder in (own, tmp_path / "link"):
        (tmp_path / "link").is_symlink() or (tmp_path / "link").symlink_to(own)
        images = read_labelled_folder(folder, CATEGORIES).images
        for image, pixels in zip(images, expected, strict=True):
            np.testing.assert_array_equal(image.image, pixels)
        assert check_dataset(folder).images == {folder.name: 2}


def test_pictures_of_a_bop_scene_may_be_links_and_its_json_may_not(tmp_path):
    folder = bop_scene(tmp_path / "scene", CATEGORIES, (1, 2, 3), (1, 2, 3))
    expected = read_bop(folder, read_objects(folder)).images[0]
    linked(folder / "000000/rgb/000000.png", tmp_path / "photograph")
    linked(folder / "000000/mask_visib", tmp_path / "masks")
    image = read_bop(folder, read_objects(folder)).images[0]
    np.testing.assert_array_equal(image.image, expected.image)
    np.testing.assert_array_equal(image.instance_mask, expected.instance_mask)
    linked(folder / "000000/scene_gt.json", tmp_path / "scene_gt.json")
    with pytest.raises(ValueError, match="scene_gt.json must stay inside .*, got a link to '.*/scene_gt.json'"):
        read_bop(folder, read_objects(folder))


ENDS = {
    "nowhere": (lambda path: None, "photo 1.png is missing: .*; it is a link to '.*/end', where no file is"),
    "a folder": (lambda path: path.mkdir(), "photo 1.png is missing"),
    "a pipe": (lambda path: os.mkfifo(path), "photo 1.png is missing"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "photo 1.png is missing"),
    "the kernel": (lambda path: path.symlink_to("/proc/self/environ"), "photo 1.png must be .*, got an empty file"),
    "text": (lambda path: path.write_text("secret"), "photo 1.png must be a PNG or JPEG image: cannot identify"),
    "itself": (lambda path: path.symlink_to(path), "photo 1.png is missing"),
}


@pytest.mark.parametrize("end", ENDS)
def test_at_the_end_of_a_link_must_be_an_image(own, tmp_path, end):
    make, message = ENDS[end]
    make(tmp_path / "end")
    (own / "images/photo 1.png").unlink()
    (own / "images/photo 1.png").symlink_to(tmp_path / "end")
    with pytest.raises((FileNotFoundError, ValueError), match=message) as refusal:
        check_dataset(own)
    assert "\n" not in str(refusal.value) and "secret" not in str(refusal.value)


def test_links_can_be_forbidden(tmp_path):
    validation, test = coco_folder(tmp_path / "validation", 0), coco_folder(tmp_path / "test", 1)
    linked(test / "images/photo 2.png", test / "images/inside.png")
    raw = parameters(validation, test)
    raw["reference_data"] |= {"allow_links": False}
    check_parameters(raw)
    linked(test / "images/photo 1.png", tmp_path / "all/1.png")
    message = "test_folder: .*photo 1.png must stay inside .*test, got a link to '.*all/1.png'$"
    with pytest.raises(ConfigurationError, match=f"^reference_data.{message}"):
        check_parameters(raw)
    raw["reference_data"] |= {"allow_links": True}
    check_parameters(raw)
    assert CliRunner().invoke(validate_dataset, [str(test)]).exit_code == 0
    refused = CliRunner().invoke(validate_dataset, [str(test), "--no-links"])
    assert refused.exit_code == 1 and "photo 1.png must stay inside" in refused.output
    assert CliRunner().invoke(validate_dataset, [str(validation), "--no-links"]).exit_code == 0


def test_a_forbidden_link_to_a_folder_is_named(tmp_path):
    validation, test = coco_folder(tmp_path / "validation", 0), coco_folder(tmp_path / "test", 1)
    shutil.move(validation / "images", tmp_path / "images")
    (validation / "images").symlink_to(tmp_path / "images")
    raw = parameters(validation, test)
    raw["reference_data"] |= {"allow_links": False}
    with pytest.raises(ConfigurationError, match="validation_folder: .*validation/images must stay inside"):
        check_parameters(raw)
