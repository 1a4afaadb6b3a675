"""What a hypergradient costs: each part by every way there is, and the whole beside the training that it goes with.

    python benchmarks/hypergradient.py [--num-images 30] [--repeats 7] [--write]

On the default task model, with K rendered images and the default's validation images, the weights as iteration 0 leaves
them. The ways of a table take turns, so that a busy moment of the machine touches all of them; times are medians and
quartiles over the repeats, after one warm-up each. Prints tables; --write puts them into docs/results/hypergradient.md.
Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as RichTable
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor, nn
from torch.func import functional_call

from autosimulate_pipeline.configuration import ProjectConfigLoader, check_parameters
from autosimulate_pipeline.hypergradient import HypergradientSettings, validation_influences
from autosimulate_pipeline.hypergradient.influence import sample_by_sample
from autosimulate_pipeline.hypergradient.jacobian import Product, double_backward, forward_mode, gradient
from autosimulate_pipeline.hypergradient.linear_solvers import LINEAR_SOLVERS, Outcome, Solution
from autosimulate_pipeline.hypergradient.operators import damped, hessian_product
from autosimulate_pipeline.randomness import derive_generator
from autosimulate_pipeline.search.settings import PAPER_HYPERGRADIENT
from autosimulate_pipeline.task_models import Batch, fit, num_weights, unravel
from hypergradient_case import SEED, Case, curvlinops_operator, network_of, prepare, with_plain_group_norm
from tables import markdown

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "docs/results/hypergradient.md"
ENVIRONMENT = "base"
"""Of conf/; base is the default experiment, without what a user has put into conf/local."""
NUM_DIRECTIONS = 5
"""Random directions along which our products are compared with curvlinops'."""


@dataclass(frozen=True)
class Table:
    """One measurement; the cells are text, the first of each row its name."""

    title: str
    explanation: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def for_terminal(self) -> RichTable:
        table = RichTable(title=self.title, caption=self.explanation, title_justify="left", caption_justify="left")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def in_markdown(self) -> str:
        return "\n\n".join([f"## {self.title}", self.explanation, markdown(self.columns, self.rows)])


