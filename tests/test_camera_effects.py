"""What the hidden camera does to images: as strong as asked for, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.simulators.camera_effects import CameraEffects


def grey(level: int, size: int = 96) -> AnnotatedDataset:
    image = np.full((size, size, 3), level, dtype=np.uint8)
    return AnnotatedDataset(("thing",), (AnnotatedImage(image, np.ones((size, size), np.uint8), (1,)),))


def taken(dataset: AnnotatedDataset, seed: int = 0, **effects: float) -> np.ndarray:
    return CameraEffects.model_validate(effects).photographed(dataset, seed).images[0].image


def test_without_effects_nothing_changes_and_labels_never_do():
    dataset = grey(120)
    assert np.array_equal(taken(dataset), dataset.images[0].image)
    photographed = CameraEffects(blur=1, noise=9, colour_cast=0.2, jpeg_quality=40).photographed(dataset, 3)
    assert np.array_equal(photographed.images[0].instance_mask, dataset.images[0].instance_mask)
    assert photographed.images[0].image.shape == dataset.images[0].image.shape


def test_noise_goes_with_the_square_root_of_the_light():
    bright, dim = (taken(grey(level), noise=8).astype(float).std() for level in (200, 50))
    assert bright == pytest.approx(8 * np.sqrt(200 / 255), rel=0.03)
    assert bright / dim == pytest.approx(2, rel=0.05)


def test_blur_spreads_a_point_by_its_standard_deviation():
    dataset = grey(0)
    dataset.images[0].image[48, 48] = 255
    light = taken(dataset, blur=1.5)[..., 0].astype(float)
    row = light.sum(axis=0)
    spread = np.sqrt((row * (np.arange(96) - 48) ** 2).sum() / row.sum())
    assert spread == pytest.approx(1.5, rel=0.1)


def test_cast_tints_a_whole_image_and_every_image_otherwise():
    dataset = grey(100)
    pair = AnnotatedDataset(dataset.categories, dataset.images * 2)
    first, second = (image.image for image in CameraEffects(colour_cast=0.2).photographed(pair, 1).images)
    assert (first == first[0, 0]).all() and len({*first[0, 0].tolist()}) > 1
    assert not np.array_equal(first, second)


def test_the_same_seed_gives_the_same_bytes_and_a_worse_jpeg_is_further_off():
    dataset = grey(100)
    dataset.images[0].image[::7] = 30
    effects = {"blur": 0.5, "noise": 5, "colour_cast": 0.1, "jpeg_quality": 70}
    assert np.array_equal(taken(dataset, 4, **effects), taken(dataset, 4, **effects))
    assert not np.array_equal(taken(dataset, 4, **effects), taken(dataset, 5, **effects))
    errors = [
        abs(taken(dataset, jpeg_quality=quality).astype(float) - dataset.images[0].image).mean() for quality in (5, 95)
    ]
    assert errors[0] > 3 * errors[1]
