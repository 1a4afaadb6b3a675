"""The search methods, and the whole loop on the toy simulator without Kedro."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
import torch

import cases
from autosimulate_pipeline.distributions import Gaussian, ProductDistribution
from autosimulate_pipeline.hypergradient.implicit import (
    HypergradientSettings,
    ImplicitProblem,
    validation_influences,
)
from autosimulate_pipeline.loop.judging import evaluate
from autosimulate_pipeline.loop.loop import run_loop
from autosimulate_pipeline.loop.problem import influences_on
from autosimulate_pipeline.loop.scenes import draw_scenes, draws_of, scenes_of, seeds_of
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport
from autosimulate_pipeline.search import (
    SEARCH_METHODS,
    LoopSettings,
    LoopTrainingSettings,
    SearchSettings,
    build_search_method,
    starting_distribution,
)
from autosimulate_pipeline.search.base import Influences, Observation, SearchMethod, SearchState
from autosimulate_pipeline.simulators.toy import ToySimulator
from autosimulate_pipeline.task_models import UNetSettings, build_task_model, ravel, unravel

START = ProductDistribution.model_validate(cases.TOY_START)
HIDDEN = ProductDistribution.model_validate(cases.TOY_HIDDEN)


def build(name: str, search: dict[str, object] | None = None, **loop: float) -> SearchMethod:
    """The method of that name, for a start that somebody chose."""
    settings = LoopSettings.model_validate({"num_images": 8} | loop)
    chosen = SearchSettings.model_validate({"start": "configured"} | (search or {}))
    return build_search_method(name, settings, chosen, HypergradientSettings())


def drawn(distribution: ProductDistribution, num_images: int, seed: int, purpose: str) -> AnnotatedDataset:
    """Images of the toy simulator."""
    table = draw_scenes(distribution, num_images, seed, purpose)
    return ToySimulator().render(scenes_of(table), seeds_of(table))


def observe(
    draws: torch.Tensor, loss: float, values: torch.Tensor | None = None, miou: float = 0.5, minutes: float = 0.0
) -> Observation:
    """An observation whose influences are the given ones."""
    influences = values if values is not None else torch.linspace(-1, 1, len(draws), dtype=torch.float64)
    report = EvaluationReport(loss=loss, miou=miou)
    return Observation(
        draws, report, lambda _before, _settings: Influences(influences[:, None], 1, "", 0, 0), minutes=minutes
    )


@pytest.mark.parametrize("name", SEARCH_METHODS)
def test_state_is_a_value_that_can_be_saved_at_any_time(name: str) -> None:
    """Going on from a saved state gives the same states as never having stopped."""
    method = build(name)
    state = method.init(START, seed=3)
    for iteration in range(3):
        saved = SearchState.model_validate_json(state.model_dump_json())
        assert saved == state
        draws = method.propose(state).sample(8, derive_generator(3, iteration))
        again, _ = method.update(saved, observe(draws, 1 / (iteration + 1)))
        state, _ = method.update(state, observe(draws, 1 / (iteration + 1)))
        assert again == state
    assert (state.iteration, state.images_rendered, len(state.validation_losses)) == (3, 24, 3)


@pytest.mark.parametrize("name", SEARCH_METHODS)
def test_seed_decides_what_is_proposed(name: str) -> None:
    """Equal seeds propose the same; other seeds something else where the method draws at all, after the start."""
    method = build(name)

    def proposals(seed: int) -> list[dict[str, float]]:
        state = method.init(START, seed)
        entries = [method.propose(state).entries()]
        for miou in (0.2, 0.3):
            state, _ = method.update(state, observe(START.sample(8, derive_generator(0)), 1.0, miou=miou))
            entries.append(method.propose(state).entries())
        return entries

    first, other = proposals(1), proposals(2)
    assert proposals(1) == first
    assert (first[1:] != other[1:]) == method.trains_from_scratch


@pytest.mark.parametrize("start", ["inferred", "configured"])
@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_black_box_search_tries_the_start_first_and_then_looks_near_an_inferred_one(name: str, start: str) -> None:
    """Within three widths of it; about a configured one, which nobody measured, over the whole ranges."""
    method = build(name, search={"start": start})
    state = method.init(HIDDEN, 0)
    floored = HIDDEN.at(HIDDEN.point())
    assert method.propose(state).entries() == pytest.approx(floored.entries(), abs=1e-6)
    tried = []
    for number in range(8):
        miou = 0.1 * number
        state, _ = method.update(state, observe(HIDDEN.sample(8, derive_generator(0)), 1.0, miou=miou))
        tried.append(method.propose(state).entries())
    hidden = HIDDEN.entries()
    for place in ("square_x", "disc_x", "triangle_y"):
        reach = 3 * 0.1 * 20  # widths of a tenth of the range
        is_near = [abs(entries[place] - hidden[place]) <= reach + 1e-9 for entries in tried]
        assert all(is_near) or start == "configured"
    assert start == "inferred" or max(abs(entries["ambient_light"] - 60) for entries in tried) > 3 * 5


@pytest.mark.parametrize("name", SEARCH_METHODS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_objective_that_is_not_finite_does_not_end_a_search(name: str, bad: float) -> None:
    """One such trial is a lost trial: the state still saves, and the next proposal is a distribution."""
    method = build(name, patience=5)
    state = method.init(START, 0)
    for loss, miou in ((1.0, 0.2), (bad, bad), (0.9, 0.3)):
        draws = method.propose(state).sample(8, derive_generator(0, state.iteration))
        state, _ = method.update(state, observe(draws, loss, miou=miou))
        assert SearchState.model_validate_json(state.model_dump_json()).iteration == state.iteration
    assert all(math.isfinite(entry) for entry in method.propose(state).entries().values())
    assert [trial.reward for trial in state.trials] in ([], [0.2, None, 0.3])


@pytest.mark.parametrize("name", SEARCH_METHODS)
def test_proposals_stay_within_what_is_allowed(name: str) -> None:
    """Whatever the rewards and influences, means stay in their ranges and probabilities above the floor, summing to 1.

    Half the batches draw one value of a category alone: the others have no information.
    """
    method = build(name, search={"step_size": 50.0, "lts": {"num_datasets": 2, "policy_width": 9.0}})
    state = method.init(START, 0)
    for iteration in range(12):
        draws = method.propose(state).sample(8, derive_generator(0, iteration))
        if iteration % 2:
            draws[:, list(START.parameters).index("num_samples")] = 0
        state, _ = method.update(state, observe(draws, 1.0, miou=(-1) ** iteration * iteration))
        proposed = method.propose(state)
        assert ProductDistribution.model_validate(proposed.model_dump()) == proposed
        if proposed.num_parameters:
            probabilities = [v for k, v in proposed.entries().items() if k.startswith("num_samples/")]
            assert sum(probabilities) == pytest.approx(1)
            assert iteration == 0 or min(probabilities) >= 0.05 - 1e-9


@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_black_box_search_answers_with_the_best_it_tried(name: str) -> None:
    method = build(name)
    state = method.init(START, 0)
    tried = []
    for miou in (0.2, 0.7, 0.4):
        proposed = method.propose(state)
        tried.append(proposed)
        state, _ = method.update(state, observe(proposed.sample(8, derive_generator(0)), 1.0, miou=miou))
    assert state.distribution == tried[1]
    assert len({str(proposed.entries()) for proposed in tried}) == 3


@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_state_with_a_coordinate_for_each_probability_is_refused(name: str) -> None:
    """What versions saved in which the simplex of n values had n coordinates."""
    method = build(name)
    state = method.init(START, 0)
    assert len(state.candidate) == START.num_coordinates < START.num_parameters
    old = state.model_copy(update={"candidate": (0.5,) * START.num_parameters})
    message = (
        f"a point of {name}'s search state must have {START.num_coordinates} coordinates, got {START.num_parameters}: "
        "another version of the code saved it; start another run"
    )
    for go_on in (
        method.propose,
        lambda state: method.update(state, observe(START.sample(8, derive_generator(0)), 1.0)),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            go_on(old)


def test_bayesian_search_finds_the_maximum_of_a_smooth_reward_sooner_than_random_search() -> None:
    """Reward: minus the squared distance of square_x to -5 and disc_x to 2; regret after 25 trials, over seeds."""

    def regret(name: str, seed: int) -> float:
        method = build(name)
        state = method.init(START, seed)
        for _ in range(25):
            entries = method.propose(state).entries()
            miou = -((entries["square_x"] + 5) ** 2 + (entries["disc_x"] - 2) ** 2)
            state, _ = method.update(state, observe(START.sample(8, derive_generator(0)), 1.0, miou=miou))
        return -max(trial.reward for trial in state.trials if trial.reward is not None)

    bayesian, random = (sum(regret(name, seed) for seed in range(3)) for name in ("bayesian", "random"))
    assert bayesian < 0.5 * random


@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
def test_lts_climbs_its_reward(baseline: str) -> None:
    """The policy's mean of square_x goes from 5 towards -5, where the reward is highest; it moves every 5 trials."""
    method = build("lts", search={"lts": {"num_datasets": 5, "baseline": baseline}}, num_iterations=200)
    state = method.init(START, 0)
    moves = []
    for _ in range(200):
        before = state.distribution
        miou = -abs(method.propose(state).parameters["square_x"].mean + 5)
        state, _ = method.update(state, observe(START.sample(8, derive_generator(0)), 1.0, miou=miou))
        moves.append(state.distribution != before)
    assert state.distribution.parameters["square_x"].mean < -2
    assert moves == [False, False, False, False, True] * 40