@dataclass(frozen=True)
class Milliseconds:
    """Of one way, over the repeats."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    def __str__(self) -> str:
        low, high = np.quantile(self.values, [0.25, 0.75])
        digits = 0 if self.median >= 100 else 1
        return f"{self.median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def in_turns(ways: Mapping[str, Callable[[], object]], num_repeats: int) -> dict[str, Milliseconds]:
    """The time of each way; the first round is the warm-up."""
    rounds = [{name: milliseconds_of(way) for name, way in ways.items()} for _ in range(1 + num_repeats)]
    return {name: Milliseconds(tuple(times[name] for times in rounds[1:])) for name in ways}


def milliseconds_of(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def relative_difference(value: Tensor, reference: Tensor) -> float:
    """‖value − reference‖ / ‖reference‖."""
    return float((value - reference).norm() / reference.norm())


def influences_table(case: Case, num_repeats: int) -> Table:
    losses = case.problem.per_sample_losses
    inverse_hvp = solve(case, case.parameters.hypergradient)[0].value
    ways = {
        "forward mode": lambda: forward_mode(losses, case.theta)(inverse_hvp),
        "double backward": lambda: double_backward(losses, case.theta)(inverse_hvp),
        "one backward per image": lambda: sample_by_sample(losses, case.theta)(inverse_hvp),
    }
    for_scale = {
        "(the losses, no derivative)": lambda: losses(case.theta),
        "(the gradient of their mean)": lambda: gradient(case.loss, case.theta),
    }
    times = in_turns(ways | for_scale, num_repeats)
    one_by_one = ways["one backward per image"]()
    differences = {name: f"{relative_difference(way(), one_by_one):.1g}" for name, way in ways.items()}
    chosen = times["forward mode"].median
    return Table(
        f"f of {len(case.batch)} images, v given",
        "Graphs included; the rows in brackets are for scale. Difference: ‖f − f′‖ / ‖f′‖ with f′ by one backward per "
        "image.",
        ("", "ms", "of forward mode", "difference"),
        [(name, str(time), f"{time.median / chosen:.2f}", differences.get(name, "")) for name, time in times.items()],
    )


def products_table(case: Case, num_repeats: int) -> Table:
    network = network_of(case)
    plain = with_plain_group_norm(copy.deepcopy(network))

    def loss_on_plain(theta: Tensor) -> Tensor:
        return case.loss_of_outputs(functional_call(plain, unravel(theta, case.weights), (case.batch.images,)))

    builders: dict[str, Callable[[], Product]] = {
        "GGN": partial(case.curvature, "ggn"),
        "GGN, curvlinops": lambda: curvlinops_operator("GGN", case, network).__matmul__,
        "Hessian": partial(case.curvature, "hessian"),
        "Hessian, plain": partial(hessian_product, loss_on_plain, case.theta),
        "Hessian, plain, curvlinops": lambda: curvlinops_operator("Hessian", case, plain).__matmul__,
    }
    references = {
        "GGN": "GGN, curvlinops",
        "Hessian": "Hessian, plain, curvlinops",
        "Hessian, plain": "Hessian, plain, curvlinops",
    }
    directions = [
        torch.randn(case.theta.shape, generator=derive_generator(SEED, "direction", index)).to(case.theta.device)
        for index in range(NUM_DIRECTIONS)
    ]
    products = {name: build() for name, build in builders.items()}

    def from_the_weights(build: Callable[[], Product]) -> Tensor:
        return build()(directions[0])

    first = in_turns({name: partial(from_the_weights, build) for name, build in builders.items()}, num_repeats)
    further = in_turns({name: partial(product, directions[0]) for name, product in products.items()}, num_repeats)
    differences = {
        ours: f"{max(relative_difference(products[ours](v), products[theirs](v)) for v in directions):.1g}"
        for ours, theirs in references.items()
    }
    return Table(
        f"One product with {len(case.batch)} images' curvature",
        "First: from the weights, graphs included; further: each after that. Plain: the same network with GroupNorm in "
        "plain operations, because curvlinops takes the Hessian by forward over reverse, which PyTorch's GroupNorm "
        f"does not support. Difference: ‖ours − curvlinops'‖ / ‖curvlinops'‖, largest of {NUM_DIRECTIONS} random "
        "directions.",
        ("", "first, ms", "further, ms", "difference"),
        [(name, str(first[name]), str(further[name]), differences.get(name, "")) for name in builders],
    )


class Counted:
    """A product, with how often it was taken."""

    def __init__(self, product: Callable[[Any], Any]) -> None:
        self.product, self.num_products = product, 0

    def __call__(self, direction: Any) -> Any:
        self.num_products += 1
        return self.product(direction)


def solve(case: Case, settings: HypergradientSettings) -> tuple[Solution, int]:
    """(C + λI) v = ∇L_val as `validation_influences` does it, with the number of products it really took."""
    product = Counted(damped(case.curvature(settings.curvature), settings.damping))
    solution = LINEAR_SOLVERS[settings.solver](product, case.validation_gradient, settings)
    return solution, product.num_products


def solve_outside(case: Case, settings: HypergradientSettings, network: nn.Module) -> tuple[Solution, int]:
    """The same by SciPy's CG on curvlinops' GGN, with nothing of ours but the network and its loss."""
    product = Counted(curvlinops_operator("GGN", case, network).to_scipy().matvec)
    right = case.validation_gradient.cpu().double().numpy()
    matrix = LinearOperator(
        (right.size, right.size), matvec=lambda v: product(v) + settings.damping * v, dtype=np.float64
    )
    value, info = cg(matrix, right, rtol=settings.tolerance, maxiter=settings.max_steps)
    outcome = Outcome.MAX_STEPS if info else Outcome.CONVERGED
    num_products = product.num_products
    return Solution(torch.from_numpy(value).to(case.theta), outcome, num_products, float("nan")), num_products


def solves_table(case: Case, num_repeats: int) -> Table:
    settings = case.parameters.hypergradient
    systems = {
        f"GGN, {solver}": settings.model_copy(update={"curvature": "ggn", "solver": solver})
        for solver in ("conjugate_gradient", "scipy_cg", "newton_cg", "neumann", "identity")
    } | {"Hessian, newton_cg": settings.model_copy(update=PAPER_HYPERGRADIENT)}
    outside = "GGN of curvlinops, SciPy's cg"
    ways = {name: partial(solve, case, system) for name, system in systems.items()}
    ways[outside] = partial(solve_outside, case, settings, network_of(case))
    systems[outside] = systems["GGN, conjugate_gradient"]
    answers: dict[str, tuple[Solution, int]] = {}

    def answer(name: str) -> None:
        answers[name] = ways[name]()

    times = in_turns({name: partial(answer, name) for name in ways}, num_repeats)
    reference, _ = answers[outside]

    def row(name: str) -> tuple[str, ...]:
        (solution, num_products), system = answers[name], systems[name]
        image = damped(case.curvature(system.curvature), system.damping)(solution.value)
        residual = relative_difference(image, case.validation_gradient)
        is_same_system = system.curvature == "ggn"
        difference = f"{relative_difference(solution.value, reference.value):.1g}" if is_same_system else ""
        counts = str(solution.num_steps), str(num_products)
        return name, str(times[name]), *counts, str(solution.outcome), f"{residual:.2g}", difference

    return Table(
        f"The solve (C + λI) v = ∇L_val with λ = {settings.damping:g}, C over {len(case.batch)} images",
        f"At most {settings.max_steps} steps, relative residual {settings.tolerance:g}; graphs included, ∇L_val given. "
        "Steps: as the solver reports them (newton_cg, which is SciPy's fmin_ncg, reports its products). Products: all "
        "that were taken, with the one by which some solvers measure the residual at the end. Residual: ‖∇L_val − "
        "(C + λI) v‖ / ‖∇L_val‖, computed anew. Difference: of v from that of the last row, relative. The Hessian with "
        "newton_cg is mode paper.",
        ("", "ms", "steps", "products", "outcome", "residual", "difference"),
        [row(name) for name in ways],
    )


def whole_table(case: Case, num_repeats: int) -> Table:
    training, settings = case.parameters.training, case.parameters.hypergradient

    def train(batch: Batch, num_epochs: int) -> None:
        few = training.model_copy(update={"epochs": num_epochs})
        fit(case.model, case.weights, batch, few, derive_generator(SEED, "fine-tuning"))

    paper = settings.model_copy(update=PAPER_HYPERGRADIENT)
    hypergradients: dict[str, Callable[[], object]] = {
        "hypergradient": partial(validation_influences, case.problem, case.theta, settings),
        "hypergradient, mode paper": partial(validation_influences, case.problem, case.theta, paper),
    }
    trainings: dict[str, Callable[[], object]] = {
        f"1 epoch, the {len(case.batch)} images": partial(train, case.batch, 1),
        f"1 epoch, window of {len(case.window)}": partial(train, case.window, 1),
        f"fine-tuning: {training.epochs} epochs, window": partial(train, case.window, training.epochs),
    }
    times = in_turns(hypergradients | trainings, num_repeats)

    def ratios(name: str) -> tuple[str, ...]:
        shares = (times[hypergradient].median / times[name].median for hypergradient in hypergradients)
        return ("", "") if name in hypergradients else tuple(f"{share:.2f}" for share in shares)

    return Table(
        "The whole hypergradient beside training",
        "`validation_influences`: ∇L_val, the solve and f of every image, with the default settings and in mode paper. "
        "The last two columns: these as multiples of the row's training. An iteration has one hypergradient and one "
        "fine-tuning.",
        ("", "ms", "hypergradient / this", "mode paper / this"),
        [(name, str(time), *ratios(name)) for name, time in times.items()],
    )


def conditions(case: Case, num_repeats: int) -> str:
    """What was measured, on what and how often."""
    device, settings = case.theta.device, case.parameters.task_model
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "scipy", "curvlinops-for-pytorch"))
    return (
        f"Milliseconds: median (quartiles) of {num_repeats} repeats. {processor}, threads: {torch.get_num_threads()}; "
        f"{packages}. Task model: {settings.type}, {settings.input_size} px, {num_weights(case.weights)} weights "
        f"({str(case.theta.dtype).removeprefix('torch.')}), trained for {case.parameters.training.first_epochs} epochs "
        f"on the K = {len(case.batch)} images; validation images: {len(case.validation)}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and perhaps writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-images", type=int, default=30, help="K")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="the tables into docs/results/hypergradient.md")
    options = parser.parse_args(arguments)
    if options.num_images < 1 or options.repeats < 1:
        parser.error(
            f"both counts must be at least 1, got --num-images {options.num_images} --repeats {options.repeats}"
        )

    conf, merging = str(PROJECT / "conf"), {"parameters": "soft"}
    loader = ProjectConfigLoader(conf, ENVIRONMENT, base_env="base", default_run_env="base", merge_strategy=merging)
    case = prepare(check_parameters(loader["parameters"]), options.num_images)
    console, tables = Console(width=None if sys.stdout.isatty() else 120), []
    console.print(conditions(case, options.repeats))
    for measure in (influences_table, products_table, solves_table, whole_table):
        tables.append(measure(case, options.repeats))
        console.print("", tables[-1].for_terminal())
    if options.write:
        title = "# Cost of the hypergradient\n\n    python benchmarks/hypergradient.py --write"
        sections = [title, conditions(case, options.repeats), *(table.in_markdown() for table in tables)]
        RESULTS.write_text("\n\n".join(sections) + "\n")


if __name__ == "__main__":
    main()
