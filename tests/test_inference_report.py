"""What a report shows of an inference: what was identified, what was not, and where no render is like the images."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import cases
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.inference import Inference, InferenceSettings, ParameterAnswer, infer
from autosimulate_pipeline.records import AnnotatedDataset, StageSeconds
from autosimulate_pipeline.reporting import frames, summary
from autosimulate_pipeline.reporting.inference_charts import MAX_DOTS, answer_chart
from autosimulate_pipeline.reporting.inference_report import InferenceRun, render_inference_report
from autosimulate_pipeline.reporting.inference_words import decided_by, quality, typical_miss
from autosimulate_pipeline.reporting.lessons import lessons_of_inference
from autosimulate_pipeline.reporting.report import render_report
from autosimulate_pipeline.reporting.summary import inference_metrics, inference_summary, summarise_inference
from autosimulate_pipeline.simulators.toy import ToySimulator
from test_report import PROVENANCE, Page, assert_self_contained, finished_run

INVISIBLE = {
    "triangle_x": {"distribution": "gaussian", "low": 5, "high": 5.001, "mean": 5, "unit": "m"},
    "num_samples": {"distribution": "bernoulli", "values": [63, 64], "probability": 0.2},
}
"""Parameters of which no pixel depends enough to be seen."""

PRIOR = ProductDistribution.model_validate(
    {
        "square_x": {**cases.TOY_START["square_x"], "unit": "m"},
        "disc_material": cases.TOY_START["disc_material"],
        **INVISIBLE,
        "disc_x": {"distribution": "uniform", "low": -10, "high": 0},
    }
)
HIDDEN = PRIOR.with_parameters(
    ProductDistribution.model_validate({name: cases.TOY_HIDDEN[name] for name in ("square_x", "disc_material")}).learned
)
CATEGORIES = ("square", "<b>disc</b>", "triangle")
NUM_PILOT_IMAGES, NUM_LABELLED_IMAGES = 80, 12


def rendered(distribution: ProductDistribution, num_images: int, seed: int) -> tuple[list, AnnotatedDataset]:
    draws = distribution.sample(num_images, torch.Generator().manual_seed(seed))
    scenes = distribution.scenes(draws)
    images = ToySimulator().render(scenes, range(1000 * seed, 1000 * seed + num_images)).images
    return scenes, AnnotatedDataset(CATEGORIES, images)


def brightened(dataset: AnnotatedDataset) -> AnnotatedDataset:
    """The images in a light that the simulator's ranges do not have."""
    images = (replace(of_one, image=255 - (255 - of_one.image) // 4) for of_one in dataset.images)
    return replace(dataset, images=tuple(images))


@pytest.fixture(scope="module")
def pilot() -> tuple[list, AnnotatedDataset]:
    return rendered(PRIOR.uniform(), NUM_PILOT_IMAGES, 1)


@pytest.fixture(scope="module")
def labelled() -> AnnotatedDataset:
    return rendered(HIDDEN, NUM_LABELLED_IMAGES, 2)[1]


@pytest.fixture(scope="module")
def inference(pilot: tuple[list, AnnotatedDataset], labelled: AnnotatedDataset) -> Inference:
    return infer(PRIOR, *pilot, labelled, InferenceSettings(num_trees=50), seed=0)


@pytest.fixture(scope="module")
def with_gap(pilot: tuple[list, AnnotatedDataset], labelled: AnnotatedDataset) -> Inference:
    prior = ProductDistribution.model_validate({"square_x": PRIOR.parameters["square_x"]})
    return infer(prior, *pilot, brightened(labelled), InferenceSettings(num_trees=50), seed=0)


def inference_run(inference: Inference, pilot: AnnotatedDataset, labelled: AnnotatedDataset) -> InferenceRun:
    return InferenceRun(
        summary=summarise_inference(
            "asked", "toy", 3, inference, StageSeconds(render=50, other=15, total=65), PROVENANCE
        ),
        categories=CATEGORIES,
        settings={"inference": {"num_trees": 50}},
        command="kedro run --pipeline inference",
        images={"pilot": len(pilot), "labelled": len(labelled)},
        inference=inference,
        pilot_sheet=frames.sheet(pilot),
        labelled_sheet=frames.sheet(labelled),
    )


def words_of(text: str) -> str:
    return plain(Page(text).text)


def plain(text: str) -> str:
    """The text with every run of white space, no-break spaces too, as one space."""
    return " ".join(text.split())


def test_page_shows_what_was_identified_and_what_was_not(
    inference: Inference, pilot: tuple[list, AnnotatedDataset], labelled: AnnotatedDataset
) -> None:
    text = render_inference_report(inference_run(inference, pilot[1], labelled))
    page, words = Page(text), words_of(text)
    assert_self_contained(page, text)
    assert "The labelled images show 2 of 4 simulator parameters, best" in words
    assert "square_x (misses by about" in words and "disc_material (right for" in words
    assert "They leave 2 open, as wide as before: triangle_x and num_samples." in words
    assert "parameters identified2 of 4 pilot images rendered80 labelled images12 time in all1 min 05 s" in words
    assert words.index("Identified: 2 of 4") < words.index("Not identified: 2") < words.index("Labelled images outside")
    assert "Read from labels, mostly by: square: " in words
    assert "triangle_x (5 to 5.001 m) The images do not show this" in words
    assert "it stays as wide as its range" in words and "all its values stay equally likely" in words
    assert "kedro run --pipeline inference" in words and "network" not in words.partition("Reproduce")[0].lower()
    assert "Not learned: 1 parameter disc_x-10 to 0" in words
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = {(link["href"] or "")[1:] for link in page.attributes("a")}
    assert links == ids == {"labelled-images", "cost", "reproduce"}
    assert len(page.attributes("img")) == 8 + 8
    assert len(page.attributes("svg")) == 4
    num_numbers = 2
    assert len(page.attributes("circle")) == num_numbers * NUM_LABELLED_IMAGES
    assert "<b>disc</b>" not in text and "<b>disc</b>" in page.text, "names are escaped"


def test_page_names_what_no_render_is_like(
    with_gap: Inference, pilot: tuple[list, AnnotatedDataset], labelled: AnnotatedDataset
) -> None:
    words = words_of(render_inference_report(inference_run(with_gap, pilot[1], brightened(labelled))))
    assert with_gap.outside["image: mean brightness"] == 1
    num_outside = len(with_gap.outside)
    assert f"{num_outside} statistics of the labelled images lie outside what the renders show, most of all" in words
    assert "image: mean brightness100 %" in words
    assert f"{num_outside - 8} more" in words


def test_page_says_that_there_is_no_gap(inference: Inference) -> None:
    run = replace(finished_run(), inference=inference.model_copy(update={"outside": {}}))
    assert "None: in every statistic the labelled images lie within what the pilot images show" in words_of(
        render_report(run)
    )


def test_report_of_a_search_has_the_section_only_after_an_inference(
    inference: Inference, pilot: tuple[list, AnnotatedDataset]
) -> None:
    run = finished_run()
    assert "labelled-images" not in render_report(run)
    text = render_report(replace(run, inference=inference, pilot_sheet=frames.sheet(pilot[1])))
    page = Page(text)
    assert_self_contained(page, text)
    assert "Identified: 2 of 4 parameters" in page.text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert ids.index("validation") < ids.index("labelled-images") < ids.index("parameters")
    assert "#labelled-images" in [link["href"] for link in page.attributes("a")]
    assert sum((image["alt"] or "").startswith("pilot image") for image in page.attributes("img")) == 8


def test_lessons_are_whole_sentences_at_both_ends(inference: Inference) -> None:
    answers = inference.parameters
    nothing = {name: answer.model_copy(update={"is_identified": False}) for name, answer in answers.items()}
    everything = {name: answer.model_copy(update={"is_identified": True}) for name, answer in answers.items()}
    of_nothing = lessons_of_inference(inference.model_copy(update={"parameters": nothing, "outside": {}}))
    assert of_nothing[0] == "The labelled images show 0 of 4 simulator parameters."
    assert of_nothing[1].startswith("They leave 4 open, as wide as before: square_x, disc_material, triangle_x and")
    assert of_nothing[2] == "No statistic of the labelled images lies outside what the renders show."
    of_everything = lessons_of_inference(inference.model_copy(update={"parameters": everything}))
    assert of_everything[1] == "They leave none open."


def test_typical_miss_is_the_error_of_numbers_with_that_r_squared() -> None:
    generator = np.random.default_rng(0)
    values = generator.random(100_000)
    answers = values + generator.normal(0, 0.05, len(values))
    error = np.sqrt(((answers - values) ** 2).mean())
    r_squared = 1 - error**2 / values.var()
    assert typical_miss(r_squared) == pytest.approx(error, rel=0.01)  # the range's variance against the sample's
    assert typical_miss(0) == pytest.approx(0.2887, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "is_identified", "score", "words"),
    [
        ("square_x", True, 0.98, "The images show this well: on renders set aside, the answers miss the true value by "
         "about 4 % of the range (guessing: 29 %)."),
        ("square_x", True, 1.0, "The images show this well: on renders set aside, the answers miss the true value by "
         "less than 1 % of the range (guessing: 29 %)."),
        ("square_x", True, 0.5, "The images show this roughly: on renders set aside, the answers miss the true value "
         "by about 20 % of the range (guessing: 29 %)."),
        ("square_x", False, -0.2, "The images do not show this: on renders set aside, the answers miss the true value "
         "by about 29 % of the range (guessing: 29 %); it stays as wide as its range."),
        ("disc_material", True, 0.93, "The images show this well: on renders set aside, the answers are right for 93 "
         "of 100 (guessing: 50)."),
        ("disc_material", True, 0.7, "The images show this roughly: on renders set aside, the answers are right for 70 "
         "of 100 (guessing: 50)."),
        ("disc_material", False, 0.52, "The images do not show this: on renders set aside, the answers are right for "
         "52 of 100 (guessing: 50); all its values stay equally likely."),
    ],
)  # fmt: skip
def test_quality_is_said_without_a_statistic(name: str, is_identified: bool, score: float, words: str) -> None:
    assert plain(quality(PRIOR.learned[name], ParameterAnswer(is_identified=is_identified, score=score))) == words


def test_only_statistics_that_decided_much_are_named() -> None:
    shares = {"cube: left": 0.6, "cube: right": 0.3, "cube: top": 0.02}
    answer = ParameterAnswer(source="labels", statistics=shares)
    assert plain(decided_by(answer)) == "Read from labels, mostly by: cube: left (60 %); cube: right (30 %)."
    even = ParameterAnswer(source="labels", statistics={"a": 0.03, "b": 0.03})
    assert plain(decided_by(even)) == "Read from labels, mostly by: a (3 %)."
    assert decided_by(ParameterAnswer(source="labels")) == ""


def test_chart_of_many_images_stays_small_and_shows_both_ends() -> None:
    answers = tuple(np.linspace(-10, 10, 1001).tolist())
    chart = answer_chart("square_x", PRIOR.learned["square_x"], ParameterAnswer(numbers=answers))
    page = Page(str(chart))
    dots = page.attributes("circle")
    assert len(dots) == MAX_DOTS
    places = [float(dot["cx"] or "") for dot in dots]
    assert places == sorted(places) and places[0] == 14.0 and places[-1] == pytest.approx(286, abs=3)


def test_dots_of_equal_answers_do_not_hide_one_another() -> None:
    chart = answer_chart("square_x", PRIOR.learned["square_x"], ParameterAnswer(numbers=(1.0,) * 6))
    assert len({dot["cy"] for dot in Page(str(chart)).attributes("circle")}) == 6


def test_summary_is_plain_json_and_says_what_was_inferred(inference: Inference) -> None:
    told = json.loads(json.dumps(inference_summary(inference)))
    assert told["num_pilot_images"] == NUM_PILOT_IMAGES and told["num_labelled_images"] == NUM_LABELLED_IMAGES
    square, material = told["parameters"]["square_x"], told["parameters"]["disc_material"]
    assert square["identified"] and square["measure"] == "R²" and square["source"] == "labels"
    assert square["mean"] == pytest.approx(-5, abs=2) and 0 < square["width"] < 0.29
    assert material["probabilities"]["rubber"] > 0.5
    assert not told["parameters"]["num_samples"]["identified"]
    assert told["parameters"]["num_samples"]["probabilities"] == {"63": 0.5, "64": 0.5}
    assert told["outside"] == inference.outside


def test_run_that_only_infers_has_no_test_metrics(inference: Inference) -> None:
    told = summarise_inference("asked", "toy", 3, inference, StageSeconds(), PROVENANCE)
    assert json.loads(json.dumps(told)) == told
    assert (told["method"], told["images_rendered"], summary.test_metrics(told)) == ("inference", NUM_PILOT_IMAGES, {})


def test_metrics_for_tracking(inference: Inference, with_gap: Inference) -> None:
    told = inference_metrics(inference)
    assert told["inference/identified/square_x"] == 1 and told["inference/identified/triangle_x"] == 0
    assert told["inference/score/square_x"] == inference.parameters["square_x"].score
    assert inference_metrics(with_gap)["inference/num_outside"] == len(with_gap.outside) > 0