@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
def test_lts_goes_on_after_a_step_whose_datasets_all_failed(baseline: str) -> None:
    method = build("lts", search={"lts": {"num_datasets": 3, "baseline": baseline}})
    state = method.init(START, 0)
    for miou in (math.nan, math.nan, math.nan, 0.1, 0.2, 0.4):
        state, _ = method.update(state, observe(START.sample(8, derive_generator(0)), 1.0, miou=miou))
    assert state.distribution != method.init(START, 0).distribution


@pytest.mark.parametrize("loop", [{"num_iterations": 7}, {"max_images": 60}])
@pytest.mark.parametrize("baseline", ["leave_one_out", "moving_average"])
def test_lts_ends_with_a_step_from_the_trials_left_over(baseline: str, loop: dict[str, int]) -> None:
    """Of seven trials two come after the only whole five: with the better one's noise, against the worse one's."""
    method = build("lts", search={"lts": {"num_datasets": 5, "baseline": baseline}}, **loop)
    state = method.init(START, 0)
    moved = []
    for miou in (0.3, 0.1, 0.2, 0.0, 0.15, 0.05, 0.25):  # the first five have the mean of the last two
        assert not state.is_finished
        before = state.distribution
        state, _ = method.update(state, observe(START.sample(8, derive_generator(0)), 1.0, miou=miou))
        moved.append(state.distribution != before)
    assert moved == [False, False, False, False, True, False, True]
    worse, better = (trial.as_tensor() for trial in state.trials[-2:])
    expected = before.stepped((better - worse) / 2, 1.0).entries()
    assert state.distribution.entries() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rewards", [(0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4, math.nan)])
