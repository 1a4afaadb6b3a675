"""Task models: functional weights, derivatives of every order that the method takes, training, prediction."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.func import grad, jacrev, jvp, vjp

from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.simulators.toy import ToySimulator
from autosimulate_pipeline.task_models import (
    Batch,
    TaskModelSettings,
    TrainingSettings,
    UNetSettings,
    build_task_model,
    fit,
    num_weights,
    ravel,
    unravel,
)
from autosimulate_pipeline.task_models.augmentation import augmented

# The first forward-mode derivative of a process scripts PyTorch's own decompositions, which it calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    places = [f"{shape}_{axis}" for shape in ToySimulator.categories for axis in "xy"]
    scenes = [{place: float(rng.uniform(-8, 8)) for place in places} for _ in range(12)]
    return ToySimulator(image_size=32).render(scenes, range(12))


def build(**settings):
    return build_task_model(ToySimulator.categories, UNetSettings(**{"input_size": 32, "device": "cpu", **settings}))


@pytest.fixture(scope="module")
def case(dataset):
    """A task model in float64 with weights, a tangent and a batch of 2."""
    model = build(input_size=16)
    weights = {name: weight.double() for name, weight in model.initial_weights(0).items()}
    generator = torch.Generator().manual_seed(1)
    tangent = {name: torch.randn(weight.shape, generator=generator).double() for name, weight in weights.items()}
    batch = model.prepare(dataset)[:2]
    return model, weights, tangent, Batch(batch.images.double(), batch.targets)


def test_equal_seeds_give_equal_weights_and_no_global_generator_moves():
    model, before = build(), torch.random.get_rng_state()
    first, second, other = (ravel(model.initial_weights(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_ravel_and_unravel_are_inverse_and_differentiable():
    weights = build().initial_weights(0)
    flat = ravel(weights)
    assert flat.shape == (num_weights(weights),)
    assert 24_000 < num_weights(weights) < 120_000
    again = unravel(flat, weights)
    assert all(torch.equal(again[name], weights[name]) for name in weights) and list(again) == list(weights)
    name = "classifier.bias"
    gradient = grad(lambda theta: (unravel(theta, weights)[name] ** 2).sum())(flat)
    torch.testing.assert_close(unravel(gradient, weights)[name], 2 * weights[name])
    with pytest.raises(ValueError, match="shape"):
        unravel(flat[:-1], weights)


def test_an_image_has_the_same_loss_alone_and_in_a_batch(case):
    model, weights, _, batch = case
    losses = model.per_image_losses(weights, batch)
    alone = torch.cat([model.per_image_losses(weights, batch[k : k + 1]) for k in range(2)])
    torch.testing.assert_close(losses, alone)
    assert losses.shape == (2,)


def test_forward_mode_equals_reverse_mode(case):
    model, weights, tangent, batch = case
    _, forward = jvp(lambda w: model.per_image_losses(w, batch), (weights,), (tangent,))
    for k in range(2):
        gradient = grad(lambda w, k=k: model.per_image_losses(w, batch)[k])(weights)
        # float64 round-off over 3 million terms
        torch.testing.assert_close(forward[k], ravel(gradient) @ ravel(tangent), rtol=1e-8, atol=1e-8)


def gauss_newton_product(model, weights, tangent, batch):
    """G t with G = (1/K) Σ JᵀH_l J: H_l of the losses in the outputs, J the outputs' Jacobian."""
    outputs, pull_back = vjp(lambda w: model.outputs(w, batch), weights)
    _, outputs_tangent = jvp(lambda w: model.outputs(w, batch), (weights,), (tangent,))
    loss_gradient = grad(lambda o: model.losses_of_outputs(o, batch).mean())
    _, curved = jvp(loss_gradient, (outputs,), (outputs_tangent,))
    return ravel(pull_back(curved)[0])


def test_gauss_newton_product_is_symmetric_and_positive(case):
    model, weights, tangent, batch = case
    other = {name: value.roll(1, 0) + 0.1 for name, value in tangent.items()}
    product, other_product = (gauss_newton_product(model, weights, t, batch) for t in (tangent, other))
    assert ravel(tangent) @ product > 0
    torch.testing.assert_close(ravel(other) @ product, ravel(tangent) @ other_product, rtol=1e-7, atol=1e-7)


