"""Distributions: draws, scores and steps against closed forms; everything outside talks to the product."""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from autosimulate_pipeline.distributions import DISTRIBUTIONS, Bernoulli, Categorical, Gaussian, ProductDistribution
from autosimulate_pipeline.distributions.discrete import PROBABILITY_FLOOR, project_on_floored_simplex
from autosimulate_pipeline.hypergradient import normalised_advantages
from autosimulate_pipeline.loop.scenes import draw_scenes, draws_of, scenes_of, seeds_of
from autosimulate_pipeline.randomness import derive_generator
from closed_forms import gauss_hermite

GAUSSIAN = Gaussian(low=-10, high=10, mean=4, width=0.2)
BERNOULLI = Bernoulli(values=("rubber", "metal"), probability=0.3)
CATEGORICAL = Categorical(values=(2, 128, 512), probabilities=(0.2, 0.5, 0.3))
LEARNABLE = {"gaussian": GAUSSIAN, "bernoulli": BERNOULLI, "categorical": CATEGORICAL}
EXAMPLES = {
    "gaussian": {"low": 0, "high": 100, "mean": 30, "unit": "W"},
    "bernoulli": {"values": [8, 128], "probability": 0.3},
    "categorical": {"values": ["32x32", "128x128"], "probabilities": [0.4, 0.6]},
    "uniform": {"low": -1, "high": 1},
}


def product(**changes: dict | None) -> ProductDistribution:
    parameters = {name: {"distribution": name, **settings} for name, settings in EXAMPLES.items()}
    return ProductDistribution.model_validate(parameters | changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nodes(distribution) -> tuple[Tensor, Tensor]:
    """Draws and weights that make expectations exact: quadrature or enumeration."""
    if isinstance(distribution, Gaussian):
        draws, weights = gauss_hermite(10)
        return distribution.mean + distribution.width * (distribution.high - distribution.low) * draws, weights
    return torch.arange(len(distribution.values), dtype=torch.float64), distribution.weights()


def test_every_distribution_has_an_example():
    assert EXAMPLES.keys() == DISTRIBUTIONS.keys()


# Draws and scenes


def test_same_seed_same_draws_and_another_seed_others():
    p = product()
    torch.testing.assert_close(p.sample(20, generator(1)), p.sample(20, generator(1)), rtol=0, atol=0)
    assert not torch.equal(p.sample(20, generator(1)), p.sample(20, generator(2)))


def test_draws_have_the_moments_of_their_distribution():
    draws = product().sample(100_000, generator())
    means = dict(zip(EXAMPLES, draws.mean(dim=0).tolist(), strict=True))
    # four standard errors of 100 000 draws: 4 σ / 316
    assert means["gaussian"] == pytest.approx(30, abs=0.4)
    assert draws[:, 0].std().item() == pytest.approx(30, abs=0.4)
    assert means["bernoulli"] == pytest.approx(0.3, abs=0.006)
    assert means["categorical"] == pytest.approx(0.6, abs=0.007)
    assert means["uniform"] == pytest.approx(0, abs=0.008)
    assert draws.dtype == torch.float64


@given(seed=st.integers(0, 1000))
def test_scenes_stay_inside_ranges_and_values(seed: int):
    p = product()
    for scene in p.scenes(p.sample(30, generator(seed))):
        assert list(scene) == list(EXAMPLES)
        assert 0 <= scene["gaussian"] <= 100
        assert -1 <= scene["uniform"] <= 1
        assert scene["bernoulli"] in (8, 128)
        assert scene["categorical"] in ("32x32", "128x128")


def test_clipping_for_the_simulator_leaves_the_score_of_the_draw():
    light = Gaussian(low=0, high=100, mean=90, width=0.3)
    draw = torch.tensor([150.0], dtype=torch.float64)
    assert light.to_values(draw) == [100.0]
    torch.testing.assert_close(light.score(draw).item(), (1.5 - 0.9) / 0.3**2)


def test_extremes_show_every_end_and_every_value():
    scenes = product(
        categorical={"distribution": "categorical", "values": [1, 2, 3], "probabilities": [1, 0, 0]}
    ).extremes()
    seen = {name: {scene[name] for scene in scenes} for name in EXAMPLES}
    assert seen["bernoulli"] == {8, 128}
    assert seen["categorical"] == {1, 2, 3}
    for name, low, high in (("gaussian", 0, 100), ("uniform", -1, 1)):
        (between,) = seen[name] - {low, high}
        assert low < between < high
        assert between % 1, "a parameter of whole numbers must be refused"


# Scores


@pytest.mark.parametrize("name", LEARNABLE)
def test_score_has_mean_0(name: str):
    draws, weights = nodes(LEARNABLE[name])
    mean = weights @ LEARNABLE[name].score(draws)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LEARNABLE)
