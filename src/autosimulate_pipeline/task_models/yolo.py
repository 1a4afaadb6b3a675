"""The YOLOv3 detector as a task model: which box answers for which object, the loss, and boxes from raw numbers.

A box has a cell (column c, row r of its grid, of stride s pixels), an anchor (a_w, a_h), and raw numbers t. Its centre
is (c + σ(t_x), r + σ(t_y)) · s, its size (a_w exp t_w, a_h exp t_h), its score in a category σ(t_object) σ(t_category).

l of an image is a sum, in which BCE is the binary cross-entropy of a logit with a label:

    Σ objects        BCE(t_object, 1) + Σ_categories BCE(t_category, is it this one)
                     + (2 − w h) [BCE(t_x, x) + BCE(t_y, y) + ½ (t_w − log w/a_w)² + ½ (t_h − log h/a_h)²]
  + b Σ background   BCE(t_object, 0)

with (x, y) the place in the cell, in [0, 1], (w, h) the object's size, as a part of the image in the first factor, and
b `background_weight`. The BCE of x and y is less its least value, so that a perfect box costs nothing. Darknet's
gradients are those of this loss. Nothing is divided by a number of objects, so no object changes what another costs;
every term is convex in the raw numbers.

An object belongs to that box, of the cell its centre lies in, whose anchor is most like it in shape (IoU of the two
sizes about one centre), of all nine anchors. If two want the same box, it gets the later one, as in Darknet. Boxes
that answer for nothing are background, unless their anchor, set in the middle of its cell, overlaps an object by more
than `IGNORED_IOU`.

Differences from Redmon and Farhadi 2018, and why:
- There the overlap is the predicted box's. Here all depends on labels alone, so that the loss is differentiable, and
  the curvature matrix stays the same, wherever the weights move.
- Anchors keep their pixels when the input is not 416: strides do so too, and so a small input has its objects on the
  fine grids. Scaled down, they put the objects of a 96-pixel input on its 3 × 3 and 6 × 6 cells, where little is
  learned from few images: 0.05 AP50 for 0.50, after the same training from scratch on 200 synthetic images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from autosimulate_pipeline.randomness import seeded
from autosimulate_pipeline.records import AnnotatedDataset, Prediction
from autosimulate_pipeline.task_models.base import Batch, Weights, on_device
from autosimulate_pipeline.task_models.detection import detections, prepare_detection, prepare_images
from autosimulate_pipeline.task_models.yolov3_spp import YOLOV3_SPP, Yolo, YoloV3SPP, layer_name

PUBLISHED_ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
"""Width and height in pixels, clustered by Redmon and Farhadi from COCO's boxes in an input of 416 pixels."""

IGNORED_IOU = 0.7
"""A box whose anchor overlaps an object by more is no background: yolov3-spp.cfg's threshold.

With 0.5, a network that had fit four images still detected boxes beside the right ones; with 0.7 it did not.
"""

_STRIDES = (32, 16, 8)
_MAX_LOG_SCALE = 8.0


class _Boxes(NamedTuple):
    """Every box of the network, in the order of its outputs, in pixels."""

    cells: Tensor  # column and row, (num_boxes, 2)
    strides: Tensor  # (num_boxes, 1)
    anchors: Tensor  # width and height, (num_boxes, 2)


class _Labels(NamedTuple):
    """What the loss compares a batch's outputs with; rows of no object have no category, and then count nothing."""

    boxes: Tensor  # index of the box that answers for each object, (K, M)
    categories: Tensor  # 1 at the object's category, (K, M, C)
    places: Tensor  # x and y of the centre in its cell, in [0, 1], (K, M, 2)
    log_scales: Tensor  # log of width and height over the anchor's, (K, M, 2)
    box_weights: Tensor  # 2 − w h, (K, M)
    is_background: Tensor  # (K, num_boxes)