def test_lts_takes_no_last_step_from_one_trial(rewards: tuple[float, ...]) -> None:
    method = build("lts", search={"lts": {"num_datasets": 3}}, num_iterations=len(rewards))
    state = method.init(START, 0)
    moved = []
    for miou in rewards:
        before = state.distribution
        state, _ = method.update(state, observe(START.sample(8, derive_generator(0)), 1.0, miou=miou))
        moved.append(state.distribution != before)
    assert moved == [False, False, True] + [False] * (len(rewards) - 3)


def test_lts_tells_rewards_apart_that_are_one_float32() -> None:
    method = build("lts", search={"lts": {"num_datasets": 2}})
    state = method.init(START, 0)
    for miou in (0.5, 0.5 + 1e-9):
        state, _ = method.update(state, observe(START.sample(8, derive_generator(0)), 1.0, miou=miou))
    assert state.distribution != method.init(START, 0).distribution


@pytest.mark.parametrize("name", SEARCH_METHODS)
def test_budgets_and_plateau_stop_the_search(name: str) -> None:
    draws = START.sample(8, derive_generator(0))
    budget = build(name, max_images=20)
    state = budget.init(START, 0)
    for _ in range(2):
        assert state.stopped is None
        state, _ = budget.update(state, observe(draws, 1.0))
    assert state.stopped == "image budget: 16 of 20 images rendered"
    hurried = build(name, max_minutes=2)
    state = hurried.init(START, 0)
    for minutes in (0.5, 2.5):
        assert not state.is_finished
        state, _ = hurried.update(state, observe(draws, 1.0, minutes=minutes))
    assert state.stopped == "time budget: 2.5 of 2 minutes used"
    patient = build(name, patience=2)
    state = patient.init(START, 0)
    for loss in (1.0, 0.5, 0.6, 0.7):
        assert state.stopped is None
        state, _ = patient.update(state, observe(draws, loss))
    assert state.stopped == "plateau: no better validation loss for 2 iterations"