def test_probabilities_of_the_nodes_are_those_of_log_prob(name: str):
    """Σ p = 1 for values; for the Gaussian, the integral over the unit range, by the trapezium rule out to 8 σ."""
    distribution = LEARNABLE[name]
    if name == "gaussian":
        draws = torch.linspace(4 - 32, 4 + 32, 2001, dtype=torch.float64)
        total = torch.trapezoid(distribution.log_prob(draws).exp(), draws / 20)
    else:
        total = distribution.log_prob(nodes(distribution)[0]).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


TANGENTS = [
    ("gaussian", [1.0]),
    ("bernoulli", [1.0]),
    ("categorical", [1.0, -1.0, 0.0]),
    ("categorical", [0.0, 1.0, -1.0]),
]


@pytest.mark.parametrize(("name", "tangent"), TANGENTS)
def test_score_is_the_derivative_of_log_prob(name: str, tangent: list[float]):
    distribution, direction = LEARNABLE[name], torch.tensor(tangent, dtype=torch.float64)
    draws = distribution.sample(50, generator())
    step = 1e-5
    forth, back = distribution.ascended(direction, step), distribution.ascended(direction, -step)
    differences = (forth.log_prob(draws) - back.log_prob(draws)) / (2 * step)
    # truncation: step² / 6 times a third derivative of at most 2 / 0.2³ = 250
    torch.testing.assert_close(distribution.score(draws) @ direction, differences, rtol=0, atol=1e-7)


