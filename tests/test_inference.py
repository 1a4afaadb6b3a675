"""ψ from labelled images: known populations and channels, known statistics, and the toy simulator asked backwards."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import cases
from autosimulate_pipeline.distributions import Bernoulli, Categorical, Gaussian, ProductDistribution
from autosimulate_pipeline.distributions.discrete import Discrete
from autosimulate_pipeline.inference import MIN_PILOT_IMAGES, Inference, InferenceSettings, infer
from autosimulate_pipeline.inference.forests import classify, regress
from autosimulate_pipeline.inference.population import UNIFORM_VARIANCE, choice_population, normal_population
from autosimulate_pipeline.inference.statistics import LABELS, OWN, PIXELS, Statistics, statistics_of
from autosimulate_pipeline.loop.scenes import draw_scenes, scenes_of, seeds_of
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage, Scene
from autosimulate_pipeline.simulators.toy import ToySimulator

Matrix = NDArray[np.float64]

PRIOR = ProductDistribution.model_validate(cases.TOY_START)
HIDDEN = ProductDistribution.model_validate(cases.TOY_HIDDEN)
SETTINGS = InferenceSettings(num_trees=50)
HEIGHTS = (32, 32)
PLACES = ("square_x", "disc_x", "triangle_y")


# Populations


@pytest.mark.parametrize("skill", [0.98, 0.9, 0.75])
@pytest.mark.parametrize(("mean", "width"), [(0.3, 0.1), (0.5, 0.15), (0.75, 0.05)])
def test_normal_population_is_given_back_through_a_noisy_channel_that_shrinks(
    mean: float, width: float, skill: float
) -> None:
    """Within four standard errors of the answers' own mean and variance; the tempered evidence widens both."""
    num_images = 400
    generator = np.random.default_rng(0)
    variance = (1 - skill) * UNIFORM_VARIANCE
    numbers = generator.normal(mean, width, num_images)
    noise = generator.normal(0, math.sqrt(skill * variance), num_images)
    answers = 0.5 + skill * (numbers - 0.5) + noise
    found_mean, found_width = normal_population(answers, np.full(num_images, variance), skill)
    spread = skill**2 * width**2 + skill * variance
    error_of_mean = math.sqrt(spread / num_images) / skill**2
    error_of_variance = spread * math.sqrt(2 / num_images) / skill**3
    assert found_mean == pytest.approx(mean, abs=4 * error_of_mean)
    assert found_width**2 == pytest.approx(width**2, abs=4 * error_of_variance + error_of_mean**2)
    assert skill == 0.98 or abs(answers.mean() - mean) > abs(found_mean - mean) or mean == 0.5, "shrinkage is undone"


def test_answers_without_information_give_the_uniform_moments() -> None:
    answers = np.random.default_rng(0).uniform(0.1, 0.3, 30)
    mean, width = normal_population(answers, np.full(30, UNIFORM_VARIANCE), skill=0.0)
    assert (mean, width) == pytest.approx((0.5, math.sqrt(1 / 12)), abs=1e-12)


def test_few_images_give_a_wider_answer_than_many() -> None:
    """Of answers with the same mean and deviation."""

    def width(num_images: int) -> float:
        answers = np.linspace(-1, 1, num_images)
        answers = 0.4 + 0.1 * (answers - answers.mean()) / answers.std()
        return normal_population(answers, np.full(num_images, 0.1 * UNIFORM_VARIANCE), skill=0.9)[1]

    assert width(3) > 1.2 * width(30) > 1.2 * width(300)


def posteriors_through(confusion: Matrix, shares: Matrix, num_images: int) -> Matrix:
    """Posteriors under equal prior ones of images whose values have these shares; confusion[i, j]: i is taken for j."""
    seen = np.rint(num_images * shares @ confusion).astype(int)
    of_seen = (confusion / confusion.sum(axis=0)).T
    return np.repeat(of_seen, seen, axis=0)


def test_shares_of_choices_are_given_back_through_a_known_confusion() -> None:
    """Within 0.015: the flat Dirichlet prior weighs three images of 490, 2000 sweeps leave some thousandths."""
    shares = np.array([0.7, 0.25, 0.05])
    confusion = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9]])
    posteriors = posteriors_through(confusion, shares, 1000)
    found = choice_population(posteriors, skill=0.7, seed=0)
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(shares, abs=0.015)
    assert np.abs(posteriors.mean(axis=0) - shares).max() > 0.1, "their mean would not do"