@pytest.mark.parametrize("name", SEARCH_METHODS)
def test_pilot_images_are_counted_in_the_budget(name: str) -> None:
    budget = build(name, max_images=36)
    state = budget.init(START, 0, num_pilot_images=20)
    assert (state.iteration, state.images_rendered) == (0, 20)
    for stopped in (None, "image budget: 36 of 36 images rendered"):
        state, _ = budget.update(state, observe(START.sample(8, derive_generator(0)), 1.0))
        assert state.stopped == stopped


def test_search_starts_where_it_is_told_to() -> None:
    chosen = {start: SearchSettings.model_validate({"start": start}) for start in ("inferred", "configured", "uniform")}
    starts = {start: starting_distribution(settings, START, HIDDEN) for start, settings in chosen.items()}
    assert starts == {"inferred": HIDDEN, "configured": START, "uniform": START.widest()}
    with pytest.raises(ValueError, match="where nothing was inferred, got inferred"):
        starting_distribution(chosen["inferred"], START, None)


@pytest.mark.parametrize("name", ["bayesian", "random", "lts"])
def test_widths_that_were_inferred_stay_and_configured_ones_are_narrowed(name: str) -> None:
    """By `search.trials.width_factor`, a half."""
    for start, factor in (("inferred", 1.0), ("configured", 0.5)):
        state = build(name, search={"start": start}).init(HIDDEN, 0)
        for place in ("square_x", "ambient_light"):
            hidden, first = HIDDEN.parameters[place], state.distribution.parameters[place]
            assert isinstance(hidden, Gaussian) and isinstance(first, Gaussian)
            assert first.width == factor * hidden.width


def test_first_iteration_has_no_weights_to_score_with() -> None:
    method = build("autosimulate")
    state = method.init(START, 0)
    draws = START.sample(8, derive_generator(0))
    first, report = method.update(state, observe(draws, 1.0))
    assert first.distribution == START
    assert report.solver_outcome == "not_run"
    second, report = method.update(first, observe(draws, 1.0))
    assert second.distribution != START
    assert report.gradient.keys() == set(START.learned_entries())


def test_mode_paper_is_the_supplements_unless_conf_says_otherwise() -> None:
    seen: list[tuple[bool, HypergradientSettings]] = []
    draws = START.sample(8, derive_generator(0))

    def influences(before_fit: bool, settings: HypergradientSettings) -> Influences:
        seen.append((before_fit, settings))
        return Influences(torch.linspace(-1, 1, 8, dtype=torch.float64)[:, None], 1, "", 0, 0)

    observation = Observation(draws, EvaluationReport(loss=1.0), influences)
    for hypergradient in (HypergradientSettings(), HypergradientSettings(solver="conjugate_gradient")):
        method = build_search_method("autosimulate", LoopSettings(), SearchSettings(mode="paper"), hypergradient)
        state, _ = method.update(method.init(START, 0), observation)
        assert state.distribution.parameters["square_x"].width == START.parameters["square_x"].width
    assert [(before, used.curvature, used.solver) for before, used in seen] == [
        (False, "hessian", "newton_cg"),
        (False, "hessian", "conjugate_gradient"),
    ]


def test_settings_in_mode_paper_hold_what_runs() -> None:
    filled = {"width_decay": 1.0, "score_before_fit": False, "credit": "image", "standardised": False}
    paper = SearchSettings(mode="paper")
    assert paper.model_dump(include=set(filled)) == filled
    assert SearchSettings(**paper.model_dump()) == paper
    assert SearchSettings.model_validate_json(paper.model_dump_json()) == paper
    assert SearchSettings.model_validate({"mode": "paper", "credit": "category"}).credit == "category"
    method = build_search_method("autosimulate", LoopSettings(), paper, HypergradientSettings(damping=3))
    assert method.search == paper
    assert method.hypergradient == HypergradientSettings(damping=3, curvature="hessian", solver="newton_cg")


