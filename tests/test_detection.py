"""What all detectors share: letterboxing, targets, and detections."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.task_models.detection import Letterbox, detections, prepare_detection, prepare_images

CATEGORIES = ("ape", "can")
BOXES = np.array([[10.0, 20.0, 30.0, 10.0], [-10.0, 0.0, 30.0, 12.0], [50.0, 20.0, 8.0, 8.0]])


def photograph(height, width, boxes=BOXES, categories=(1, 2, 2), fractions=(1.0, 0.4, 0.05)):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[20:30, 10:40] = 255
    return AnnotatedImage(pixels, np.zeros((height, width), np.uint8), categories, boxes, fractions)


def test_images_of_any_size_lie_in_the_middle_of_a_grey_square():
    dataset = AnnotatedDataset(CATEGORIES, (photograph(48, 64), photograph(64, 48)))
    images, (wide, tall) = prepare_images(dataset, 32, torch.device("cpu"))
    assert images.shape == (2, 3, 32, 32)
    assert wide == (0.5, 0, 4) and tall == (0.5, 4, 0)
    assert (images[0, :, :4] == 0).all() and (images[0, :, -4:] == 0).all()
    torch.testing.assert_close(images[0, :, 15:18, 6:19], torch.ones(3, 3, 13))  # rows 20 to 29 are now 14 to 18
    assert (images[1, :, :, :4] == 0).all()


def test_targets_are_boxes_in_network_pixels_cut_at_the_border_without_what_is_hidden():
    dataset = AnnotatedDataset(CATEGORIES, (photograph(48, 64), photograph(48, 64, BOXES[:1], (1,), None)))
    targets = prepare_detection(dataset, CATEGORIES, 32, torch.device("cpu")).targets
    expected = [[[1, 12.5, 16.5, 15, 5], [2, 5, 7, 10, 6]], [[1, 12.5, 16.5, 15, 5], [0, 0, 0, 0, 0]]]
    torch.testing.assert_close(targets, torch.tensor(expected))


def test_a_dataset_without_any_object_still_has_a_row_of_padding():
    empty = photograph(48, 64, BOXES[:0], (), ())
    targets = prepare_detection(AnnotatedDataset(CATEGORIES, (empty,)), CATEGORIES, 32, torch.device("cpu")).targets
    assert targets.shape == (1, 1, 5) and not targets.any()


def test_detections_come_back_in_image_pixels_one_for_each_object():
    dataset = AnnotatedDataset(CATEGORIES, (photograph(48, 64),))
    _, (letterbox,) = prepare_images(dataset, 32, torch.device("cpu"))
    corners = torch.tensor([[5.0, 14.0, 20.0, 19.0], [5.5, 14.0, 20.0, 19.0], [0.0, 4.0, 10.0, 10.0]])
    scores = torch.tensor([[0.9, 0.0], [0.8, 0.0005], [0.002, 0.7]])
    prediction = detections(corners, scores, letterbox)
    assert prediction.instance_categories == (1, 2, 1)
    assert prediction.instance_scores == pytest.approx((0.9, 0.7, 0.002))
    np.testing.assert_allclose(prediction.instance_boxes, [[10, 20, 30, 10], [0, 0, 20, 12], [0, 0, 20, 12]])
    by_category = detections(torch.stack([corners, corners + 1], dim=1), scores, letterbox)
    np.testing.assert_allclose(by_category.instance_boxes, [[10, 20, 30, 10], [2, 2, 20, 12], [0, 0, 20, 12]])


def test_the_100_most_certain_of_many_detections_are_kept():
    places = torch.arange(1200.0) * 10
    corners = torch.stack([places, places, places + 5, places + 5], dim=1)
    scores = torch.linspace(0.002, 0.9, 1200)[torch.randperm(1200, generator=torch.Generator().manual_seed(0))]
    prediction = detections(corners, scores[:, None], Letterbox(1.0, 0, 0))
    expected = scores.sort(descending=True).values[:100]
    np.testing.assert_allclose(prediction.instance_scores, expected)
    assert (scores[(prediction.instance_boxes[:, 0] / 10).round().astype(int)] == expected).all()


def test_wrong_datasets_are_refused():
    with pytest.raises(ValueError, match=r"dataset.categories must be \('can',\), got \('ape', 'can'\)"):
        prepare_detection(AnnotatedDataset(CATEGORIES, (photograph(48, 64),)), ("can",), 32, torch.device("cpu"))
    with pytest.raises(ValueError, match="dataset must have at least one image, got 0"):
        prepare_detection(AnnotatedDataset(CATEGORIES, ()), CATEGORIES, 32, torch.device("cpu"))
