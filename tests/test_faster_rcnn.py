"""Faster R-CNN: RoIAlign, labels and loss against torchvision's own, derivatives against differences, learning."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, box_iou

from autosimulate_pipeline.hypergradient.influence import influences, sample_by_sample
from autosimulate_pipeline.hypergradient.jacobian import double_backward, forward_mode, gradient
from autosimulate_pipeline.hypergradient.operators import damped, ggn_product, hessian_product
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.task_models import Batch, TrainingSettings, fit, num_weights, ravel, split_frozen, unravel
from autosimulate_pipeline.task_models.faster_rcnn import FasterRCNNModel
from autosimulate_pipeline.task_models.faster_rcnn_networks import NETWORKS
from autosimulate_pipeline.task_models.faster_rcnn_targets import corners, training_regions
from autosimulate_pipeline.task_models.faster_rcnn_weights import matched
from autosimulate_pipeline.task_models.layers import group_norm
from autosimulate_pipeline.task_models.roi_align import roi_align
from autosimulate_pipeline.task_models.weights_files import read_state_dict

# The first forward-mode derivative of a process scripts PyTorch's own decompositions, which it calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")

CATEGORIES = ("red", "green", "blue")
COLORS = np.array([[200, 40, 40], [40, 180, 60], [50, 60, 210]])
SIZE = 64
NUM_REGIONS = 32


def tiny_network(norm_layer, num_classes=4, channels=8):
    """Three convolutions, a pyramid at strides 4, 8 and 16, heads of 32 units."""

    def stage(num_in, num_out):
        return nn.Sequential(nn.Conv2d(num_in, num_out, 3, 2, 1, bias=False), norm_layer(num_out), nn.Hardswish())

    body = nn.Sequential(stage(3, channels), stage(channels, 2 * channels), stage(2 * channels, 4 * channels))
    backbone = BackboneWithFPN(body, {"1": "0", "2": "1"}, [2 * channels, 4 * channels], 2 * channels)
    return FasterRCNN(
        backbone,
        min_size=SIZE,
        max_size=SIZE,
        rpn_anchor_generator=AnchorGenerator(((10,), (20,), (40,)), ((0.5, 1.0, 2.0),) * 3),
        box_roi_pool=MultiScaleRoIAlign(["0", "1"], 4, 2),
        box_head=TwoMLPHead(2 * channels * 16, 32),
        box_predictor=FastRCNNPredictor(32, num_classes),
        box_batch_size_per_image=NUM_REGIONS,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_test=50,
        box_score_thresh=0.001,
    )


def rectangles(num_images, seed=0):
    """Images of 64 by 64 pixels with three coloured rectangles on noise, one of each category, apart by rows."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(num_images):
        image = rng.integers(90, 160, (SIZE, SIZE, 3)).astype(np.uint8)
        mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
        for index, category in enumerate(rng.permutation(3)):
            width, height = rng.integers(12, 26), rng.integers(10, 19)
            left, top = rng.integers(0, SIZE - width), 21 * index + rng.integers(0, 21 - height)
            image[top : top + height, left : left + width] = COLORS[category]
            mask[top : top + height, left : left + width] = category + 1
        images.append(AnnotatedImage(image, mask, (1, 2, 3)))
    return AnnotatedDataset(CATEGORIES, tuple(images))


def build(channels=8, **options):
    network = partial(tiny_network, channels=channels)
    return FasterRCNNModel(network, CATEGORIES, SIZE, torch.device("cpu"), num_regions=NUM_REGIONS, **options)


@pytest.fixture(scope="module")
def case():
    """A model in float64 with flat weights, a direction, and a batch of 3 images, the second with one object less."""
    model = build(channels=4)
    weights = {name: weight.double() for name, weight in model.initial_weights(0).items()}
    generator = torch.Generator().manual_seed(1)
    theta = ravel(weights)
    # The heads start near 0, where few derivatives show.
    theta = theta + 0.05 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    direction = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    batch = model.prepare(rectangles(3))
    batch.targets[1, 2] = 0
    return model, weights, theta, direction / direction.norm(), Batch(batch.images.double(), batch.targets)


def losses_of(model, weights, batch):
    return lambda theta: model.per_image_losses(unravel(theta, weights), batch)


def functions_at(case):
    """θ to outputs and outputs to losses, the regions held where they are at the case's own θ."""
    model, weights, theta, _, batch = case
    regions = model.regions(unravel(theta, weights), batch)
    return (
        lambda point: model.outputs(unravel(point, weights), batch, regions),
        lambda outputs: model.losses_of_outputs(outputs, batch),
    )


def differences(function, point, direction, step=1e-5):
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)


