"""What the figures of a report show: pixels where they should be, numbers that agree with ones known another way."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cases
from autosimulate_pipeline.datasets import FigureDataset
from autosimulate_pipeline.distributions import Gaussian, ProductDistribution
from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.hypergradient import leave_one_out_baseline, score_function_gradient
from autosimulate_pipeline.records import (
    AnnotatedDataset,
    AnnotatedImage,
    EvaluationReport,
    Geometry,
    HypergradientReport,
    Prediction,
)
from autosimulate_pipeline.reporting import figures, palette, pictures
from autosimulate_pipeline.reporting.contact_sheet import contact_sheet
from autosimulate_pipeline.reporting.health import effective_number, health, noise_floor
from autosimulate_pipeline.reporting.lessons import duration, largest_moves
from autosimulate_pipeline.reporting.parameter_charts import fixed_parameters, learned_charts
from autosimulate_pipeline.reporting.svg import Axis, Line, line_chart, number

START = ProductDistribution.model_validate(cases.TOY_START)


def photograph(seed: int) -> AnnotatedImage:
    """240 × 180 pixels of noise with two instances, boxes and depth."""
    generator = np.random.default_rng(seed)
    mask = np.zeros((180, 240), dtype=np.uint8)
    mask[50:90, 40:100], mask[100:160, 120:220] = 1, 2
    depth = generator.uniform(1000, 2000, (180, 240)).astype(np.float32)
    depth[:20] = 0
    geometry = Geometry(np.eye(3), np.stack([np.eye(3)] * 2), np.zeros((2, 3)), depth)
    image = generator.integers(0, 256, (180, 240, 3), dtype=np.uint8)
    boxes = np.array([[40.0, 50, 60, 40], [120, 100, 100, 60]])
    return AnnotatedImage(image, mask, (1, 2), boxes, (1.0, 1.0), geometry)


def tiny(side: int) -> AnnotatedImage:
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[2:5, 2:6] = 1
    return AnnotatedImage(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8), mask, (1,))


def saved(dataset: AnnotatedDataset, tmp_path: Path) -> np.ndarray:
    figures_file = FigureDataset(str(tmp_path / "sheet.png"))
    figures_file.save(contact_sheet(dataset, "iteration 1"))
    return np.array(Image.open(io.BytesIO(figures_file.load())).convert("RGB"))


def contains(sheet: np.ndarray, picture: np.ndarray) -> bool:
    """Whether the picture is in the sheet, pixel by pixel."""
    height, width = picture.shape[:2]
    at = np.ones((len(sheet) - height + 1, sheet.shape[1] - width + 1), dtype=bool)
    for y, x in [(0, 0), (height // 2, width // 2), (height - 1, width - 1), (height // 3, width - 1)]:
        at &= (sheet[y : y + at.shape[0], x : x + at.shape[1]] == picture[y, x]).all(axis=2)
    return any(np.array_equal(sheet[y : y + height, x : x + width], picture) for y, x in np.argwhere(at))


def test_contact_sheet_of_photographs_shows_each_pixel_once_and_all_that_is_known(tmp_path: Path) -> None:
    images = tuple(photograph(seed) for seed in range(7))
    sheet = saved(AnnotatedDataset(("ape", "can"), images), tmp_path)
    for image in (images[0], images[5]):
        assert contains(sheet, image.image)
        assert contains(sheet, pictures.masked(image))
        assert contains(sheet, pictures.boxed(image.image, image.boxes, image.instance_categories))
    assert not contains(sheet, images[6].image), "six fit"
    depths = [image.geometry.depth_mm for image in images[:6] if image.geometry is not None]
    low, high = np.percentile([depth[depth > 0] for depth in depths if depth is not None], [1, 99])
    assert depths[0] is not None and contains(sheet, pictures.depth_in_colour(depths[0], low, high))


@pytest.mark.parametrize("sides", [(24, 48, 96), (160,)])
def test_contact_sheet_of_tiny_images_repeats_whole_pixels(sides: tuple[int, ...], tmp_path: Path) -> None:
    images = tuple(tiny(side) for side in sides)
    sheet = saved(AnnotatedDataset(("cube",), images), tmp_path)
    width = {96: 192, 160: 320}[max(sides)]
    for image in images:
        factor = width // len(image.image)
        assert contains(sheet, image.image.repeat(factor, axis=0).repeat(factor, axis=1))
    assert sheet.shape[0] < 2 * width + 120, "two rows: there are neither boxes nor depth"


def test_contact_sheet_of_a_search_that_had_stopped_says_so(tmp_path: Path) -> None:
    assert saved(AnnotatedDataset(("cube",), ()), tmp_path).size


def test_depth_goes_from_dark_to_light_and_is_black_where_nothing_is() -> None:
    colours = pictures.depth_in_colour(np.array([[0, 500, 1000, 1500, 2000]], dtype=np.float32), 500, 2000)[0]
    brightness = colours.astype(float) @ [0.2126, 0.7152, 0.0722]
    assert colours[0].tolist() == [0, 0, 0]
    assert (np.diff(brightness[1:]) > 0).all()


def test_boxes_lie_on_the_pixels_that_they_enclose() -> None:
    picture = pictures.boxed(np.zeros((20, 30, 3), dtype=np.uint8), np.array([[4.0, 6, 10, 8]]), [2])
    rows, columns = np.nonzero((picture == palette.category_colour(2)).all(axis=2))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (4, 6, 13, 13)


def test_instances_of_one_category_are_parted_by_a_line() -> None:
    mask = np.array([[0, 1, 1, 2, 2, 3]] * 4, dtype=np.uint8)
    image = AnnotatedImage(np.zeros((4, 6, 3), dtype=np.uint8), mask, (1, 1, 2))
    white = (pictures.masked(image) == 255).all(axis=2)
    assert white[0].tolist() == [False, False, False, True, False, False]


def test_unsure_detections_are_not_drawn() -> None:
    prediction = Prediction((1, 1), (0.9, 0.1), instance_boxes=np.array([[2.0, 2, 6, 6], [12, 2, 6, 6]]))
    picture = pictures.predicted(np.zeros((10, 20, 3), dtype=np.uint8), prediction)
    assert picture[:, :9].any() and not picture[:, 11:].any()


@pytest.mark.parametrize("side", [16, 24, 96, 192])
def test_tiny_pictures_are_exact_inside_a_page(side: int) -> None:
    image = tiny(side).image
    file = io.BytesIO(base64.b64decode(pictures.data_uri(image).partition(",")[2]))
    shown = np.array(Image.open(file).convert("RGB"))
    factor = len(shown) // side
    assert np.array_equal(shown, image.repeat(factor, axis=0).repeat(factor, axis=1))


def test_large_pictures_are_small_files_of_at_most_320_pixels() -> None:
    image = np.random.default_rng(0).integers(100, 140, (480, 640, 3), dtype=np.uint8)
    file = base64.b64decode(pictures.data_uri(image).partition(",")[2])
    assert Image.open(io.BytesIO(file)).size == (320, 240)
    assert len(file) < 30_000


def hypergradient(influences: torch.Tensor, gradient: torch.Tensor) -> HypergradientReport:
    names = START.learned_entries()
    return HypergradientReport(
        gradient=dict(zip(names, gradient.tolist(), strict=True)),
        influences=tuple(influences.tolist()),
        norm=float(gradient.norm()),
        solver_outcome="converged",
    )


def test_noise_floor_is_the_mean_over_all_orders() -> None:
    """With Σa = 0, (1/K) Σ a_π(k) s_k has over all orders π the mean square norm Σa² Σ‖s − mean s‖² / (K² (K − 1)).

    64 shuffles of a norm with a dozen dimensions give its root mean square to a few per cent; 15 % is four sigma.
    """
    generator = torch.Generator().manual_seed(1)
    draws = START.sample(30, generator)
    influences = torch.randn(30, generator=generator, dtype=torch.float64)
    scores, centred = START.score(draws), influences - leave_one_out_baseline(influences)
    report = hypergradient(influences, score_function_gradient(scores, influences, leave_one_out_baseline(influences)))
    squares = centred.square().sum() * (scores - scores.mean(0)).square().sum()
    assert noise_floor(report, START, draws) == pytest.approx(math.sqrt(squares / (30**2 * 29)), rel=0.15)


def test_noise_floor_knows_the_paper_s_estimate_and_admits_when_it_knows_neither() -> None:
    generator = torch.Generator().manual_seed(2)
    draws = START.sample(30, generator)
    influences = START.score(draws)[:, 0] + 5
    plain = hypergradient(influences, START.expectation_gradient(influences.unsqueeze(1).expand_as(draws), draws))
    floor = noise_floor(plain, START, draws)
    assert floor is not None and floor > 0
    other = hypergradient(influences, torch.ones(START.num_parameters, dtype=torch.float64))
    assert noise_floor(other, START, draws) is None
    of_others = health(3, other, START, draws)
    assert of_others is not None and not of_others.stands_out
    assert health(0, HypergradientReport(), START, draws) is None


def test_influences_that_follow_a_parameter_stand_out() -> None:
    draws = START.sample(30, torch.Generator().manual_seed(3))
    influences = START.score(draws)[:, 0]
    gradient = score_function_gradient(START.score(draws), influences, leave_one_out_baseline(influences))
    found = health(4, hypergradient(influences, gradient), START, draws)
    assert found is not None and found.stands_out


def test_effective_number_counts_who_carries_the_estimate() -> None:
    assert effective_number([1.0, -1.0] * 10) == pytest.approx(20)
    assert effective_number([0.0] * 99 + [1.0]) == pytest.approx(4, rel=0.02)  # 4 (K - 1) / K
    assert effective_number([2.0, 2.0]) == 0
    normal = np.random.default_rng(0).normal(size=20_000)
    assert effective_number(list(normal)) / 20_000 == pytest.approx(2 / math.pi, rel=0.02)  # (E|z|)² / E z²


def test_axis_maps_ends_to_ends_and_ticks_are_inside() -> None:
    axis = Axis(-10, 10, 100, 300)
    assert (axis(-10), axis(0), axis(10)) == (100, 200, 300)
    assert axis.ticks(4) == [-10, -5, 0, 5, 10]
    logarithmic = Axis(0.1, 1000, 0, 400, is_log=True)
    assert [round(logarithmic(value)) for value in (0.1, 1, 1000)] == [0, 100, 400]
    assert {1, 10, 100} <= set(logarithmic.ticks(9))


@pytest.mark.parametrize(
    ("value", "told"), [(0.5, "0.5"), (-4.0, "−4"), (1234.0, "1234"), (2e-5, "2e−5"), (3e6, "3e6"), (0.0, "0")]
)
def test_numbers_are_short(value: float, told: str) -> None:
    assert number(value) == told


def test_line_with_a_gap_is_drawn_in_parts_and_nothing_at_all_is_no_chart() -> None:
    chart = line_chart("loss", [Line("a", [1, 2, 3, 4], [1.0, math.nan, 2.0, 3.0])], "iteration")
    (runs,) = [chart.count('<path d="M')]
    assert runs == 2
    assert line_chart("loss", [Line("a", [1], [math.inf])], "iteration") == ""
    assert "&lt;x&gt;" in line_chart("<x>", [Line("a", [1], [1.0])], "iteration")


def test_parameters_are_shown_with_units_from_start_to_end() -> None:
    lit = Gaussian(low=0, high=100, mean=15, unit="%")
    start = ProductDistribution.model_validate({"light": lit.model_dump(), "kind": cases.TOY_START["num_samples"]})
    end = start.stepped(torch.tensor([1.0, 0, 0, 1], dtype=torch.float64), 1.0)
    light, kind = learned_charts([start, end])
    assert "light, %" in light and "15 → 45" in light
    shares = end.parameters["kind"].weights()  # type: ignore[union-attr]
    assert f">{100 * shares[2]:.0f}</text>" in kind
    moves = [told for _, told in largest_moves(start, end)]
    assert moves[0] == "light from 15 to 45\u00a0%"
    assert lit.in_words() == "15 ± 30 %, within 0 to 100 %"
    fixed = fixed_parameters(start.uniform())
    assert fixed["light"] == "0 to 100 %"
    assert fixed["kind"] == "1 33.3 %, 8 33.3 %, 64 33.3 %"


class Beta(LearnableDistribution):
    """A kind that somebody may add, as far as a report asks for it."""

    alpha: float

    def entries(self) -> dict[str, float]:
        return {"alpha": self.alpha, "beta": 1.0}

    def extremes(self) -> tuple[float, ...]:
        return (0.0, 0.5, 1.0)


Beta.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def test_distribution_of_another_kind_is_drawn_by_its_entries() -> None:
    steps = [Beta(alpha=alpha) for alpha in (2.0, 3.0, 2.5)]  # type: ignore[abstract]
    (chart,) = learned_charts([ProductDistribution.model_construct({"gloss": step}) for step in steps])
    assert all(text in chart for text in ("gloss", "alpha", "beta", "iteration"))
    assert steps[0].in_words() == "Beta: 0.0, 0.5, 1.0"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (572, "9 min 32 s"), (7500, "2 h 05 min")]
)
def test_durations_are_told_in_words(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize("has_iou", [True, False])
def test_curves_leave_out_what_a_detector_does_not_have(has_iou: bool) -> None:
    iou = {"cube": 0.5} if has_iou else {}
    reports = [EvaluationReport(loss=1, map=0.1, miou=0.5 * has_iou, iou_by_category=iou, num_images=1)] * 3
    drawn = figures.curves(reports, [START.entries()] * 4)
    labels = [line.get_label() for line in drawn.axes[0].lines]
    assert labels == ["mAP", "mAP@.5"] + ["mIoU"] * has_iou


def test_evolution_shows_boxes_of_a_detector(tmp_path: Path) -> None:
    images = tuple(photograph(seed) for seed in range(6))
    shown = AnnotatedDataset(("ape", "can"), images[:3])
    found = Prediction((1,), (0.9,), instance_boxes=np.array([[40.0, 50, 60, 40]]))
    rows = [figures.EvolutionRow(0, AnnotatedDataset(("ape", "can"), images), [found] * 3)]
    drawn = figures.evolution(rows, shown)
    pixels = [axes.images[0].get_array() for axes in drawn.axes if axes.images]
    wanted = pictures.predicted(images[0].image, found)
    assert any(np.array_equal(np.asarray(picture), wanted) for picture in pixels)
