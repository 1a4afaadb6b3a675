"""How well predictions agree with labels: loss, COCO AP of masks or boxes, and mIoU.

AP comes from faster-coco-eval itself and not through torchmetrics: the same numbers without its seconds of imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval import mask as coco_mask
from numpy.typing import NDArray
from torch import Tensor

from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport, Prediction


def evaluation_report(predictions: Sequence[Prediction], losses: Tensor, dataset: AnnotatedDataset) -> EvaluationReport:
    """Loss, AP@[.5:.95] and IoU of predictions for a labelled dataset; a detector has AP of boxes, and no IoU.

    A category that no image of the dataset shows has no AP and no IoU: it is left out of both means and both
    dictionaries. Its false predictions still cost the IoU of what they cover.

    Args:
        predictions: one for each image, at that image's size.
        losses: per-image losses, shape (number of images,).

    Raises:
        ValueError: if the numbers of images differ, a prediction has another size than its image, a loss is not
            finite, or no image shows an object.
    """
    if not len(predictions) == len(losses) == len(dataset):
        raise ValueError(
            f"predictions and losses must be as many as images ({len(dataset)}), "
            f"got {len(predictions)} and {len(losses)}"
        )
    for index, (prediction, image) in enumerate(zip(predictions, dataset.images, strict=True)):
        mask, wanted = prediction.semantic_mask, image.instance_mask.shape
        if mask is not None and mask.shape != wanted:
            raise ValueError(f"prediction {index} must have its image's size {wanted}, got {mask.shape}")
    if not bool(losses.isfinite().all()):
        raise ValueError(f"losses must be finite, got {losses[~losses.isfinite()][0].item()}")
    precisions = precisions_by_category(predictions, dataset)
    if not precisions:
        raise ValueError("dataset must show at least one object to evaluate on, got background alone")
    iou = iou_by_category(predictions, dataset)
    return EvaluationReport(
        loss=float(losses.mean()),
        map=float(np.mean(list(precisions.values()))),
        map50=float(np.mean([of_category[0] for of_category in precisions.values()])),
        miou=float(np.mean(list(iou.values()))) if iou else 0.0,
        ap_by_category={name: float(of_category.mean()) for name, of_category in precisions.items()},
        iou_by_category=iou,
        num_images=len(dataset),
    )


def iou_by_category(predictions: Sequence[Prediction], dataset: AnnotatedDataset) -> dict[str, float]:
    """Intersection over union of each category in the labels, both summed over the images, in [0, 1]; none of boxes."""
    num_classes = len(dataset.categories) + 1
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)  # labelled category by predicted category
    for prediction, image in zip(predictions, dataset.images, strict=True):
        if prediction.semantic_mask is None:
            return {}
        pairs = image.semantic_mask.astype(np.int64) * num_classes + prediction.semantic_mask
        confusion += np.bincount(pairs.ravel(), minlength=num_classes**2).reshape(num_classes, num_classes)
    intersection, labelled, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return {
        name: float(intersection[index] / (labelled[index] + predicted[index] - intersection[index]))
        for index, name in enumerate(dataset.categories, start=1)
        if labelled[index]
    }


def precisions_by_category(
    predictions: Sequence[Prediction], dataset: AnnotatedDataset
) -> dict[str, NDArray[np.float64]]:
    """COCO AP of each category in the labels at IoU .5, .55, … .95, shape (10,), in [0, 1].

    Of boxes if the predictions are boxes, otherwise of masks; at most 100 instances count for an image. Instances that
    can hardly be seen, and crowds, are ignored (`AnnotatedImage.counted`): neither to miss nor to find one costs
    anything.
    """
    by_boxes = any(prediction.instance_boxes is not None for prediction in predictions)
    images: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    shown: set[int] = set()
    for image_id, (prediction, image) in enumerate(zip(predictions, dataset.images, strict=True), start=1):
        height, width = image.instance_mask.shape
        images.append({"id": image_id, "height": height, "width": width})
        if prediction.instance_boxes is not None:
            of_image = _box_annotations(image_id, image.boxes, image.instance_categories)
            detected = _box_annotations(image_id, prediction.instance_boxes, prediction.instance_categories)
        elif prediction.instance_masks is not None:
            of_image = _mask_annotations(image_id, image.instance_masks, image.instance_categories)
            detected = _mask_annotations(image_id, prediction.instance_masks, prediction.instance_categories)
        else:
            raise ValueError(f"prediction {image_id - 1} must have instance_boxes or instance_masks, got neither")
        crowds = image.is_crowd or (False,) * len(of_image)
        for annotation, counts, crowd in zip(of_image, image.counted, crowds, strict=True):
            if counts:
                shown.add(annotation["category_id"])
            elif crowd:
                annotation["iscrowd"] = 1  # ignored too, and any number of detections may lie in it
            else:
                annotation["area"] = 0  # outside the range of areas that is evaluated, and so ignored
        labels += of_image
        detections += [
            {**annotation, "score": score}
            for annotation, score in zip(detected, prediction.instance_scores, strict=True)
        ]
    if not shown:
        return {}
    for annotation_id, annotation in enumerate(labels, start=1):  # the matcher takes id 0 for "no match"
        annotation["id"] = annotation_id
    labelled = COCO(
        {
            "images": images,
            "categories": [{"id": index, "name": name} for index, name in enumerate(dataset.categories, start=1)],
            "annotations": labels,
        }
    )
    kind = "bbox" if by_boxes else "segm"
    coco_eval = COCOeval_faster(labelled, labelled.loadRes(detections), kind, print_function=lambda _message: None)
    coco_eval.params.areaRng, coco_eval.params.areaRngLbl = [[1e-9, 1e10]], ["all"]
    coco_eval.evaluate()
    coco_eval.accumulate()
    # Axes: IoU threshold, recall, category, area range, number of detections (-1: 100).
    precision = coco_eval.eval["precision"][:, :, :, 0, -1]
    return {dataset.categories[index - 1]: precision[:, :, index - 1].mean(axis=1) for index in sorted(shown)}


def _box_annotations(image_id: int, boxes: NDArray[np.float64], categories: Sequence[int]) -> list[dict[str, Any]]:
    """COCO annotations of one image's boxes [x, y, width, height], shape (num_instances, 4)."""
    return [
        {"image_id": image_id, "category_id": category, "iscrowd": 0, "bbox": box.tolist(), "area": box[2] * box[3]}
        for category, box in zip(categories, boxes, strict=True)
    ]


def _mask_annotations(
    image_id: int, masks: Iterable[NDArray[np.bool_]], categories: Sequence[int]
) -> list[dict[str, Any]]:
    """COCO annotations of one image's instance masks, each of shape (height, width)."""
    return [
        {
            "image_id": image_id,
            "category_id": category,
            "iscrowd": 0,
            "segmentation": coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)),
            "area": np.count_nonzero(mask),
        }
        for category, mask in zip(categories, masks, strict=True)
    ]