def test_roi_align_is_torchvisions_with_all_derivatives():
    generator = torch.Generator().manual_seed(0)
    strides = (4, 8, 16)
    features, tangents = (
        [torch.randn(2, 3, 256 // s, 256 // s, generator=generator, dtype=torch.float64) for s in strides]
        for _ in range(2)
    )
    centres = torch.rand(2, 40, 2, generator=generator, dtype=torch.float64) * 256
    sides = 2 * torch.exp(5 * torch.rand(2, 40, 2, generator=generator, dtype=torch.float64))  # 2 to 300 pixels
    boxes = corners(torch.cat([centres, sides], -1))  # some reach beyond the image
    reference = MultiScaleRoIAlign(["0", "1", "2"], 7, 2)

    def torchvisions(levels):
        pooled = reference({str(i): level for i, level in enumerate(levels)}, list(boxes), [(256, 256)] * 2)
        return pooled.reshape(2, 40, 3, 7, 7)

    value, pushed = torch.func.jvp(
        lambda *levels: roi_align(levels, boxes, strides, 7), tuple(features), tuple(tangents)
    )
    torch.testing.assert_close(value, torchvisions(features), rtol=0, atol=1e-10)
    torch.testing.assert_close(pushed, torchvisions(tangents), rtol=0, atol=1e-10)  # linear in the features
    levels = [level.requires_grad_() for level in features]
    cotangent = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    ours = torch.autograd.grad(roi_align(levels, boxes, strides, 7), levels, cotangent)
    theirs = torch.autograd.grad(torchvisions(levels), levels, cotangent)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_loss_is_the_expectation_of_torchvisions_over_its_random_samples(case):
    model, weights, theta, _, batch = case
    network = tiny_network(group_norm, channels=4)
    outputs = model.outputs(unravel(theta, weights), batch).float()
    objectness, anchor_codes, logits, region_codes, regions = model._parted(outputs)
    targets = [{"boxes": corners(t[t[:, 0] > 0][:, 1:]), "labels": t[t[:, 0] > 0][:, 0].long()} for t in batch.targets]
    losses = model.losses_of_outputs(outputs, batch)
    torch.manual_seed(0)
    for k, target in enumerate(targets):
        labels, boxes = network.rpn.assign_targets_to_anchors([model._anchors], [target])
        wanted = network.rpn.box_coder.encode(boxes, [model._anchors])
        indices, categories = network.roi_heads.assign_targets_to_proposals(
            [regions[k]], [target["boxes"]], [target["labels"]]
        )
        codes = network.roi_heads.box_coder.encode([target["boxes"][indices[0]]], [regions[k]])
        samples = []
        for _ in range(400):
            first = network.rpn.compute_loss(objectness[k], anchor_codes[k], labels, wanted)
            (chosen,) = network.roi_heads.subsample(categories)
            second = fastrcnn_loss(
                logits[k][chosen], region_codes[k][chosen].flatten(1), [categories[0][chosen]], [codes[0][chosen]]
            )
            samples.append(sum([*first, *second]))
        values = torch.stack(samples)
        assert abs(values.mean() - losses[k]) < 4 * values.std() / 20  # four standard errors
        assert values.std() < 0.05 * losses[k]  # so that the line above says something


def test_parts_sum_to_the_loss_and_belong_to_what_is_labelled(case):
    model, weights, theta, _, batch = case
    outputs = model.outputs(unravel(theta, weights), batch)
    parts = model.loss_parts_of_outputs(outputs, batch)
    torch.testing.assert_close(parts.sum(1), model.losses_of_outputs(outputs, batch))
    assert parts.shape == (3, 4)
    present = torch.zeros(3, 4, dtype=torch.bool).scatter(1, batch.targets[..., 0].long(), True)
    present[:, 0] = True
    assert torch.equal(parts > 0, present)


def test_an_image_has_the_same_loss_alone_in_a_batch_and_without_objects(case):
    model, weights, theta, _, batch = case
    losses = losses_of(model, weights, batch)(theta)
    alone = [losses_of(model, weights, batch[k : k + 1])(theta) for k in range(3)]
    torch.testing.assert_close(torch.cat(alone), losses)
    fewer_rows = Batch(batch.images[1:2], batch.targets[1:2, :2])  # padding says nothing
    torch.testing.assert_close(losses_of(model, weights, fewer_rows)(theta), losses[1:2])
    empty = Batch(batch.images[:1], torch.zeros(1, 1, 5))
    parts = model.loss_parts_of_outputs(model.outputs(unravel(theta, weights), empty), empty)
    assert parts[0, 0] > 0 and (parts[0, 1:] == 0).all()


def test_regions_are_constants_that_the_weights_choose(case):
    model, weights, theta, direction, batch = case

    def parted(point):
        return tuple(model._parted(model.outputs(unravel(point, weights), batch)))

    values, tangents = torch.func.jvp(parted, (theta,), (direction,))
    assert all(bool(tangent.any()) for tangent in tangents[:4]) and not tangents[4].any()
    moved = model.regions(unravel(theta + direction, weights), batch)
    assert not torch.equal(values[4], moved)
    # Forward mode, reverse mode and plain evaluation must see the same regions, or J and Jᵀ belong to other functions.
    assert torch.equal(values[4], model.regions(unravel(theta, weights), batch))
    assert torch.equal(values[4], parted(theta.clone().requires_grad_())[4])


def test_a_quarter_of_the_regions_show_objects_the_labelled_boxes_first():
    target = torch.tensor([[2, 20.0, 20.0, 10.0, 10.0], [0, 0, 0, 0, 0]])
    labelled = [15.0, 15.0, 25.0, 25.0]
    near, wrong = [16.0, 15.0, 25.0, 25.0], [[40.0 + k, 40.0, 60.0, 60.0] for k in range(9)]
    proposals = torch.tensor([*wrong[:3], near, near, *wrong[3:]])
    regions = training_regions([proposals, proposals[:0]], torch.stack([target, target * 0]), 8, 0.5)
    assert regions[0].tolist() == [labelled, near, *wrong[:6]]
    assert not regions[1].any()  # nothing proposed, nothing labelled
    assert training_regions([proposals[:3]], target[None], 8, 0.5)[0].tolist() == [
        labelled,
        *wrong[:3],
        *[[0.0] * 4] * 4,
    ]


def test_influences_equal_differences_of_the_losses_in_all_three_ways(case):
    model, weights, theta, direction, batch = case
    outputs, losses = functions_at(case)
    expected = differences(lambda point: losses(outputs(point)), theta, direction)
    function = losses_of(model, weights, batch)
    for way in (forward_mode, double_backward, sample_by_sample):
        torch.testing.assert_close(way(function, theta)(direction), expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(influences(function, theta, direction), expected, rtol=1e-5, atol=1e-7)


def test_damped_hessian_product_equals_differences_of_the_gradient(case):
    model, weights, theta, direction, batch = case
    outputs, losses = functions_at(case)
    product = damped(hessian_product(lambda point: losses_of(model, weights, batch)(point).mean(), theta), 0.1)
    slope = partial(gradient, lambda point: losses(outputs(point)).mean())
    expected = differences(slope, theta, direction, 1e-6) + 0.1 * direction
    assert (product(direction) - expected).norm() < 1e-4 * expected.norm()  # a step over a kink of smooth L1 costs that


def test_damped_ggn_product_equals_differences_and_is_positive(case):
    model, weights, theta, direction, batch = case
    outputs, losses = functions_at(case)

    def loss(values):
        return losses(values).mean()

    product = damped(ggn_product(lambda point: model.outputs(unravel(point, weights), batch), loss, theta), 0.1)
    curved = differences(partial(gradient, loss), outputs(theta), differences(outputs, theta, direction), 1e-4)
    point = theta.clone().requires_grad_()
    (pulled,) = torch.autograd.grad(outputs(point), point, curved)
    expected = pulled + 0.1 * direction
    assert (product(direction) - expected).norm() < 1e-4 * expected.norm()
    assert direction @ product(direction) > 0.1 * (1 + 1e-6)  # the direction's own 0.1, and what the outputs add


def test_learns_rectangles_and_finds_them():
    model, dataset = build(), rectangles(4)
    settings = TrainingSettings(epochs=250, batch_size=4, learning_rate=0.005, weight_decay=0)
    weights = fit(model, model.initial_weights(0), model.prepare(dataset), settings, torch.Generator())
    for prediction, image in zip(model.predict(weights, dataset), dataset.images, strict=True):
        scores = np.array(prediction.instance_scores)
        assert sorted(np.array(prediction.instance_categories)[scores > 0.5]) == [1, 2, 3]
        for category, box in zip(image.instance_categories, image.boxes, strict=True):
            best = prediction.instance_categories.index(category)  # the best one comes first
            found, wanted = (torch.tensor([[*b[:2], *(b[:2] + b[2:])]]) for b in (prediction.instance_boxes[best], box))
            assert box_iou(found, wanted) > 0.7


def test_predicts_what_torchvision_predicts_from_the_same_file(tmp_path):
    torch.manual_seed(0)
    theirs = tiny_network(nn.BatchNorm2d)
    theirs.train()
    dataset = rectangles(3)
    images = [torch.from_numpy(image.image).permute(2, 0, 1) / 255 for image in dataset.images]
    with torch.no_grad():
        for _ in range(5):  # statistics other than 0 and 1
            theirs.backbone(torch.stack(images))
        for parameter in theirs.roi_heads.box_predictor.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
        theirs.eval()
        expected = theirs(images)
    torch.save(theirs.state_dict(), tmp_path / "detector.pth")
    model = build(pretrained=read_state_dict(tmp_path / "detector.pth"), frozen=("backbone.fpn",))
    weights = model.initial_weights(0)
    for prediction, wanted in zip(model.predict(weights, dataset), expected, strict=True):
        assert len(prediction.instance_scores) == len(wanted["scores"]) > 10
        np.testing.assert_allclose(prediction.instance_scores, wanted["scores"], atol=1e-5)
        boxes = wanted["boxes"].numpy()
        boxes[:, 2:] -= boxes[:, :2]
        np.testing.assert_allclose(prediction.instance_boxes, boxes, atol=1e-2)
    trained, constant = split_frozen(model, weights)
    assert "backbone.body.0.1.running_mean" in constant and "backbone.fpn.inner_blocks.0.0.weight" in constant
    assert "backbone.body.0.0.weight" in trained and "backbone.body.0.1.weight" not in trained
    learned = fit(model, weights, model.prepare(dataset), TrainingSettings(epochs=1), torch.Generator())
    assert all(torch.equal(learned[name], constant[name]) for name in constant)
    assert not torch.equal(learned["backbone.body.0.0.weight"], trained["backbone.body.0.0.weight"])


def test_weights_of_other_categories_leave_the_predictor_fresh(tmp_path):
    torch.manual_seed(0)
    state = tiny_network(group_norm, num_classes=91).state_dict()
    save_file(state, tmp_path / "detector.safetensors")
    model = build(pretrained=read_state_dict(tmp_path / "detector.safetensors"))
    first, second = model.initial_weights(0), model.initial_weights(1)
    fresh = {name for name in first if not torch.equal(first[name], second[name])}
    assert fresh == {
        f"roi_heads.box_predictor.{part}.{kind}" for part in ("cls_score", "bbox_pred") for kind in ("weight", "bias")
    }
    assert torch.equal(first["rpn.head.conv.0.0.weight"], state["rpn.head.conv.0.0.weight"])


def test_weights_of_another_network_are_refused(tmp_path):
    state = tiny_network(group_norm).state_dict()
    with pytest.raises(ValueError, match="lacks 1 .*backbone.body.0.0.weight.* 1 others .*backbone.body.9"):
        build(pretrained={name.replace("body.0.0", "body.9"): value for name, value in state.items()})
    with pytest.raises(ValueError, match="size mismatch for backbone"):
        build(channels=16, pretrained=state)
    (tmp_path / "notes.pth").write_text("no tensors")
    with pytest.raises(ValueError, match="task_model.weights must be a file .*notes.pth"):
        read_state_dict(tmp_path / "notes.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="tensors by name"):
        read_state_dict(tmp_path / "list.pth")
    with pytest.raises(ValueError, match="num_regions must be a multiple of 4, got 30"):
        FasterRCNNModel(tiny_network, CATEGORIES, SIZE, torch.device("cpu"), num_regions=30)


def test_equal_seeds_give_equal_weights_and_no_global_generator_moves():
    model, before = build(), torch.random.get_rng_state()
    first, second, other = (ravel(model.initial_weights(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_resnet_takes_torchvisions_own_file():
    with torch.device("meta"):
        theirs = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=9)
    state = theirs.state_dict()
    assert matched(partial(NETWORKS["resnet50_fpn"], 9, 224), state).keys() == {
        name for name in state if not name.endswith("num_batches_tracked")
    }


def test_mobilenet_has_a_finite_loss_and_a_gradient_for_every_weight():
    model = FasterRCNNModel(
        partial(NETWORKS["mobilenet_v3_large_fpn"], 4, 96), CATEGORIES, 96, torch.device("cpu"), num_regions=16
    )
    weights = model.initial_weights(0)
    assert 15_000_000 < num_weights(weights) < 25_000_000
    batch = model.prepare(rectangles(1))
    theta = ravel(weights).requires_grad_()
    (slope,) = torch.autograd.grad(losses_of(model, weights, batch)(theta).sum(), theta)
    untouched = {name for name, value in unravel(slope, weights).items() if not value.any()}
    # Three boxes of 15 to 40 pixels lie in one level of the pyramid; the others' layers still serve the first stage.
    assert bool(slope.isfinite().all())
    assert not untouched