class YoloModel:
    """A `TaskModel`: YOLOv3-SPP with the loss above.

    Args:
        input_size: side of the square the network sees, in pixels; a multiple of 32.
        width: the network's filters relative to the published ones.
        background_weight: b of the loss.
        anchors: nine widths and heights in pixels of the input, from small to large.
        pretrained: weights to start from instead of fresh ones, by name; not all need be there. Scales and shifts of
            batch normalisation among them are constants; layers without (after a backbone alone, say) are normalised
            by group. With such weights the network sees images in [0, 1], as in Darknet.
        frozen: how the names of weights begin that are not trained, such as "backbone".

    Raises:
        ValueError: if a size, an anchor, or a pretrained weight's name or shape is wrong.
    """

    images_per_pass = 8

    def __init__(
        self,
        categories: tuple[str, ...],
        input_size: int,
        device: torch.device,
        width: float = 1.0,
        background_weight: float = 1.0,
        anchors: Sequence[tuple[float, float]] = PUBLISHED_ANCHORS,
        pretrained: Mapping[str, Tensor] | None = None,
        frozen: tuple[str, ...] = (),
    ) -> None:
        if input_size < 32 or input_size % 32:
            raise ValueError(f"task_model.input_size must be a multiple of 32 for yolov3_spp, got {input_size}")
        if len(anchors) != 9 or not all(len(anchor) == 2 and min(anchor) > 0 for anchor in anchors):
            raise ValueError(f"anchors must be nine pairs of a width and a height above 0, got {anchors}")
        self.categories = categories
        self._input_size = input_size
        self._device = device
        self._background_weight = background_weight
        self._pretrained = {name: weight.to(device) for name, weight in (pretrained or {}).items()}
        frozen_batch = [k for k in range(len(YOLOV3_SPP)) if f"{layer_name(k)}.normalisation.scale" in self._pretrained]
        self._reads_unit_range = bool(frozen_batch)
        self._build_network = partial(YoloV3SPP, len(categories), width, frozen_batch)
        with torch.device("meta"):  # an architecture without values: weights arrive with each call
            self._network = self._build_network()
        parameters = dict(self._network.named_parameters())
        _check_pretrained(self._pretrained, parameters)
        self.frozen = (*frozen, *(name for name, parameter in parameters.items() if not parameter.requires_grad))
        self._anchors = torch.tensor(anchors, dtype=torch.float64, device=device)
        self._boxes, self._first_boxes, self._anchor_strides = _layout(input_size, self._anchors)

    def initial_weights(self, seed: int) -> Weights:
        """Untrained weights, or pretrained ones where there are, on the model's device.

        Equal for equal seeds; no global generator moves.
        """
        with seeded(seed):
            network = self._build_network()
        fresh = {name: weight.detach().to(self._device) for name, weight in network.named_parameters()}
        return fresh | {name: weight.clone() for name, weight in self._pretrained.items()}

    def prepare(self, dataset: AnnotatedDataset) -> Batch:
        """The dataset letterboxed to `input_size`, on the model's device; targets as `prepare_detection` says."""
        return prepare_detection(dataset, self.categories, self._input_size, self._device)

    def outputs(self, weights: Weights, batch: Batch) -> Tensor:
        """Raw numbers of every box, shape (K, num_boxes, 5 + number of categories)."""
        return self._outputs(weights, batch.images)

    def losses_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """l of each image for these raw numbers, shape (K,)."""
        return self.loss_parts_of_outputs(outputs, batch).sum(1)

    def loss_parts_of_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """What background and the objects of each category add to it, shape (K, 1 + number of categories)."""
        labels = self._labels(batch.targets.to(outputs.dtype))
        numbers = outputs.gather(1, labels.boxes[..., None].expand(-1, -1, outputs.shape[-1]))
        entropy = torch.special.entr(labels.places) + torch.special.entr(1 - labels.places)
        centre = _binary_cross_entropy(numbers[..., :2], labels.places) - entropy
        size = (numbers[..., 2:4] - labels.log_scales).square() / 2
        category = _binary_cross_entropy(numbers[..., 5:], labels.categories).sum(-1)
        of_objects = labels.box_weights * (centre + size).sum(-1) + functional.softplus(-numbers[..., 4]) + category
        of_categories = (of_objects[..., None] * labels.categories).sum(1)
        background = (functional.softplus(outputs[..., 4]) * labels.is_background).sum(1, keepdim=True)
        return torch.cat([self._background_weight * background, of_categories], dim=1)

    def per_image_losses(self, weights: Weights, batch: Batch) -> Tensor:
        """l(s_k; θ) of each image, shape (K,)."""
        return self.losses_of_outputs(self.outputs(weights, batch), batch)

    @torch.no_grad()
    def predict(self, weights: Weights, dataset: AnnotatedDataset) -> list[Prediction]:
        """The boxes of each image in its own pixels, after non-maximum suppression; labels are not looked at."""
        if not len(dataset):
            return []
        weights = on_device(weights, self._device)
        images, letterboxes = prepare_images(dataset, self._input_size, self._device)
        outputs = torch.cat([self._outputs(weights, part) for part in torch.split(images, self.images_per_pass)])
        corners, scores = self._corners(outputs), outputs[..., 4:5].sigmoid() * outputs[..., 5:].sigmoid()
        return [detections(*of_image) for of_image in zip(corners, scores, letterboxes, strict=True)]

    def _outputs(self, weights: Weights, images: Tensor) -> Tensor:
        if self._reads_unit_range:
            images = (images + 1) / 2
        numbers: Tensor = functional_call(self._network, weights, (images,), strict=True)
        return numbers

    def _corners(self, outputs: Tensor) -> Tensor:
        cells, strides, anchors = (values.to(outputs.dtype) for values in self._boxes)
        centres = (cells + outputs[..., :2].sigmoid()) * strides
        halves = anchors * outputs[..., 2:4].clamp(max=_MAX_LOG_SCALE).exp() / 2
        return torch.cat([centres - halves, centres + halves], dim=-1)

    def _labels(self, targets: Tensor) -> _Labels:
        """Which box answers for which object; targets as `prepare_detection` says, with M rows an image."""
        num_boxes = len(self._boxes.cells)
        categories, centres, is_object = targets[..., 0].long(), targets[..., 1:3], targets[..., 0] > 0
        sizes = torch.where(is_object[..., None], targets[..., 3:5], 1.0)  # the log of padding's 0 would be infinite
        all_anchors = self._anchors.to(targets.dtype)
        best = _iou_of_sizes(sizes[..., None, :], all_anchors).argmax(-1)
        strides = self._anchor_strides[best][..., None]
        num_cells = self._input_size // strides
        cells = (centres / strides).floor().long().clamp(min=torch.zeros_like(num_cells), max=num_cells - 1)
        boxes = self._first_boxes[best] + 3 * (cells[..., 1] * num_cells[..., 0] + cells[..., 0])
        same = (boxes[:, :, None] == boxes[:, None, :]) & is_object[:, None, :]
        is_object = is_object & ~same.triu(1).any(-1)  # no later object wants the box
        answering = torch.where(is_object, boxes, num_boxes)
        answers = torch.zeros(len(targets), num_boxes + 1, dtype=torch.bool, device=targets.device)
        answers = answers.scatter(1, answering, torch.ones_like(is_object))[:, :num_boxes]
        one_hot = functional.one_hot(categories * is_object, len(self.categories) + 1)[..., 1:]
        return _Labels(
            boxes=boxes,
            categories=one_hot.to(targets.dtype),
            places=(centres / strides - cells).clamp(0, 1),
            log_scales=(sizes / all_anchors[best]).log(),
            box_weights=2 - sizes.prod(-1) / self._input_size**2,
            is_background=~answers & ~self._is_ignored(targets),
        )

    def _is_ignored(self, targets: Tensor) -> Tensor:
        """Whether each box's anchor in the middle of its cell overlaps an object; shape (K, num_boxes)."""
        cells, strides, anchors = (values.to(targets.dtype) for values in self._boxes)
        centres, sizes = targets[:, :, None, 1:3], targets[:, :, None, 3:5]
        distances = ((cells + 0.5) * strides - centres).abs()
        # Two intervals overlap by half their lengths less the distance of the centres, and never by more than either.
        overlaps = torch.minimum((anchors + sizes) / 2 - distances, torch.minimum(anchors, sizes)).clamp(min=0)
        intersections = overlaps.prod(-1)
        return (intersections > IGNORED_IOU * (anchors.prod(-1) + sizes.prod(-1) - intersections)).any(1)