def test_posteriors_without_information_leave_the_values_alike() -> None:
    """Four standard errors of 2000 draws from the flat Dirichlet."""
    found = choice_population(np.full((30, 3), 1 / 3), skill=0.0, seed=0)
    assert found == pytest.approx([1 / 3] * 3, abs=4 * math.sqrt(2 / 36 / 2000))


def test_few_posteriors_give_shares_nearer_to_equal_than_many() -> None:
    def largest(num_images: int) -> float:
        return float(choice_population(np.tile([0.98, 0.01, 0.01], (num_images, 1)), 0.95, seed=0)[0])

    assert 1 / 3 < largest(2) < largest(30) - 0.1


# Forests


def rows(num_rows: int, seed: int) -> tuple[Matrix, Matrix]:
    """Numbers in the unit range, and eight statistics of which the third alone depends on them."""
    generator = np.random.default_rng(seed)
    numbers, statistics = generator.uniform(0, 1, num_rows), generator.normal(size=(num_rows, 8))
    statistics[:, 2] = np.tanh(3 * numbers - 1) + generator.normal(0, 0.01, num_rows)
    return numbers, statistics


def test_a_number_is_learned_from_the_statistic_that_has_it() -> None:
    numbers, statistics = rows(200, 0)
    wanted, images = rows(30, 1)
    found = regress(statistics, numbers, images, 50, seed=0)
    assert found.skill > 0.95 and found.importances.argmax() == 2
    errors = found.answers - wanted
    assert np.abs(errors).max() < 0.1
    assert 0.2 < (errors**2).mean() / found.variances.mean() < 5, "the renders tell how far off the answers are"


def test_a_choice_is_learned_from_the_statistic_that_has_it() -> None:
    """A value that no render has stays unlikely, and nothing is certain."""
    numbers, statistics = rows(200, 0)
    wanted, images = rows(30, 1)
    found = classify(statistics, [int(3 * number) for number in numbers], 4, images, 50, seed=0)
    assert found.accuracy > 0.9 and found.skill > 0.85 and found.importances.argmax() == 2
    assert found.posteriors.shape == (30, 4)
    assert found.posteriors.sum(axis=1) == pytest.approx(np.ones(30))
    right = found.posteriors.argmax(axis=1) == (3 * wanted).astype(int)
    assert right.mean() > 0.9
    assert 0 < found.posteriors[:, 3].max() < 0.05 and found.posteriors.max() < 1


@pytest.mark.parametrize("seed", range(3))
def test_statistics_that_say_nothing_have_no_skill(seed: int) -> None:
    numbers, statistics = rows(100, seed)
    statistics[:, 2] = 0
    images = statistics[:10]
    assert regress(statistics, numbers, images, 50, seed).skill < 0.1
    found = classify(statistics, [int(2 * number) for number in numbers], 2, images, 50, seed)
    assert found.skill < 0.25, "2.5 standard deviations of 100 guesses"


# The toy simulator, asked backwards


def rendered(distribution: ProductDistribution, num_images: int, seed: int) -> tuple[list[Scene], AnnotatedDataset]:
    """Scenes and their images; parameters that are not the simulator's show nowhere."""
    table = draw_scenes(distribution, num_images, seed, "test")
    scenes = scenes_of(table)
    known = [{name: value for name, value in scene.items() if name in PRIOR.parameters} for scene in scenes]
    return scenes, ToySimulator().render(known, seeds_of(table))


@pytest.fixture(scope="module")
def pilot() -> tuple[list[Scene], AnnotatedDataset]:
    return rendered(PRIOR.uniform(), 80, 0)


@pytest.fixture(scope="module")
def labelled() -> AnnotatedDataset:
    return rendered(HIDDEN, 30, 1)[1]


@pytest.fixture(scope="module")
def found(pilot: tuple[list[Scene], AnnotatedDataset], labelled: AnnotatedDataset) -> Inference:
    return infer(PRIOR, *pilot, labelled, SETTINGS, seed=0)


