"""Evaluation against pycocotools and against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from autosimulate_pipeline.evaluation import evaluation_report, iou_by_category, precisions_by_category
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Prediction

CATEGORIES = ("cube", "ball", "cone")


def boxes(*corners, size=(24, 30)):
    """A mask with 1, 2, … inside the boxes (top, left, bottom, right)."""
    mask = np.zeros(size, dtype=np.uint8)
    for number, (top, left, bottom, right) in enumerate(corners, start=1):
        mask[top:bottom, left:right] = number
    return mask


def labelled(mask, categories):
    return AnnotatedImage(np.zeros((*mask.shape, 3), dtype=np.uint8), mask, categories)


def predicted(mask, categories, scores):
    semantic = np.array((0, *categories), dtype=np.uint8)[mask]
    masks = np.stack([mask == number for number in range(1, len(categories) + 1)]) if categories else mask[None][:0] > 0
    return Prediction(categories, scores, semantic, masks)


def random_case(seed, num_images=12):
    """Labels of one to three boxes in two of three categories; predictions shifted, recategorised, dropped, added."""
    rng = np.random.default_rng(seed)
    images, predictions = [], []
    for _ in range(num_images):
        corners = [(t, left, t + 8, left + 8) for t, left in zip(rng.integers(0, 16, 3), (0, 10, 20), strict=True)]
        count = int(rng.integers(1, 4))
        categories = tuple(int(c) for c in rng.integers(1, 3, count))
        images.append(labelled(boxes(*corners[:count]), categories))
        kept = int(rng.integers(0, 4))
        shifted = [(max(t + int(rng.integers(-2, 3)), 0), left, b, r) for t, left, b, r in corners[:kept]]
        guesses = tuple(c if rng.random() < 0.7 else 3 for c in (*categories, 1, 2)[:kept])
        predictions.append(predicted(boxes(*shifted), guesses, tuple(float(s) for s in rng.random(kept))))
    return AnnotatedDataset(CATEGORIES, tuple(images)), predictions


def as_boxes(dataset, predictions):
    """The same case for a detector: labels with boxes alone, predictions with the boxes around their masks."""
    images = [
        AnnotatedImage(image.image, image.instance_mask * 0, image.instance_categories, instance_boxes=image.boxes)
        for image in dataset.images
    ]
    detected = []
    for prediction in predictions:
        numbered = np.zeros(dataset.images[0].instance_mask.shape, dtype=np.uint8)
        for number, mask in enumerate(prediction.instance_masks, start=1):
            numbered[mask] = number
        around = labelled(numbered, prediction.instance_categories).boxes
        detected.append(Prediction(prediction.instance_categories, prediction.instance_scores, instance_boxes=around))
    return AnnotatedDataset(dataset.categories, tuple(images)), detected


def pycocotools_ap(dataset, predictions, kind="segm"):
    images, labels, results = [], [], []
    for image_id, (image, prediction) in enumerate(zip(dataset.images, predictions, strict=True), start=1):
        height, width = image.instance_mask.shape
        images.append({"id": image_id, "height": height, "width": width})
        for number, category in enumerate(image.instance_categories, start=1):
            rle = coco_mask.encode(np.asfortranarray(image.instance_mask == number, dtype=np.uint8))
            labels.append(
                {"id": len(labels) + 1, "image_id": image_id, "category_id": category, "segmentation": rle}
                | {"area": int(coco_mask.area(rle)), "iscrowd": 0, "bbox": coco_mask.toBbox(rle).tolist()}
            )
        for mask, category, score in zip(
            prediction.instance_masks, prediction.instance_categories, prediction.instance_scores, strict=True
        ):
            rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            results.append(
                {"image_id": image_id, "category_id": category, "score": score}
                | ({"segmentation": rle} if kind == "segm" else {"bbox": coco_mask.toBbox(rle).tolist()})
            )
    labelled_coco = COCO()
    labelled_coco.dataset = {
        "info": {},
        "images": images,
        "annotations": labels,
        "categories": [{"id": i, "name": name} for i, name in enumerate(dataset.categories, start=1)],
    }
    labelled_coco.createIndex()
    coco_eval = COCOeval(labelled_coco, labelled_coco.loadRes(results), kind)
    coco_eval.evaluate()
    coco_eval.accumulate()
    coco_eval.summarize()
    return coco_eval


@pytest.mark.parametrize("seed", range(4))
def test_ap_equals_pycocotools(seed):
    dataset, predictions = random_case(seed)
    reference = pycocotools_ap(dataset, predictions)
    report = evaluation_report(predictions, torch.ones(len(dataset)), dataset)
    assert report.map == pytest.approx(reference.stats[0], abs=1e-6)  # both average the same 101 recalls in float64
    assert 0.05 < report.map < 0.95
    assert report.map50 == pytest.approx(reference.stats[1], abs=1e-6)
    for index, name in enumerate(("cube", "ball")):
        assert report.ap_by_category[name] == pytest.approx(reference.eval["precision"][:, :, index, 0, -1].mean())


@pytest.mark.parametrize("seed", range(2))
def test_ap_of_boxes_equals_pycocotools(seed):
    dataset, predictions = random_case(seed)
    reference = pycocotools_ap(dataset, predictions, "bbox")
    dataset, predictions = as_boxes(dataset, predictions)
    report = evaluation_report(predictions, torch.ones(len(dataset)), dataset)
    assert report.map == pytest.approx(reference.stats[0], abs=1e-6)
    assert report.map50 == pytest.approx(reference.stats[1], abs=1e-6)
    assert report.miou == 0 and not report.iou_by_category


def test_instances_that_can_hardly_be_seen_cost_nothing():
    two_boxes = np.array([[0.0, 0.0, 8.0, 8.0], [12.0, 12.0, 10.0, 10.0]])

    def detector(fractions, found):
        image = AnnotatedImage(
            np.zeros((24, 30, 3), np.uint8), np.zeros((24, 30), np.uint8), (1, 1), two_boxes, fractions
        )
        prediction = Prediction((1,) * len(found), (0.9, 0.8)[: len(found)], instance_boxes=two_boxes[found])
        return evaluation_report([prediction], torch.ones(1), AnnotatedDataset(CATEGORIES, (image,))).map

    assert detector((1.0, 0.05), [0]) == detector((1.0, 0.05), [1, 0]) == 1.0  # missed or found: no matter
    assert detector((1.0, 0.5), [0]) == pytest.approx(51 / 101)  # half of the 101 recalls are reached


def test_a_perfect_prediction_scores_one_and_an_empty_one_zero():
    mask = boxes((2, 2, 10, 10), (12, 12, 20, 25))
    dataset = AnnotatedDataset(CATEGORIES, (labelled(mask, (1, 2)),))
    perfect = evaluation_report([predicted(mask, (1, 2), (0.9, 0.8))], torch.tensor([0.25]), dataset)
    assert (perfect.map, perfect.miou, perfect.loss, perfect.num_images) == (1.0, 1.0, 0.25, 1)
    assert set(perfect.ap_by_category) == set(perfect.iou_by_category) == {"cube", "ball"}  # no cone in the labels
    empty = evaluation_report([predicted(mask * 0, (), ())], torch.tensor([0.25]), dataset)
    assert (empty.map, empty.miou) == (0.0, 0.0)


def test_iou_sums_over_images_before_it_divides():
    first, second = boxes((0, 0, 10, 10)), boxes((0, 0, 10, 2))
    dataset = AnnotatedDataset(CATEGORIES, (labelled(first, (1,)), labelled(second, (1,))))
    predictions = [predicted(first, (1,), (0.5,)), predicted(boxes((0, 2, 10, 4)), (1,), (0.5,))]
    # Intersections 100 + 0, unions 100 + 40; the mean of the images' own IoUs would be 1/2.
    assert iou_by_category(predictions, dataset) == {"cube": pytest.approx(100 / 140)}


def test_a_wrong_category_costs_the_iou_of_the_label_and_not_of_itself():
    mask = boxes((0, 0, 10, 10), (10, 10, 20, 20))
    dataset = AnnotatedDataset(CATEGORIES, (labelled(mask, (1, 2)),))
    prediction = [predicted(mask, (1, 3), (0.9, 0.9))]
    assert iou_by_category(prediction, dataset) == {"cube": 1.0, "ball": 0.0}
    precisions = precisions_by_category(prediction, dataset)
    assert {name: values.mean() for name, values in precisions.items()} == {"cube": pytest.approx(1.0), "ball": 0.0}


def test_wrong_input_is_named():
    dataset, predictions = random_case(0, num_images=2)
    with pytest.raises(ValueError, match="as many as images"):
        evaluation_report(predictions[:1], torch.ones(2), dataset)
    with pytest.raises(ValueError, match="finite"):
        evaluation_report(predictions, torch.tensor([1.0, torch.nan]), dataset)
    with pytest.raises(ValueError, match="size"):
        evaluation_report([predictions[0], predicted(boxes(size=(8, 8)), (), ())], torch.ones(2), dataset)
    background = AnnotatedDataset(CATEGORIES, (labelled(boxes(), ()),))
    with pytest.raises(ValueError, match="background alone"):
        evaluation_report([predicted(boxes(), (), ())], torch.ones(1), background)


def test_nothing_is_printed_or_warned(capfd, recwarn):
    dataset, predictions = random_case(1)
    evaluation_report(predictions, torch.ones(len(dataset)), dataset)
    assert capfd.readouterr() == ("", "") and not recwarn.list