_binary_cross_entropy = partial(functional.binary_cross_entropy_with_logits, reduction="none")


def _iou_of_sizes(first: Tensor, second: Tensor) -> Tensor:
    intersections = torch.minimum(first, second).prod(-1)
    return intersections / (first.prod(-1) + second.prod(-1) - intersections)


def _layout(input_size: int, anchors: Tensor) -> tuple[_Boxes, Tensor, Tensor]:
    """Every box; and of each of the nine anchors the index of its first box, and its stride."""
    cells, strides, sizes = [], [], []
    first_boxes, anchor_strides = torch.zeros(9, dtype=torch.long), torch.zeros(9, dtype=torch.long)
    num_boxes = 0
    for stride, layer in zip(_STRIDES, (layer for layer in YOLOV3_SPP if isinstance(layer, Yolo)), strict=True):
        places = torch.arange(input_size // stride)
        columns_and_rows = torch.cartesian_prod(places, places).flip(-1)  # row by row
        cells.append(columns_and_rows.repeat_interleave(3, dim=0))
        strides.append(torch.full((len(cells[-1]), 1), stride))
        sizes.append(anchors[list(layer.anchors)].repeat(len(columns_and_rows), 1))
        first_boxes[list(layer.anchors)] = num_boxes + torch.arange(3)
        anchor_strides[list(layer.anchors)] = stride
        num_boxes += len(cells[-1])
    boxes = _Boxes(torch.cat(cells), torch.cat(strides), torch.cat(sizes))
    device = anchors.device
    return _Boxes(*(values.to(device) for values in boxes)), first_boxes.to(device), anchor_strides.to(device)


def _check_pretrained(pretrained: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    for name, weight in pretrained.items():
        wanted = tuple(parameters[name].shape) if name in parameters else "none, for the network lacks it"
        if tuple(weight.shape) != wanted:
            raise ValueError(f"the shape of pretrained weight {name} must be {wanted}, got {tuple(weight.shape)}")