def test_step_moves_towards_what_helps() -> None:
    """Influence that grows with square_x moves square_x up and nothing that is unrelated by as much."""
    method = build("autosimulate", num_images=400)
    state, _ = method.update(method.init(START, 0), observe(START.sample(400, derive_generator(0)), 1.0))
    draws = START.sample(400, derive_generator(1))
    column = list(START.parameters).index("square_x")
    moved, report = method.update(state, observe(draws, 1.0, values=draws[:, column]))
    shift = moved.distribution.parameters["square_x"].mean - START.parameters["square_x"].mean
    assert shift == 5  # a step of up to two widths, 12, that ends at the end of the range: the correlation is perfect
    assert report.gradient["square_x"] > 0


@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("credit", ["category", "image"])
def test_objects_parameters_are_moved_by_their_own_pixels_alone(credit: str, standardised: bool) -> None:
    """f of the disc's pixels grows with square_x by accident. The square is not credited with it, the light is.

    The batch is one in which disc_x and square_x happen to be the same, as chance does in small batches.
    """
    plain = {} if standardised else {"standardised": False, "learning_rate": 0.05}
    method = build("autosimulate", search={"credit": credit} | plain, num_images=100)
    state, _ = method.update(method.init(START, 0), observe(START.sample(100, derive_generator(0)), 1.0))
    draws = START.sample(100, derive_generator(1))
    columns = {name: index for index, name in enumerate(START.parameters)}
    accident = draws[:, columns["disc_x"]].clone()
    draws[:, columns["square_x"]] = draws[:, columns["ambient_light"]] = accident
    square = torch.linspace(-1, 1, 100, dtype=torch.float64)[torch.randperm(100, generator=derive_generator(2))]
    parts = torch.stack([torch.zeros(100).double(), 1e-6 * square, accident, torch.zeros(100).double()], dim=1)
    seen = Observation(
        draws,
        EvaluationReport(loss=1.0),
        lambda _before, _settings: Influences(parts, 1, "", 0, 0),
        owners={
            name: 1 + ("square", "disc", "triangle").index(owner)
            for name, owner in ToySimulator.owners.items()
            if name in columns
        },
    )
    moved = method.update(state, seen)[0].distribution.parameters

    def widths_moved(name: str) -> float:
        before = state.distribution.parameters[name]
        return abs(moved[name].mean - before.mean) / (before.width * (before.high - before.low))

    assert widths_moved("disc_x") > 0.8
    assert widths_moved("ambient_light") > 0.25  # stopped by the end of its range
    assert (widths_moved("square_x") > 0.8) == (credit == "image")


def test_parts_of_the_influence_add_up_to_it() -> None:
    """To f of the whole images from the same problem posed without parts; float32 to 1e-3 of the largest f."""
    simulator = ToySimulator()
    model = build_task_model(simulator.categories, UNetSettings(input_size=32, base_channels=8, device="cpu"))
    images = drawn(START, 6, 0, "parts")
    weights, batch = model.initial_weights(0), model.prepare(images)

    def losses(theta: torch.Tensor) -> torch.Tensor:
        return model.per_image_losses(unravel(theta, weights), batch)

    settings = HypergradientSettings(curvature="hessian", solver="identity", max_steps=1)
    whole = validation_influences(ImplicitProblem(losses, lambda theta: losses(theta).mean()), ravel(weights), settings)
    influences = influences_on(images, images, model, weights, settings)
    tolerance = {"atol": 1e-3 * float(whole.influences.abs().max()), "rtol": 0}
    assert influences.parts.shape == (6, 4)
    torch.testing.assert_close(influences.values, whole.influences.double(), **tolerance)
    objects = sum(influences.credited_to(category) for category in (1, 2, 3)) - 2 * influences.parts[:, 0]
    torch.testing.assert_close(objects, influences.values)