def test_hessian_product_forward_over_reverse_equals_reverse_over_reverse(case):
    model, weights, tangent, batch = case

    def gradient(w):
        return grad(lambda u: model.per_image_losses(u, batch).mean())(w)

    _, forward_over_reverse = jvp(gradient, (weights,), (tangent,))
    reverse_over_reverse = grad(lambda w: ravel(gradient(w)) @ ravel(tangent))(weights)
    scale = ravel(reverse_over_reverse).norm()
    assert (ravel(forward_over_reverse) - ravel(reverse_over_reverse)).norm() < 1e-9 * scale


def test_loss_is_the_weighted_mean_over_pixels_and_convex_in_the_outputs():
    model = build(background_weight=0.25)
    targets = torch.tensor([[[0, 1], [2, 3]]])
    batch = Batch(torch.zeros(1, 3, 2, 2), targets)
    uniform = torch.zeros(1, 4, 2, 2)
    expected = torch.tensor([(0.25 + 3) / 4 * math.log(4)])  # each pixel has −log(1/4)
    torch.testing.assert_close(model.losses_of_outputs(uniform, batch), expected)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(1, 4, 2, 2, generator=generator, dtype=torch.float64)
    hessian = jacrev(jacrev(lambda o: model.losses_of_outputs(o, batch).sum()))(outputs).reshape(16, 16)
    assert torch.linalg.eigvalsh(hessian)[0] > -1e-12


def test_images_are_averaged_down_and_targets_taken_at_pixel_centres():
    mask = np.zeros((96, 48), dtype=np.uint8)
    mask[:, 24:] = 1
    checkers = (np.indices((96, 48)).sum(0) % 2 * 255).astype(np.uint8)
    image = AnnotatedImage(np.repeat(checkers[..., None], 3, 2), mask, (2,))
    batch = build(input_size=16).prepare(AnnotatedDataset(ToySimulator.categories, (image,)))
    assert batch.images.shape == (1, 3, 16, 16) and batch.targets.shape == (1, 16, 16)
    assert batch.images.abs().max() < 0.05  # black and white average to grey, 0
    assert (batch.targets[0, :, :8] == 0).all() and (batch.targets[0, :, 8:] == 2).all()
    own_size = build(input_size=16).prepare(
        AnnotatedDataset(ToySimulator.categories, (AnnotatedImage(image.image[:16, :16], mask[:16, :16], ()),))
    )
    assert own_size.images[0, 0, 0, :2].tolist() == [-1.0, 1.0]  # untouched


def test_fit_learns_repeats_bytes_and_leaves_its_input(dataset):
    model = build()
    batch, start = model.prepare(dataset), model.initial_weights(0)
    kept = ravel(start).clone()
    counts: list[int] = []

    def trained(seed):
        generator = torch.Generator().manual_seed(seed)
        return ravel(fit(model, start, batch, TrainingSettings(epochs=10, batch_size=5), generator, counts.append))

    first, second, other = trained(0), trained(0), trained(1)
    assert first.numpy().tobytes() == second.numpy().tobytes() != other.numpy().tobytes()
    assert torch.equal(ravel(start), kept)
    assert counts == [1] * 30
    losses = [model.per_image_losses(unravel(theta, start), batch).mean() for theta in (kept, first)]
    assert losses[1] < 0.75 * losses[0]


def test_frozen_weights_stay_and_the_others_are_trained(dataset):
    model = build(base_channels=8, frozen=("encoder_1", "encoder_2.0"))
    start = model.initial_weights(0)
    settings = TrainingSettings(epochs=1)
    trained = fit(model, start, model.prepare(dataset), settings, torch.Generator().manual_seed(0))
    assert list(trained) == list(start)
    for name, weight in trained.items():
        assert torch.equal(weight, start[name]) == name.startswith(("encoder_1", "encoder_2.0")), name


@pytest.mark.parametrize(
    ("frozen", "complaint"),
    [
        (("encodr",), "task_model.frozen must begin names of weights, such as encoder_1.0.0.weight, got encodr"),
        (("encoder", "decoder", "classifier"), "task_model.frozen must leave weights to train, got encoder, decoder"),
    ],
)
def test_frozen_parts_must_exist_and_leave_something(dataset, frozen, complaint):
    model = build(base_channels=8, frozen=frozen)
    with pytest.raises(ValueError, match=complaint):
        fit(model, model.initial_weights(0), model.prepare(dataset), TrainingSettings(), torch.Generator())