def test_standardised_score_has_variance_1():
    """z as it stands in the standardised gradient of a single draw with advantage 1 among those without."""
    draws, weights = nodes(GAUSSIAN)
    one_by_one = torch.eye(len(draws), dtype=torch.float64) * len(draws)
    z = torch.cat([GAUSSIAN.standardised_gradient(advantage, draws) for advantage in one_by_one])
    torch.testing.assert_close(weights @ z.square(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(z, GAUSSIAN.score(draws)[:, 0] * GAUSSIAN.width)

    draws, weights = nodes(BERNOULLI)
    z = torch.cat([BERNOULLI.standardised_gradient(advantage, draws) for advantage in 2 * torch.eye(2).double()])
    torch.testing.assert_close(weights @ z.square(), torch.ones((), dtype=torch.float64))

    draws, weights = nodes(CATEGORICAL)
    z = torch.stack([CATEGORICAL.standardised_gradient(advantage, draws) for advantage in 3 * torch.eye(3).double()])
    torch.testing.assert_close(weights @ z.square(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(z, CATEGORICAL.score(draws) * (weights / (1 - weights)).sqrt())


# Gradients


def test_expectation_gradients_are_those_of_the_supplement():
    draws = torch.tensor([0, 0, 0, 1], dtype=torch.float64)
    f = torch.tensor([1.0, 2.0, 3.0, 10.0], dtype=torch.float64)
    assert BERNOULLI.expectation_gradient(f, draws).tolist() == [8.0]  # equation (3)
    draws = torch.tensor([0, 1, 1, 2], dtype=torch.float64)
    assert CATEGORICAL.expectation_gradient(f, draws).tolist() == [1.0 - 4.5, 2.5 - 4.5, 10.0 - 4.5]  # equation (4)
    draws = torch.tensor([4.0, 6.0, 0.0, 4.0], dtype=torch.float64)  # u − μ = (0, 0.1, −0.2, 0), Σ⁻¹ = 25
    torch.testing.assert_close(GAUSSIAN.expectation_gradient(f, draws).item(), (2 * 2.5 - 3 * 5.0) / 4)  # equation (2)


def test_group_means_are_the_score_function_estimate_when_values_come_in_their_proportions():
    draws = torch.tensor([0, 0, 1, 1, 1, 1, 1, 2, 2, 2], dtype=torch.float64)  # exactly (0.2, 0.5, 0.3) of ten
    f = torch.randn(10, generator=generator(), dtype=torch.float64)
    by_score = (f[:, None] * CATEGORICAL.score(draws)).mean(dim=0)
    torch.testing.assert_close(CATEGORICAL.expectation_gradient(f, draws), by_score - by_score.mean())


def test_value_without_draws_does_not_move():
    f = torch.tensor([1.0, 1.0, 1.0, 4.0], dtype=torch.float64)
    draws = torch.tensor([0, 0, 0, 1], dtype=torch.float64)
    gradient = CATEGORICAL.expectation_gradient(f, draws)
    assert gradient.tolist() == [-1.5, 1.5, 0]
    torch.testing.assert_close(CATEGORICAL.ascended(gradient, 0.05).weights() - CATEGORICAL.weights(), 0.05 * gradient)
    assert CATEGORICAL.standardised_gradient(f, draws)[2] == 0
    only_metal = torch.ones(4, dtype=torch.float64)
    assert BERNOULLI.expectation_gradient(f, only_metal).item() == 0
    assert BERNOULLI.standardised_gradient(f, only_metal).item() == 0


def test_impossible_values_leave_everything_finite():
    certain = Categorical(values=("a", "b"), probabilities=(1, 0))
    sure = Bernoulli(values=("a", "b"), probability=0)
    draws, f = torch.zeros(3, dtype=torch.float64), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    for distribution in (certain, sure):
        assert distribution.score(draws).isfinite().all()
        gradient = distribution.standardised_gradient(f, draws)
        assert not gradient.any()
        assert list(distribution.stepped(gradient, 2.0).entries().values()) == pytest.approx([0.95, 0.05])


# Steps


def test_steps_climb():
    """A step along E[a z] for f = s must raise E[s]."""
    for distribution in LEARNABLE.values():
        draws = distribution.sample(500, generator())
        gradient = distribution.standardised_gradient(normalised_advantages(draws), draws)
        plain = distribution.expectation_gradient(draws - draws.mean(), draws)
        for moved in (distribution.stepped(gradient, 0.5), distribution.ascended(plain, 0.01)):
            (before, weights), (after, new_weights) = nodes(distribution), nodes(moved)
            assert new_weights @ after > weights @ before


def test_gaussian_step_is_in_its_widths_and_ends_at_its_range():
    one, none = torch.tensor([1.0], dtype=torch.float64), torch.tensor([0.0], dtype=torch.float64)
    assert GAUSSIAN.stepped(one, 1.0).mean == 8.0  # 4 + σ
    assert GAUSSIAN.stepped(one, 2.0).mean == 10.0  # the end of the range
    assert GAUSSIAN.stepped(none, 2.0) == GAUSSIAN
    assert GAUSSIAN.ascended(torch.tensor([-0.3]), 1.0).mean == pytest.approx(4 - 0.3 * 20)


def test_unit_cube_reaches_every_psi_and_a_uniform_point_is_uniform():
    """Corners are the ends of ψ; p of a uniform point has the moments of Dirichlet(1, 1, 1) on the floored simplex."""
    product = ProductDistribution.model_validate(
        {"x": GAUSSIAN.model_dump(), "b": BERNOULLI.model_dump(), "c": CATEGORICAL.model_dump()}
    )
    ends = [product.at(torch.full((4,), value, dtype=torch.float64)).entries() for value in (0.0, 1.0)]
    assert [end["x"] for end in ends] == [GAUSSIAN.low, GAUSSIAN.high]
    assert [end[f"b/{BERNOULLI.values[1]}"] for end in ends] == pytest.approx([0.05, 0.95])
    assert [list(end.values())[3:] for end in ends] == [
        pytest.approx([0.9, 0.05, 0.05]),
        pytest.approx([0.05, 0.05, 0.9]),
    ]
    assert (product.num_coordinates, product.num_parameters) == (4, 5)
    points = torch.rand((2000, 2), dtype=torch.float64, generator=derive_generator(0))
    drawn = torch.stack([CATEGORICAL.at(point).weights() for point in points])
    assert drawn.min() >= 0.05 - 1e-9
    torch.testing.assert_close(drawn.mean(0), torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.var(0), torch.full((3,), 0.85**2 / 18, dtype=torch.float64), atol=0.006, rtol=0)


def test_shares_of_many_values_are_those_of_the_flat_dirichlet():
    """p_i is Beta(1, n − 1) for each of n values: E[p] = 1/n, and the median is 1 − 2^(−1/(n − 1))."""
    six = Categorical(values=(1, 2, 3, 4, 5, 6), probabilities=(1 / 6,) * 6)
    points = torch.rand((4000, 5), dtype=torch.float64, generator=derive_generator(1))
    shares = (torch.stack([six.at(point).weights() for point in points]) - 0.05) / (1 - 6 * 0.05)
    mean, half = torch.full((6,), 1 / 6, dtype=torch.float64), torch.full((6,), 0.5, dtype=torch.float64)
    # four standard errors of 4000 points: 4 · 0.141 / 63 and 4 · 0.5 / 63
    torch.testing.assert_close(shares.mean(0), mean, atol=0.009, rtol=0)
    torch.testing.assert_close((shares < 1 - 2 ** (-1 / 5)).double().mean(0), half, atol=0.032, rtol=0)


@given(u=st.floats(0, 1))
def test_point_of_a_categorical_of_two_values_is_that_of_a_bernoulli(u: float):
    point = torch.tensor([u], dtype=torch.float64)
    two = Categorical(values=("rubber", "metal"), probabilities=(0.7, 0.3))
    torch.testing.assert_close(two.at(point).weights(), BERNOULLI.at(point).weights(), rtol=0, atol=1e-12)


def test_bernoulli_steps_its_logit():
    stepped = BERNOULLI.stepped(torch.tensor([0.4], dtype=torch.float64), 2.0)
    assert math.log(stepped.probability / (1 - stepped.probability)) == pytest.approx(math.log(0.3 / 0.7) + 0.8)


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("step_size", [0.3, 0.7])
def test_categorical_of_two_values_steps_as_a_bernoulli_does(probability: float, step_size: float):
    """Same draws and advantages, steps that stay above the floor; float64 to 1e-12."""
    bernoulli = Bernoulli(values=("a", "b"), probability=probability)
    categorical = Categorical(values=("a", "b"), probabilities=(1 - probability, probability))
    draws = bernoulli.sample(60, generator(1))
    advantages = normalised_advantages(draws + torch.randn(60, generator=generator(2), dtype=torch.float64))
    moved = [d.stepped(d.standardised_gradient(advantages, draws), step_size) for d in (bernoulli, categorical)]
    assert abs(moved[0].probability - probability) > 1e-3
    torch.testing.assert_close(moved[1].weights(), moved[0].weights(), rtol=0, atol=1e-12)


def test_value_of_a_categorical_moves_its_log_odds_by_its_own_step():
    """To first order, for a direction that leaves the sum of the probabilities alone."""
    even = Categorical(values=(1, 2, 3, 4), probabilities=(0.25,) * 4)
    direction, step_size = torch.tensor([0.6, -0.2, -0.2, -0.2], dtype=torch.float64), 1e-4
    moved = even.stepped(direction, step_size).weights()
    shift = moved.logit() - even.weights().logit()
    torch.testing.assert_close(shift / step_size, direction, rtol=0, atol=1e-4)  # of the step's own order


@given(
    point=st.lists(st.floats(-5, 5), min_size=2, max_size=10),
    shift=st.floats(-3, 3),
)
def test_projection_lands_on_the_floored_simplex_at_the_nearest_point(point: list[float], shift: float):
    tensor = torch.tensor(point, dtype=torch.float64)
    projected = project_on_floored_simplex(tensor)
    assert projected.sum().item() == pytest.approx(1, abs=1e-9)
    assert projected.min() >= PROBABILITY_FLOOR - 1e-12
    torch.testing.assert_close(project_on_floored_simplex(tensor + shift), projected, rtol=0, atol=1e-9)
    torch.testing.assert_close(project_on_floored_simplex(projected), projected, rtol=0, atol=1e-9)
    # nearest: no corner of the convex set lies beyond the plane through the projection (the variational inequality)
    corners = PROBABILITY_FLOOR + (1 - len(point) * PROBABILITY_FLOOR) * torch.eye(len(point), dtype=torch.float64)
    assert ((corners - projected) @ (tensor - projected)).max() <= 1e-9


def test_floor_gives_way_to_many_values():
    many = project_on_floored_simplex(torch.arange(30.0, dtype=torch.float64)).tolist()
    assert many == pytest.approx([1 / 60] * 29 + [31 / 60]), "half the mass can still be learned"


@given(
    gradient=st.lists(st.floats(-100, 100), min_size=4, max_size=4),
    step_size=st.floats(0.01, 10),
)
def test_every_step_of_the_product_is_a_product_that_conf_would_accept(gradient: list[float], step_size: float):
    p = product()
    direction = torch.tensor(gradient, dtype=torch.float64)
    for moved in (p.stepped(direction, step_size), p.ascended(direction, step_size)):
        assert ProductDistribution.model_validate_json(moved.model_dump_json()) == moved
        assert min(value for name, value in moved.entries().items() if name != "gaussian") >= PROBABILITY_FLOOR - 1e-12
        assert sum(moved.parameters["categorical"].probabilities) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1e3), (1e-6, 0.0), (1e6, -5.0)])
def test_update_ignores_a_constant_in_f_and_its_scale(scale: float, shift: float):
    p = product()
    draws = p.sample(20, generator())
    f = torch.randn(20, generator=generator(1), dtype=torch.float64)

    def updated(influences: Tensor) -> list[float]:
        advantages = normalised_advantages(influences)[:, None].expand_as(draws)
        return list(p.stepped(p.standardised_gradient(advantages, draws), 2.0).entries().values())

    assert updated(scale * f + shift) == pytest.approx(updated(f), rel=1e-9)


@pytest.mark.parametrize("move", ["stepped", "ascended"])
def test_update_ignores_the_units_of_a_parameter(move: str):
    metres = Gaussian(low=-1, high=3, mean=0.5, unit="m")
    millimetres = Gaussian(low=-1000, high=3000, mean=500, unit="mm")
    draws = metres.sample(20, generator())
    f = torch.randn(20, generator=generator(1), dtype=torch.float64)
    estimate = {"stepped": "standardised_gradient", "ascended": "expectation_gradient"}[move]
    in_metres = getattr(metres, move)(getattr(metres, estimate)(f, draws), 0.1)
    in_millimetres = getattr(millimetres, move)(getattr(millimetres, estimate)(f, 1000 * draws), 0.1)
    assert in_metres.mean != metres.mean
    assert in_millimetres.mean == pytest.approx(1000 * in_metres.mean)


def test_annealing_narrows_gaussians_alone():
    annealed = product().annealed(0.5).parameters
    assert annealed["gaussian"].width == 0.15
    assert annealed["bernoulli"] == product().parameters["bernoulli"]


# The product


def test_log_prob_adds_up_and_score_lines_up():
    p = product()
    draws = p.sample(7, generator())
    parts = [d.log_prob(column) for d, column in zip(p.parameters.values(), draws.unbind(1), strict=True)]
    torch.testing.assert_close(p.log_prob(draws), sum(parts))
    assert p.score(draws).shape == (7, p.num_parameters) == (7, 4)
    torch.testing.assert_close(p.score(draws)[:, 1:2], p.parameters["bernoulli"].score(draws[:, 1]))


def test_entries_name_every_probability_and_gradients_name_what_moves():
    p = product()
    assert p.entries() == pytest.approx(
        {
            "gaussian": 30,
            "bernoulli/8": 0.7,
            "bernoulli/128": 0.3,
            "categorical/32x32": 0.4,
            "categorical/128x128": 0.6,
        }
    )
    assert p.learned_entries() == ("gaussian", "bernoulli/128", "categorical/32x32", "categorical/128x128")


def test_what_is_not_learned_neither_moves_nor_is_logged():
    fixed = {"distribution": "gaussian", **EXAMPLES["gaussian"], "learned": False}
    p = product(gaussian=fixed)
    moved = p.stepped(torch.ones(p.num_parameters, dtype=torch.float64), 1.0).annealed(0.5)
    assert moved.parameters["gaussian"] == p.parameters["gaussian"]
    assert p.uniform().parameters["gaussian"] == p.parameters["gaussian"]
    assert "gaussian" not in p.entries()


def test_domain_randomisation_covers_every_range_and_learns_nothing():
    uniform = product().uniform()
    assert uniform.num_parameters == 0
    assert uniform.entries() == {}
    draws = uniform.sample(3, generator())
    assert uniform.score(draws).shape == (3, 0)
    assert uniform.stepped(uniform.standardised_gradient(torch.ones_like(draws), draws), 1.0) == uniform
    assert uniform.extremes() == product().extremes()
    assert uniform.parameters["bernoulli"].probability == 0.5


def test_null_switches_a_parameter_off():
    assert list(product(bernoulli=None).parameters) == [name for name in EXAMPLES if name != "bernoulli"]


WRONG = [
    (
        {"distribution": "gaussian", "low": 100, "high": 0, "mean": 3},
        "light: low must be below high, got low=100, high=0",
    ),
    ({"distribution": "uniform", "low": 1, "high": 1}, "light: low must be below high, got low=1, high=1"),
    (
        {"distribution": "gaussian", "low": 0, "high": 10, "mean": 12},
        "light: mean must be within [low, high] = [0, 10], got 12",
    ),
    (
        {"distribution": "gaussian", "low": 0, "high": 10, "mean": 2, "width": 0},
        "light.width: Input should be greater than 0, got 0",
    ),
    (
        {"distribution": "gaussian", "low": 0, "high": 10, "mean": 2, "sigma": 1},
        "light.sigma: Extra inputs are not permitted, got 1",
    ),
    (
        {"distribution": "bernoulli", "values": ["a", "a"], "probability": 0.5},
        "light.values: values must be at least two different ones, got ['a', 'a']",
    ),
    (
        {"distribution": "categorical", "values": [1, 2], "probabilities": [0.5, 0.2]},
        "light: probabilities must sum to 1, got 0.7",
    ),
    (
        {"distribution": "categorical", "values": [1, 2], "probabilities": [1]},
        "light: probabilities must be 2, one per value, got 1",
    ),
    ({"distribution": "beta"}, "light: Input tag 'beta' found using 'distribution' does not match"),
    (None, ": at least one parameter must have a distribution, got none"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_bad_settings_are_refused(settings: dict | None, message: str):
    said = re.sub(r", got \d$", "", message.partition(": ")[2])
    with pytest.raises(ValidationError, match=re.escape(said)):
        ProductDistribution.model_validate({"light": settings})


@pytest.mark.parametrize("name", ["seed", "light.draw"])
def test_names_of_a_scene_tables_own_columns_are_refused(name: str):
    with pytest.raises(ValidationError, match=f"name must not be seed and not end in .draw, .* got {name}"):
        ProductDistribution.model_validate({name: GAUSSIAN.model_dump()})


def test_scene_table_gives_back_what_it_was_made_of():
    """Names that hold `.draw` elsewhere included."""
    p = ProductDistribution.model_validate({"cupboard.drawer": GAUSSIAN.model_dump(), "kind": BERNOULLI.model_dump()})
    table = draw_scenes(p, 5, 0, "test")
    assert p.scenes(draws_of(table)) == scenes_of(table)
    assert len(set(seeds_of(table))) == 5