def edited(dataset: AnnotatedDataset, edit: Callable[[AnnotatedImage], dict[str, Any]]) -> AnnotatedDataset:
    """The dataset with some fields of each image replaced."""
    return dataclasses.replace(
        dataset, images=tuple(dataclasses.replace(image, **edit(image)) for image in dataset.images)
    )


def mean_of(inference: Inference, name: str) -> float:
    distribution = inference.distribution.parameters[name]
    assert isinstance(distribution, Gaussian)
    return distribution.mean


def test_toy_simulator_is_asked_backwards(found: Inference) -> None:
    """Means within 5 % of their range, the light's within 10 %; the hidden widths are 0.05 and 0.1 of it."""
    for name, share in {"ambient_light": 0.1, **dict.fromkeys(PLACES, 0.05)}.items():
        hidden, inferred = HIDDEN.parameters[name], found.distribution.parameters[name]
        assert isinstance(hidden, Gaussian) and isinstance(inferred, Gaussian)
        assert inferred.mean == pytest.approx(hidden.mean, abs=share * (hidden.high - hidden.low)), name
        assert 0.5 * hidden.width < inferred.width < 2 * hidden.width + 0.05, name
    samples = found.distribution.parameters["num_samples"]
    assert isinstance(samples, Discrete)
    assert samples.values[int(samples.weights().argmax())] == 64
    assert set(PLACES) < set(found.identified)
    assert (found.num_pilot_images, found.num_labelled_images, found.has_masks) == (80, 30, True)
    assert found.outside == {}, "the hidden simulator makes no image that the ranges do not"
    for name in PLACES:
        answer = found.parameters[name]
        assert answer.score > 0.8 and len(answer.numbers) == 30
        assert next(iter(answer.statistics)).startswith(name.split("_")[0])


