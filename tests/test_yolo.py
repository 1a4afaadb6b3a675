"""YOLOv3-SPP: the published network, the loss against a slow one, every derivative that the method takes, learning."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import jacrev

from autosimulate_pipeline.hypergradient.implicit import ImplicitProblem
from autosimulate_pipeline.hypergradient.influence import sample_by_sample
from autosimulate_pipeline.hypergradient.jacobian import double_backward, forward_mode, gradient
from autosimulate_pipeline.hypergradient.operators import damped, ggn_product, hessian_product
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.task_models.base import Batch, num_weights, ravel, split_frozen, unravel
from autosimulate_pipeline.task_models.darknet_weights import load_darknet_weights
from autosimulate_pipeline.task_models.training import TrainingSettings, fit
from autosimulate_pipeline.task_models.yolo import IGNORED_IOU, YoloModel
from autosimulate_pipeline.task_models.yolov3_spp import (
    DARKNET_53,
    YOLOV3_SPP,
    Convolution,
    MaxPool,
    Route,
    Shortcut,
    Upsample,
    Yolo,
    YoloV3SPP,
    channels_of,
    sources_of,
)

# The first forward-mode derivative of a process scripts PyTorch's own decompositions, which it calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")

CATEGORIES = ("red", "blue")
COLOURS = ((220, 40, 40), (40, 60, 220))

# From cfg/yolov3-spp.cfg of github.com/pjreddie/darknet, with the layers it counts backwards counted from 0.
PUBLISHED_FILTERS = [
    *(32, 64, 32, 64, 128, *(64, 128) * 2, 256, *(128, 256) * 8, 512, *(256, 512) * 8, 1024, *(512, 1024) * 4),
    *(512, 1024, 512, 512, 1024, 512, 1024, 255),
    *(256, *(256, 512) * 3, 255),
    *(128, *(128, 256) * 3, 255),
]
PUBLISHED_SHORTCUTS = [4, 8, 11, *range(15, 37, 3), *range(40, 62, 3), *range(65, 75, 3)]
PUBLISHED_ROUTES = {79: (77,), 81: (77,), 83: (82, 80, 78, 77), 90: (86,), 93: (92, 61), 102: (98,), 105: (104, 36)}
PUBLISHED_WINDOWS = {78: 5, 80: 9, 82: 13}
PUBLISHED_YOLO = {89: (6, 7, 8), 101: (3, 4, 5), 113: (0, 1, 2)}
PUBLISHED_DOWNSAMPLING = [1, 5, 12, 37, 62]


def build(categories=CATEGORIES, input_size=64, width=1 / 16, **settings):
    return YoloModel(categories, input_size, torch.device("cpu"), width, **settings)


def rectangles(num_images=4, size=96, seed=0):
    """Two coloured rectangles in each image, which do not overlap: a red one and a blue one."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(num_images):
        pixels, mask = rng.integers(90, 150, (size, size, 3)).astype(np.uint8), np.zeros((size, size), dtype=np.uint8)
        for index, colour in enumerate(COLOURS):
            width, height = rng.integers(size // 6, 2 * size // 5, 2)
            left, top = rng.integers(0, size // 2 - width), rng.integers(0, size - height)
            left += index * size // 2
            pixels[top : top + height, left : left + width] = colour
            mask[top : top + height, left : left + width] = index + 1
        images.append(AnnotatedImage(pixels, mask, (1, 2)))
    return AnnotatedDataset(CATEGORIES, tuple(images))


@pytest.fixture(scope="module")
def case():
    """A tiny detector in float64: model, θ and a direction as flat vectors, weights by name, and a batch of 3.

    Trained a little, so that the outputs depend on all weights; one image shows a single object.
    """
    model = build()
    dataset = rectangles(3, 64)
    batch = model.prepare(dataset)
    weights = fit(model, model.initial_weights(0), batch, TrainingSettings(epochs=5, batch_size=3), torch.Generator())
    weights = {name: weight.double() for name, weight in weights.items()}
    batch.targets[1, 1] = 0
    theta = ravel(weights)
    direction = torch.randn(theta.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return model, theta, direction / direction.norm(), weights, Batch(batch.images.double(), batch.targets)


def problem_of(case):
    model, _, _, weights, batch = case

    def outputs(theta):
        return model.outputs(unravel(theta, weights), batch)

    return ImplicitProblem(
        per_sample_losses=lambda theta: model.loss_parts_of_outputs(outputs(theta), batch),
        validation_loss=lambda theta: model.per_image_losses(unravel(theta, weights), batch).mean(),
        outputs=outputs,
        losses_of_outputs=lambda values: model.losses_of_outputs(values, batch),
    )


def test_layers_are_those_of_the_published_configuration():
    def at(kind):
        return {index: layer for index, layer in enumerate(YOLOV3_SPP) if isinstance(layer, kind)}

    convolutions, channels = at(Convolution), channels_of(YOLOV3_SPP, 80)
    assert len(YOLOV3_SPP) == 114 and len(convolutions) == 76
    assert list(at(Shortcut)) == PUBLISHED_SHORTCUTS and len(PUBLISHED_SHORTCUTS) == 23
    assert all(sources_of(YOLOV3_SPP, index) == (index - 3,) for index in PUBLISHED_SHORTCUTS)
    assert {index: sources_of(YOLOV3_SPP, index) for index in at(Route)} == PUBLISHED_ROUTES
    assert {index: layer.window for index, layer in at(MaxPool).items()} == PUBLISHED_WINDOWS
    assert {index: layer.factor for index, layer in at(Upsample).items()} == {92: 2, 104: 2}
    assert {index: layer.anchors for index, layer in at(Yolo).items()} == PUBLISHED_YOLO
    assert [channels[index] for index in convolutions] == PUBLISHED_FILTERS
    assert [index for index, layer in convolutions.items() if layer.stride == 2] == PUBLISHED_DOWNSAMPLING
    assert [index for index, layer in convolutions.items() if layer.filters is None] == [88, 100, 112]
    # A kernel is 3 × 3 where it widens or downsamples, and 1 × 1 where it narrows, and in outputs.
    sizes = [layer.size for layer in convolutions.values()]
    assert sizes == [
        *(3, 3, 1, 3, 3, *(1, 3) * 2, 3, *(1, 3) * 8, 3, *(1, 3) * 8, 3, *(1, 3) * 4),
        *(1, 3, 1, 1, 3, 1, 3, 1),
        *(1, *(1, 3) * 3, 1) * 2,
    ]
    assert len(DARKNET_53) == 75 and sum(isinstance(layer, Convolution) for layer in DARKNET_53) == 52


def test_number_of_weights_is_the_published_one():
    with torch.device("meta"):
        network = YoloV3SPP(80)
    # Reported for YOLOv3-SPP with COCO's categories by ultralytics/yolov3 ("62998749 parameters").
    assert num_weights(dict(network.named_parameters())) == 62_998_749


def test_weights_files_have_the_published_lengths(tmp_path):
    path = tmp_path / "short.weights"
    path.write_bytes(np.array([0, 2, 0, 0, 0], dtype="<i4").tobytes())
    # yolov3.weights has 248,007,048 bytes; the pyramid adds a convolution from 4 · 512 channels to 512, normalised.
    expected = 248_007_048 + 4 * (2048 * 512 + 4 * 512)
    with pytest.raises(ValueError, match=f"short.weights must have {expected} bytes for 114 layers.*got 20"):
        load_darknet_weights(path, YOLOV3_SPP, 80)
    with pytest.raises(ValueError, match="must have 162482580 bytes for 75 layers"):  # that of darknet53.conv.74
        load_darknet_weights(path, DARKNET_53, 80)


def test_boxes_are_three_for_each_cell_of_each_scale():
    with torch.no_grad():
        assert YoloV3SPP(80, 1 / 16)(torch.zeros(1, 3, 416, 416)).shape == (1, 3 * (13**2 + 26**2 + 52**2), 85)
    model = build(input_size=96)
    batch = model.prepare(rectangles(2))
    outputs = model.outputs(model.initial_weights(0), batch)
    assert outputs.shape == (2, 3 * (3**2 + 6**2 + 12**2), 7)
    torch.testing.assert_close(outputs[..., 4].sigmoid().mean(), torch.tensor(0.01), rtol=0.1, atol=0)


def test_boxes_lie_row_by_row_where_the_image_is():
    model = build(input_size=128)
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    changed = images.clone()
    changed[..., 24:32, 96:104] *= -1  # row 3 and column 12 of the finest cells
    weights, targets = model.initial_weights(0), torch.zeros(1, 1, 5)
    first, second = (model.outputs(weights, Batch(values, targets)) for values in (images, changed))
    difference = (first - second)[0, -3 * 16 * 16 :].pow(4).reshape(16, 16, -1).sum(-1)
    places = torch.arange(16.0)
    row, column = ((difference.sum(axis) * places).sum() / difference.sum() for axis in (1, 0))
    # The network is untrained and normalises over the image, so all boxes change a little; the other way it is (12, 3).
    assert abs(row - 3) < 2.5 and abs(column - 12) < 2.5


def test_narrow_channels_are_multiples_of_eight():
    narrow = channels_of(YOLOV3_SPP, 2, 1 / 16)
    assert [narrow[index] for index in (0, 1, 12, 37, 62, 83, 88)] == [8, 8, 16, 32, 64, 4 * 32, 21]


def test_equal_seeds_give_equal_weights_and_no_global_generator_moves():
    model, before = build(), torch.random.get_rng_state()
    first, second, other = (ravel(model.initial_weights(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def iou(first, second):
    """Of two boxes [x centre, y centre, width, height]."""
    sides = [
        max(
            0.0,
            min(first[d] + first[d + 2] / 2, second[d] + second[d + 2] / 2)
            - max(first[d] - first[d + 2] / 2, second[d] - second[d + 2] / 2),
        )
        for d in (0, 1)
    ]
    both = sides[0] * sides[1]
    return both / (first[2] * first[3] + second[2] * second[3] - both)


def cross_entropy(logit, label):
    probability = 1 / (1 + math.exp(-logit))
    return -label * math.log(probability) - (1 - label) * math.log(1 - probability)


def slow_loss_parts(outputs, targets, input_size, anchors, background_weight, num_categories, ignored_iou=IGNORED_IOU):
    """The loss parts of one image, box by box and object by object."""
    boxes = []  # column, row, stride, number of the anchor
    for stride, numbers in ((32, (6, 7, 8)), (16, (3, 4, 5)), (8, (0, 1, 2))):
        for row in range(input_size // stride):
            for column in range(input_size // stride):
                boxes += [(column, row, stride, number) for number in numbers]
    owner = {}
    for target in targets:
        category, x, y, width, height = target
        if category == 0:
            continue
        best = max(range(9), key=lambda number: iou((0, 0, width, height), (0, 0, *anchors[number])))
        stride = (8, 16, 32)[best // 3]
        owner[boxes.index((int(x // stride), int(y // stride), stride, best))] = target
    parts = [0.0] * (1 + num_categories)
    for index, (column, row, stride, number) in enumerate(boxes):
        t = outputs[index]
        if index in owner:
            category, x, y, width, height = owner[index]
            place_x, place_y = x / stride - column, y / stride - row
            coordinates = sum(
                cross_entropy(logit, place) - cross_entropy(math.log(place / (1 - place)), place)
                for logit, place in ((t[0], place_x), (t[1], place_y))
            )
            coordinates += (t[2] - math.log(width / anchors[number][0])) ** 2 / 2
            coordinates += (t[3] - math.log(height / anchors[number][1])) ** 2 / 2
            loss = (2 - width * height / input_size**2) * coordinates + cross_entropy(t[4], 1)
            loss += sum(cross_entropy(t[4 + c], float(c == category)) for c in range(1, num_categories + 1))
            parts[int(category)] += loss
        else:
            anchor = ((column + 0.5) * stride, (row + 0.5) * stride, *anchors[number])
            if not any(target[0] and iou(anchor, target[1:]) > ignored_iou for target in targets):
                parts[0] += background_weight * cross_entropy(t[4], 0)
    return parts


def test_loss_is_the_slow_one_and_the_sum_of_its_parts():
    anchors = [(4, 4), (6, 12), (12, 6), (16, 16), (18, 36), (48, 48), (40, 20), (30, 60), (60, 60)]
    model = build(("a", "b", "c"), background_weight=0.7, anchors=anchors)
    rng = np.random.default_rng(0)
    targets = torch.zeros(5, 6, 5, dtype=torch.float64)
    for image in range(4):  # the last one shows nothing
        for row in rng.permutation(6)[: image + 2]:
            size, category = np.exp(rng.uniform(np.log(2), np.log(60), 2)), rng.integers(1, 4)
            targets[image, row] = torch.tensor([category, *rng.uniform(0.1, 63.9, 2), *size])
    targets[0, :2] = torch.tensor([[1, 20, 20, 9, 9], [3, 21, 22, 8.5, 9]])  # both want the same box
    targets[1, 0] = torch.tensor([2, 32.1, 24, 48, 48])  # as near to the cell beside its own
    outputs = 2 * torch.randn(5, 252, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batch = Batch(torch.zeros(5, 3, 64, 64), targets)
    parts = model.loss_parts_of_outputs(outputs, batch)
    expected = [
        slow_loss_parts(o, t, 64, anchors, 0.7, 3) for o, t in zip(outputs.tolist(), targets.tolist(), strict=True)
    ]
    torch.testing.assert_close(parts, torch.tensor(expected, dtype=torch.float64))
    nothing_ignored = slow_loss_parts(outputs[1].tolist(), targets[1].tolist(), 64, anchors, 0.7, 3, ignored_iou=1.0)
    assert parts[1, 0] < nothing_ignored[0]
    assert (parts[:4, 1:].sum(1) > 0).all() and (parts[4, 1:] == 0).all()
    torch.testing.assert_close(model.losses_of_outputs(outputs, batch), parts.sum(1))


def test_a_perfect_box_costs_nothing():
    model = build(input_size=32, anchors=[(side, 1.5 * side) for side in (1, 2, 3, 4, 5, 6, 8, 12, 16)])
    targets = torch.tensor([[[2.0, 8, 23, 12, 18]]])
    outputs = torch.full((1, 63, 7), -30.0)
    outputs[0, 1] = torch.tensor(
        [math.log(1 / 3), math.log(23 / 9), 0, 0, 30, -30, 30]
    )  # the only cell of the first scale
    losses = model.losses_of_outputs(outputs, Batch(torch.zeros(1, 3, 32, 32), targets))
    torch.testing.assert_close(losses, torch.zeros(1), rtol=0, atol=1e-5)


def test_loss_is_convex_in_the_outputs():
    model = build(input_size=32)
    batch = Batch(torch.zeros(1, 3, 32, 32), torch.tensor([[[1.0, 9, 9, 6, 4], [2, 20, 16, 24, 20], [0, 0, 0, 0, 0]]]))
    outputs = torch.randn(1, 63, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hessian = jacrev(jacrev(lambda values: model.losses_of_outputs(values, batch).sum()))(outputs).reshape(441, 441)
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert eigenvalues[0] > -1e-12 and (eigenvalues > 1e-3).sum() > 50


def test_an_image_has_the_same_loss_alone_and_in_a_batch(case):
    model, _, _, weights, batch = case
    losses = model.per_image_losses(weights, batch)
    alone = torch.cat([model.per_image_losses(weights, batch[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(losses, alone)


def test_influences_by_forward_mode_double_backward_and_one_by_one_agree(case):
    _, theta, direction, _, _ = case
    losses = problem_of(case).per_sample_losses
    forward, double, single = (
        way(losses, theta)(direction) for way in (forward_mode, double_backward, sample_by_sample)
    )
    assert forward.shape == (3, 3) and forward[1, 2] == 0 and (forward[0] != 0).all()
    # float64 round-off over 114 layers
    torch.testing.assert_close(forward, single, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(double, single, rtol=1e-8, atol=1e-10)


def differences(function, point, direction, step=1e-7):
    """Central differences; so short a step that next to no activation passes the kink of its leaky ReLU."""
    return (function(point + step * direction) - function(point - step * direction)).detach() / (2 * step)


def test_hessian_product_equals_differences_of_the_gradient(case):
    _, theta, direction, _, _ = case
    loss = problem_of(case).validation_loss
    product = damped(hessian_product(loss, theta), 0.1)(direction)
    expected = differences(lambda point: gradient(loss, point), theta, direction) + 0.1 * direction
    assert (product - expected).norm() < 1e-5 * expected.norm()


def test_gauss_newton_product_equals_differences_of_the_linearised_gradient(case):
    _, theta, direction, _, _ = case
    problem = problem_of(case)

    def loss(values):
        return problem.losses_of_outputs(values).mean()

    product = damped(ggn_product(problem.outputs, loss, theta), 0.1)(direction)
    point = theta.clone().requires_grad_()
    outputs = problem.outputs(point)
    pushed = differences(problem.outputs, theta, direction)
    curved = differences(lambda values: gradient(loss, values), outputs.detach(), pushed, step=1e-5)
    expected = torch.autograd.grad(outputs, point, curved)[0] + 0.1 * direction
    assert (product - expected).norm() < 1e-5 * expected.norm()
    assert direction @ product > 0.1


def test_a_narrow_network_learns_four_images_and_finds_their_boxes():
    model = build(input_size=96, width=1 / 8)
    dataset = rectangles()
    settings = TrainingSettings(epochs=80, batch_size=4, learning_rate=3e-3)
    weights = fit(model, model.initial_weights(0), model.prepare(dataset), settings, torch.Generator())
    for image, prediction in zip(dataset.images, model.predict(weights, dataset), strict=True):
        found = [index for index, score in enumerate(prediction.instance_scores) if score > 0.5]
        assert sorted(prediction.instance_categories[index] for index in found) == [1, 2]
        for index in found:
            box, truth = prediction.instance_boxes[index], image.boxes[prediction.instance_categories[index] - 1]
            centred = [(*(b[:2] + b[2:] / 2), *b[2:]) for b in (box, truth)]
            assert iou(*centred) > 0.5
    assert model.predict(weights, AnnotatedDataset(CATEGORIES, ())) == []


def test_frozen_weights_stay_and_are_no_part_of_theta():
    model, free = build(input_size=32, frozen=("backbone", "head.75")), build(input_size=32)
    start, batch = model.initial_weights(0), model.prepare(rectangles(2, 32))
    trained, constant = split_frozen(model, start)
    assert set(constant) == {name for name in start if name.startswith(("backbone.", "head.75."))}
    assert list(start) == list(free.initial_weights(0))
    after = fit(model, start, batch, TrainingSettings(epochs=1), torch.Generator())
    assert all(torch.equal(after[name], start[name]) for name in constant)
    assert all(not torch.equal(after[name], start[name]) for name in trained if name.endswith("convolution.weight"))


def batch_normalised(num_categories, width=1 / 16):
    """The network with PyTorch's batch normalisation, and numbers in it that a training could have left."""
    network = YoloV3SPP(num_categories, width)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if hasattr(module, "normalisation"):
            layer = nn.BatchNorm2d(module.normalisation.num_channels)
            for values, centre in ((layer.weight, 1), (layer.bias, 0), (layer.running_mean, 0), (layer.running_var, 1)):
                values.data = centre + 0.2 * torch.rand(values.shape, generator=generator)
            module.normalisation = layer
    return network.eval()


def write_darknet_weights(path, network, header, num_layers=114):
    with path.open("wb") as file:
        for values in header:
            file.write(values.tobytes())
        for index in range(num_layers):
            part = network.backbone if index < 75 else network.head
            if str(index) not in part:
                continue
            module = part[str(index)]
            tensors = [module.convolution.bias]
            if hasattr(module, "normalisation"):
                layer = module.normalisation
                tensors = [layer.bias, layer.weight, layer.running_mean, layer.running_var]
            for tensor in (*tensors, module.convolution.weight):
                file.write(tensor.detach().numpy().astype("<f4").tobytes())


HEADERS = {
    "format 0.2": (np.array([0, 2, 5], dtype="<i4"), np.array([32013312], dtype="<i8")),
    "format 0.1": (np.array([0, 1, 0], dtype="<i4"), np.array([32013312], dtype="<i4")),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_weights_read_from_darknet_give_the_batch_normalised_network(tmp_path, header):
    reference, path = batch_normalised(2), tmp_path / "yolo.weights"
    write_darknet_weights(path, reference, header)
    pretrained = load_darknet_weights(path, YOLOV3_SPP, 2, num_categories_of_file=2, width=1 / 16)
    model = build(pretrained=pretrained)
    batch = model.prepare(rectangles(2, 64))
    weights = model.initial_weights(0)
    with torch.no_grad():
        expected = reference((batch.images + 1) / 2)  # Darknet's images are in [0, 1]
    assert expected.std(0).max() > 1e-3  # the images matter
    error = (model.outputs(weights, batch) - expected).norm() / expected.norm()
    assert error < 1e-4  # float32 round-off over 76 convolutions
    trained, constant = split_frozen(model, weights)
    assert all(name.endswith(".convolution.weight") or name.startswith("head.") for name in trained)
    assert len(constant) == 2 * 73 and all("normalisation" in name for name in constant)


def test_a_backbone_alone_is_read_and_the_head_normalises_by_group(tmp_path):
    path = tmp_path / "backbone.weights"
    write_darknet_weights(path, batch_normalised(2), HEADERS["format 0.2"], num_layers=75)
    pretrained = load_darknet_weights(path, DARKNET_53, 2, width=1 / 16)
    model = build(pretrained=pretrained, frozen=("backbone",))
    trained, constant = split_frozen(model, model.initial_weights(0))
    assert set(constant) == set(pretrained) and len(pretrained) == 3 * 52
    assert all(name.startswith("head.") for name in trained) and "head.75.normalisation.weight" in trained


def test_another_number_of_categories_leaves_the_outputs_fresh(tmp_path):
    reference, path = batch_normalised(2), tmp_path / "yolo.weights"
    write_darknet_weights(path, reference, HEADERS["format 0.2"])
    pretrained = load_darknet_weights(path, YOLOV3_SPP, 3, num_categories_of_file=2, width=1 / 16)
    model = build(("a", "b", "c"), pretrained=pretrained)
    weights = model.initial_weights(0)
    fresh = {name for name in weights if name not in pretrained}
    assert fresh == {f"head.{index}.convolution.{part}" for index in (88, 100, 112) for part in ("weight", "bias")}
    assert all(torch.equal(weights[name], value) for name, value in pretrained.items())
    with pytest.raises(ValueError, match="yolo.weights must have .* and 3 categories"):
        load_darknet_weights(path, YOLOV3_SPP, 3, num_categories_of_file=3, width=1 / 16)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="task_model.input_size must be a multiple of 32 for yolov3_spp, got 100"):
        build(input_size=100)
    with pytest.raises(ValueError, match="anchors must be nine pairs"):
        build(anchors=[(1.0, 2.0)] * 8)
    with pytest.raises(ValueError, match="pretrained weight neck.0 must be none.*got \\(3,\\)"):
        build(pretrained={"neck.0": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"backbone.0.convolution.weight must be \(8, 3, 3, 3\), got \(8,\)"):
        build(pretrained={"backbone.0.convolution.weight": torch.zeros(8)})