def test_fit_is_adamw_with_a_cosine(dataset):
    model = build()
    weights = {name: weight.double() for name, weight in model.initial_weights(0).items()}
    prepared = model.prepare(dataset)[:4]
    batch = Batch(prepared.images.double(), prepared.targets)
    settings = TrainingSettings(epochs=5, batch_size=4, weight_decay=0.3)
    ours = ravel(fit(model, weights, batch, settings, torch.Generator()))
    theta = ravel(weights).requires_grad_()
    optimizer = torch.optim.AdamW([theta], lr=settings.learning_rate, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5, eta_min=0.05 * settings.learning_rate)
    for _ in range(5):
        optimizer.zero_grad()
        model.per_image_losses(unravel(theta, weights), batch).mean().backward()
        optimizer.step()
        schedule.step()
    # The order of summation differs (shuffled, channels last), and Adam divides by small gradients: far above 1e-16.
    torch.testing.assert_close(ours, theta.detach(), rtol=0, atol=1e-6)


def test_fit_names_the_epoch_and_the_setting_when_it_diverges(dataset):
    model = build(input_size=16)
    far_off = {name: weight * 1e38 for name, weight in model.initial_weights(0).items()}
    with pytest.raises(FloatingPointError, match="epoch 1 of 8.*learning_rate must be lower, got 0.003"):
        fit(model, far_off, model.prepare(dataset), TrainingSettings(), torch.Generator())


def test_predictions_have_the_images_own_size_and_agree_with_themselves(dataset):
    model = build(input_size=16)
    settings = TrainingSettings(epochs=40, batch_size=6, learning_rate=0.01)
    weights = fit(model, model.initial_weights(0), model.prepare(dataset), settings, torch.Generator())
    wide = AnnotatedImage(np.zeros((20, 50, 3), dtype=np.uint8), np.zeros((20, 50), dtype=np.uint8), ())
    predictions = model.predict(weights, AnnotatedDataset(dataset.categories, (*dataset.images, wide)))
    assert predictions[-1].semantic_mask.shape == (20, 50) and len(predictions) == 13
    assert any(prediction.instance_categories for prediction in predictions)
    for prediction in predictions:
        assert len(prediction.instance_masks) == len(prediction.instance_categories)
        for mask, category, score in zip(
            prediction.instance_masks, prediction.instance_categories, prediction.instance_scores, strict=True
        ):
            np.testing.assert_array_equal(mask, prediction.semantic_mask == category)
            assert 1 / 4 < score <= 1  # the largest of four probabilities, averaged
    agreement = np.mean(
        [(p.semantic_mask == i.semantic_mask).mean() for p, i in zip(predictions, dataset.images, strict=False)]
    )
    background = np.mean([(image.semantic_mask == 0).mean() for image in dataset.images])
    assert agreement > background + 0.3 * (1 - background)


def test_wrong_settings_and_datasets_are_named(dataset):
    with pytest.raises(ValidationError, match="'vit' .* expected tags: 'unet', 'yolov3_spp'"):
        TaskModelSettings.model_validate({"type": "vit"})
    with pytest.raises(ValueError, match="categories"):
        build().prepare(AnnotatedDataset(("cube",), dataset.images))
    with pytest.raises(ValueError, match="at least one image"):
        build().prepare(AnnotatedDataset(ToySimulator.categories, ()))


def test_boxes_are_cropped_and_mirrored_as_masks_are():
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[5:20, 8:30], mask[25:40, 35:60] = 1, 2
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    with_masks = AnnotatedImage(pixels, mask, (1, 2))
    with_both = dataclasses.replace(with_masks, instance_boxes=with_masks.boxes, visible_fractions=(1.0, 0.5))
    bare = dataclasses.replace(with_both, instance_mask=mask * 0)
    variants = [
        augmented(AnnotatedDataset(("a", "b"), (image,)), 8, 3).images for image in (with_masks, with_both, bare)
    ]
    for masked, both, boxed in zip(*variants, strict=True):
        assert masked.instance_categories == both.instance_categories == boxed.instance_categories
        np.testing.assert_allclose(both.boxes, masked.boxes, atol=1)  # masks go by the nearest pixel
        np.testing.assert_array_equal(both.boxes, boxed.boxes)
        assert len(boxed.visible_fractions) == len(boxed.instance_categories) and masked.visible_fractions is None
    assert len({image.boxes.tobytes() for image in variants[2]}) == 8