def test_validation_images_in_several_passes_give_the_same_influences_and_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = ToySimulator()
    model = build_task_model(simulator.categories, UNetSettings(input_size=32, base_channels=8, device="cpu"))
    images = drawn(START, 7, 0, "passes")
    weights = model.initial_weights(0)
    at_once = influences_on(images, images, model, weights, HypergradientSettings()).values
    report = evaluate(model, weights, images)
    monkeypatch.setattr(type(model), "images_per_pass", 3)
    in_passes = influences_on(images, images, model, weights, HypergradientSettings()).values
    torch.testing.assert_close(in_passes, at_once, rtol=1e-3, atol=1e-4 * float(at_once.abs().max()))
    assert evaluate(model, weights, images).loss == pytest.approx(report.loss, rel=1e-5)


def test_frozen_weights_stay_in_every_iteration() -> None:
    simulator = ToySimulator()
    settings = UNetSettings(input_size=32, base_channels=8, device="cpu", frozen=("encoder_1",))
    model = build_task_model(simulator.categories, settings)
    validation_set = drawn(HIDDEN, 4, 0, "validation")
    training = LoopTrainingSettings(first_epochs=1, epochs=1, retained=0.4)
    method = build("frozen", num_iterations=2)
    first, second = run_loop(method, START, simulator, model, validation_set, training)
    start = model.initial_weights(derive_seed(0, "initial weights"))
    for name, weight in start.items():
        is_frozen = name.startswith("encoder_1")
        assert torch.equal(first.weights[name], weight) == torch.equal(second.weights[name], weight) == is_frozen, name


def test_frozen_weights_have_no_part_in_the_influences() -> None:
    """With v = g, f is the inner product of two gradients: here by backward passes over the trained weights."""
    simulator = ToySimulator()
    settings = UNetSettings(input_size=32, base_channels=8, device="cpu", frozen=("encoder",))
    model = build_task_model(simulator.categories, settings)
    images = drawn(START, 4, 0, "frozen")
    weights, batch = model.initial_weights(0), model.prepare(images)
    trained = {n: w.requires_grad_() for n, w in weights.items() if not n.startswith("encoder")}
    losses = model.per_image_losses(weights, batch)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trained.values()), retain_graph=True)])
        for loss in losses
    ]
    expected = torch.stack(rows) @ torch.stack(rows).mean(0)
    detached = {name: weight.detach() for name, weight in weights.items()}
    identity = HypergradientSettings(solver="identity", max_steps=1)
    values = influences_on(images, images, model, detached, identity).values
    torch.testing.assert_close(values.float(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("mode", ["recommended", "paper"])
def test_influences_that_are_not_finite_are_refused(mode: str) -> None:
    method = build("autosimulate", search={"mode": mode})
    draws = START.sample(8, derive_generator(0))
    state, _ = method.update(method.init(START, 0), observe(draws, 1.0))
    with pytest.raises(ValueError, match="influences must be finite, got 1 of 8"):
        method.update(state, observe(draws, 1.0, values=torch.tensor([math.nan, *[0.0] * 7], dtype=torch.float64)))


def test_scene_table_keeps_what_was_drawn_beside_what_is_rendered() -> None:
    wide = ProductDistribution.model_validate(
        cases.TOY_START | {"square_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": 9, "width": 1}}
    )
    table = draw_scenes(wide, 50, 0, "test")
    assert table["square_x"].between(-10, 10).all()
    assert (table["square_x.draw"] > 10).any()
    torch.testing.assert_close(draws_of(table), wide.sample(50, derive_generator(0, "scenes", "test")), rtol=0, atol=0)
    assert set(scenes_of(table)[0]) == set(wide.parameters)
    assert len(set(seeds_of(table))) == 50
    pd.testing.assert_frame_equal(table, draw_scenes(wide, 50, 0, "test"))


def learn(name: str, seed: int) -> float:
    """The last validation loss of a short run on the toy simulator."""
    simulator = ToySimulator()
    model = build_task_model(simulator.categories, UNetSettings(input_size=32, base_channels=8, device="cpu"))
    method = build(name, num_images=16, num_iterations=8)
    validation_set = drawn(HIDDEN, 20, seed, "validation")
    training = LoopTrainingSettings(first_epochs=8, retained=1, window=1)
    steps = run_loop(method, START, simulator, model, validation_set, training, seed)
    return [step.validation.loss for step in steps][-1]


def test_search_does_better_on_the_toy_simulator_than_a_psi_that_stays() -> None:
    """On at least 4 of 5 seeds, with as many images and epochs."""
    assert sum(learn("autosimulate", seed) < learn("frozen", seed) for seed in range(5)) >= 4