def test_inferred_distribution_stays_where_the_search_may_go(found: Inference) -> None:
    """Ranges, values and what is not learned are those of the prior; probabilities are above the floor."""
    assert found.distribution.uniform() == PRIOR.uniform()
    assert ProductDistribution.model_validate(found.distribution.model_dump()) == found.distribution
    entries = found.distribution.entries()
    assert min(value for name, value in entries.items() if "/" in name) >= 0.05 - 1e-9


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_threads(
    found: Inference,
    pilot: tuple[list[Scene], AnnotatedDataset],
    labelled: AnnotatedDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for num_cores in (1, 3):
        monkeypatch.setattr("joblib._parallel_backends.cpu_count", lambda num_cores=num_cores: num_cores)
        assert infer(PRIOR, *pilot, labelled, SETTINGS, seed=0).model_dump_json() == found.model_dump_json()
    assert Inference.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("seed", range(4))
def test_what_no_image_shows_stays_as_wide_as_its_range(seed: int, labelled: AnnotatedDataset) -> None:
    """A number and a choice that are independent of every pixel and label."""
    dummies: dict[str, Any] = {
        "dummy": {"distribution": "gaussian", "low": -2, "high": 6, "mean": 5, "width": 0.1},
        "dummy_choice": {"distribution": "categorical", "values": ["a", "b", "c"], "probabilities": [0.8, 0.1, 0.1]},
    }
    prior = ProductDistribution.model_validate({"square_x": cases.TOY_START["square_x"]} | dummies)
    inference = infer(prior, *rendered(prior.uniform(), 60, seed), labelled, SETTINGS, seed)
    assert inference.unidentified == list(dummies) and inference.identified == ["square_x"]
    for name in dummies:
        assert inference.distribution.parameters[name] == prior.learned[name].widest()


def test_a_reality_gap_is_named_and_does_not_move_what_labels_tell(
    found: Inference, pilot: tuple[list[Scene], AnnotatedDataset], labelled: AnnotatedDataset
) -> None:
    """Photographs brighter than every render, nearly white."""
    white = edited(labelled, lambda image: {"image": 255 - image.image // 50})
    inference = infer(PRIOR, *pilot, white, SETTINGS, seed=0)
    assert inference.outside["image: mean brightness"] == 1
    assert list(inference.outside.values()) == sorted(inference.outside.values(), reverse=True)
    assert not any(name.split(": ")[1] in ("centre x", "width", "visible area") for name in inference.outside)
    for name in PLACES:
        assert inference.parameters[name].source == "labels"
        assert inference.distribution.parameters[name] == found.distribution.parameters[name]


def without_masks(image: AnnotatedImage) -> dict[str, Any]:
    return {"instance_mask": np.zeros_like(image.instance_mask), "instance_boxes": image.boxes}


def test_boxes_do_for_both_sides_where_labelled_images_have_no_masks(
    pilot: tuple[list[Scene], AnnotatedDataset], labelled: AnnotatedDataset
) -> None:
    """The renders' masks then say nothing: the answer is the one without them."""
    scenes, renders = pilot
    boxes = edited(labelled, without_masks)
    inference = infer(PRIOR, scenes, renders, boxes, SETTINGS, seed=0)
    assert not inference.has_masks
    assert inference == infer(PRIOR, scenes, edited(renders, without_masks), boxes, SETTINGS, seed=0)
    for name in PLACES:
        assert mean_of(inference, name) == pytest.approx(mean_of_hidden(name), abs=1)  # 5 % of the range


def mean_of_hidden(name: str) -> float:
    distribution = HIDDEN.parameters[name]
    assert isinstance(distribution, Gaussian)
    return distribution.mean


def test_too_few_renders_or_no_labelled_image_are_refused(
    pilot: tuple[list[Scene], AnnotatedDataset], labelled: AnnotatedDataset
) -> None:
    scenes, renders = pilot
    few = dataclasses.replace(renders, images=renders.images[: MIN_PILOT_IMAGES - 1])
    with pytest.raises(ValueError, match="at least 20 renders and 1 labelled image, got 19 and 30"):
        infer(PRIOR, scenes[: MIN_PILOT_IMAGES - 1], few, labelled, SETTINGS, seed=0)
    with pytest.raises(ValueError, match="got 80 and 0"):
        infer(PRIOR, scenes, renders, dataclasses.replace(labelled, images=()), SETTINGS, seed=0)


# Statistics


def test_statistics_have_names_of_their_own_and_are_finite_whatever_is_shown(labelled: AnnotatedDataset) -> None:
    pixels = np.full((32, 32, 3), 90, dtype=np.uint8)
    empty = AnnotatedImage(pixels, np.zeros((32, 32), dtype=np.uint8), ())
    black = AnnotatedImage(np.zeros((16, 48, 3), dtype=np.uint8), np.zeros((16, 48), dtype=np.uint8), ())
    dataset = dataclasses.replace(labelled, images=(*labelled.images[:3], empty, empty, black))
    for has_masks in (True, False):
        statistics = statistics_of(dataset, has_masks, HEIGHTS)
        assert len(set(statistics.names)) == len(statistics.names) == statistics.values.shape[1]
        assert np.isfinite(statistics.values).all()
        assert (statistics.values[3] == statistics.values[4]).all()
        assert set(statistics.sources) == {LABELS, PIXELS}
        assert ("disc: visible area" in statistics.names) == has_masks
    alone = statistics_of(dataclasses.replace(labelled, images=(empty,)), True, HEIGHTS)
    assert alone.names == statistics_of(labelled, True, HEIGHTS).names


def test_statistics_of_labels_are_shares_of_the_image() -> None:
    """A box and its mask, computed by hand."""
    mask = np.zeros((20, 40), dtype=np.uint8)
    mask[5:15, 10:14] = 1
    image = AnnotatedImage(np.zeros((20, 40, 3), dtype=np.uint8), mask, (1,))
    statistics = statistics_of(AnnotatedDataset(("a", "b"), (image,)), True, (20, 20))
    values = dict(zip(statistics.names, statistics.values[0].tolist(), strict=True))
    expected = {
        "a: number": 1,
        "a: centre x": 12 / 40,
        "a: centre y": 10 / 20,
        "a: width": 4 / 40,
        "a: height": 10 / 20,
        "a: left": 10 / 40,
        "a: right": 14 / 40,
        "a: top": 5 / 20,
        "a: bottom": 15 / 20,
        "a: visible area": math.sqrt(40 / 800),
        "a: shape": math.atan2(4, 10),
        "b: number": 0,
        "b: centre x": -1,
        "all objects: number": 1,
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def upscaled(dataset: AnnotatedDataset, how: Image.Resampling) -> AnnotatedDataset:
    """Images three times as large, with their masks."""

    def edit(image: AnnotatedImage) -> dict[str, Any]:
        height, width = image.instance_mask.shape
        pixels = Image.fromarray(image.image).resize((3 * width, 3 * height), how)
        return {"image": np.asarray(pixels), "instance_mask": image.instance_mask.repeat(3, axis=0).repeat(3, axis=1)}

    return edited(dataset, edit)


def test_photographs_larger_than_the_renders_have_the_statistics_of_the_same_image(labelled: AnnotatedDataset) -> None:
    """Where pixels are repeated, all of them; where they are interpolated, brightness to 2 % of white."""
    small = statistics_of(labelled, True, HEIGHTS)
    repeated, smooth = (upscaled(labelled, how) for how in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC))
    assert statistics_of(repeated, True, HEIGHTS).names == small.names
    assert statistics_of(repeated, True, HEIGHTS).values == pytest.approx(small.values)
    large, by_size = (statistics_of(smooth, True, heights) for heights in (HEIGHTS, (96, 96)))
    labels = [index for index, source in enumerate(small.sources) if source == LABELS]
    assert large.values[:, labels] == pytest.approx(small.values[:, labels])
    compared = [index for index, name in enumerate(small.names) if name.endswith(("mean brightness", "in pixels"))]
    assert large.values[:, compared] == pytest.approx(small.values[:, compared], abs=0.02)
    rough = small.names.index("image: roughness")
    there, scaled, unscaled = (statistics.values[:, rough].mean() for statistics in (small, large, by_size))
    assert unscaled < 0.25 * there < 0.5 * there < scaled < there, "at its own size it would look much smoother"


# Statistics of the user's own


def corner(image: AnnotatedImage, categories: Sequence[str]) -> dict[str, float]:
    """What a user adds: the red of the first pixel."""
    return {"corner": float(image.image[0, 0, 0]), "half": len(categories) / 2}


def sometimes(image: AnnotatedImage, _categories: Sequence[str]) -> dict[str, float]:
    """Another name for images whose first pixel is dark."""
    return {"dark" if image.image[0, 0, 0] < 128 else "bright": 1.0}


def no_number(_image: AnnotatedImage, _categories: Sequence[str]) -> dict[str, float]:
    return {"ratio": math.nan}


def text(_image: AnnotatedImage, _categories: Sequence[str]) -> dict[str, Any]:
    return {"ratio": "wide"}


def no_table(_image: AnnotatedImage, _categories: Sequence[str]) -> Any:
    return [0.5]


def broken(_image: AnnotatedImage, _categories: Sequence[str]) -> dict[str, float]:
    raise ZeroDivisionError("no\npixels")


def marked(dataset: AnnotatedDataset, scenes: Sequence[Scene]) -> AnnotatedDataset:
    """Images whose first pixel tells the scene's `dummy`, from 0 to 1, in a way that no statistic of ours sees."""
    images = []
    for image, scene in zip(dataset.images, scenes, strict=True):
        pixels = image.image.copy()
        pixels[0, 0] = round(255 * float(scene["dummy"]))
        images.append(dataclasses.replace(image, image=pixels))
    return dataclasses.replace(dataset, images=tuple(images))


def test_statistics_of_the_user_are_used_and_named() -> None:
    dummy = {"distribution": "gaussian", "low": 0, "high": 1, "mean": 0.5, "width": 0.2}
    prior = ProductDistribution.model_validate({"dummy": dummy})
    hidden = ProductDistribution.model_validate({"dummy": dummy | {"mean": 0.8, "width": 0.02}})
    scenes, renders = rendered(prior.uniform(), 60, 0)
    shown, images = rendered(hidden, 10, 1)
    renders, images = marked(renders, scenes), marked(images, shown)
    own = InferenceSettings(num_trees=50, statistics=f"{__name__}:corner")
    statistics = statistics_of(images, True, HEIGHTS, own.own_statistics())
    assert [name for name, source in zip(statistics.names, statistics.sources, strict=True) if source == OWN] == [
        "corner",
        "half",
    ]
    inference = infer(prior, scenes, renders, images, own, seed=0)
    answer = inference.parameters["dummy"]
    assert answer.is_identified and answer.score > 0.9
    assert next(iter(answer.statistics)) == "corner"
    assert mean_of(inference, "dummy") == pytest.approx(0.8, abs=0.05)
    assert inference.distribution != infer(prior, scenes, renders, images, SETTINGS, seed=0).distribution


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("sometimes", "inference.statistics must return the same names for every image, got '"),
        ("no_number", "inference.statistics must return finite numbers, got nan for 'ratio'"),
        ("text", "inference.statistics must return finite numbers, got 'wide' for 'ratio'"),
        ("no_table", "inference.statistics must return a dict of numbers by name, got list"),
        ("broken", "inference.statistics: the function failed: ZeroDivisionError: no pixels"),
    ],
)
def test_statistics_that_cannot_be_used_are_refused_in_one_line(
    function: str,
    complaint: str,
    pilot: tuple[list[Scene], AnnotatedDataset],
    labelled: AnnotatedDataset,
) -> None:
    settings = InferenceSettings(num_trees=50, statistics=f"{__name__}:{function}")
    with pytest.raises(ValueError, match="^" + re.escape(complaint)) as refused:
        infer(PRIOR, *pilot, labelled, settings, seed=0)
    assert "\n" not in str(refused.value)


# Where a search starts


def test_distribution_is_at_its_own_point() -> None:
    """To 1e-6: shares at the floor are kept off 0."""
    distributions = [
        *(Gaussian(low=-3, high=5, mean=mean, width=0.07) for mean in (-3, 0.3, 5)),
        *(Bernoulli(values=("a", "b"), probability=p) for p in (0.05, 0.31, 0.95)),
        *(
            Categorical(values=tuple("abcd"[: len(p)]), probabilities=p)
            for p in ((0.05, 0.95), (0.2, 0.7, 0.1), (0.05, 0.05, 0.9), (0.9, 0.05, 0.05), (0.1, 0.2, 0.3, 0.4))
        ),
    ]
    for distribution in distributions:
        point = distribution.point()
        assert point.shape == (distribution.num_coordinates,) and point.min() >= 0 and point.max() <= 1
        again, before = distribution.at(point).model_dump(), distribution.model_dump()
        for key, value in before.items():
            assert again[key] == (pytest.approx(value, abs=1e-6) if key.startswith(("mean", "prob")) else value)
    product = ProductDistribution({f"p{number}": distribution for number, distribution in enumerate(distributions)})
    assert product.at(product.point()).entries() == pytest.approx(product.entries(), abs=1e-6)


def test_what_is_near_contains_the_point_and_is_as_far_as_the_width_says() -> None:
    product = HIDDEN
    point, near = product.point(), product.near(2)
    assert near.shape == (product.num_coordinates, 2)
    assert ((near[:, 0] <= point) & (point <= near[:, 1])).all() and near.min() >= 0 and near.max() <= 1
    light = Gaussian(low=0, high=100, mean=60, width=0.05)
    torch.testing.assert_close(light.near(2), torch.tensor([[0.5, 0.7]], dtype=torch.float64))
    torch.testing.assert_close(
        light.model_copy(update={"mean": 95.0}).near(2), torch.tensor([[0.85, 1.0]], dtype=torch.float64)
    )


def test_widest_has_the_moments_of_the_uniform() -> None:
    """In closed form: (low + high) / 2, (high − low) / √12, equal probabilities."""
    widest = PRIOR.widest()
    for name, distribution in widest.learned.items():
        if isinstance(distribution, Gaussian):
            low, high = distribution.low, distribution.high
            assert distribution.mean == (low + high) / 2, name
            assert distribution.width * (high - low) == pytest.approx((high - low) / math.sqrt(12)), name
        else:
            assert isinstance(distribution, Discrete)
            equal = [1 / len(distribution.values)] * len(distribution.values)
            assert distribution.weights().tolist() == pytest.approx(equal)
    assert widest.uniform() == PRIOR.uniform()


def test_statistics_keep_the_columns_that_are_asked_for(labelled: AnnotatedDataset) -> None:
    statistics = statistics_of(labelled, True, HEIGHTS)
    kept = np.array([name.startswith("disc") for name in statistics.names])
    part: Statistics = statistics.where(kept)
    assert part.names == tuple(name for name in statistics.names if name.startswith("disc"))
    assert (part.values == statistics.values[:, kept]).all() and len(part.sources) == len(part.names)
