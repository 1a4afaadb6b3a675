"""What Bayesian optimisation and Learning To Simulate reach when they may render ten and thirty times as many images.

    python benchmarks/clevr_long_runs.py [--methods bayesian lts] [--seeds 5 6] [--jobs 2]

The runs of clevr_comparison.py, only longer: the same settings, seeds and hidden images. AutoSimulate's numbers are
read from docs/results/, where clevr_comparison.py --write has put them. Prints a table: images until a network of the
search does so well on the validation images, and what 100 fresh images of the last ψ are worth on the test images.
Everything is kept: stop it, call it again, add seeds. One core takes about half an hour for Bayesian optimisation,
and an hour for Learning To Simulate, for each seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

import benchmark_runs
from autosimulate_pipeline.evaluation.comparison import cost_to_reach, median_cost
from autosimulate_pipeline.grid.grids import Trial
from benchmark_runs import CONFIGURED, fresh
from clevr_ablations import answer_of
from clevr_comparison import HIDDEN_SEED, METHODS, NUM_FRESH, SEEDS
from clevr_comparison import NAME as COMPARISON
from tables import markdown

NAME = "clevr-long-runs"
LEVELS = (0.4, 0.5, 0.6, 0.7)
LENGTHS: dict[str, dict[str, Any]] = {
    "bayesian": {"loop.num_iterations": 90},
    "lts": {"loop.num_iterations": 270},
}
"""4,500 images: ten times AutoSimulate's 450 until mIoU 0.6; and 8,100: thirty times its 270 until mIoU 0.5."""


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the table."""
    parser = benchmark_runs.arguments(str(__doc__), SEEDS[:2])
    parser.add_argument("--methods", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    options = parser.parse_args(command_line)
    benchmark_runs.use_project()
    hidden = {"reference_data.hidden_simulator.seed": HIDDEN_SEED}
    shared = hidden | benchmark_runs.reference_folders(COMPARISON, hidden)
    trials = {
        method: benchmark_runs.searches(
            f"long-{method}", pipeline, CONFIGURED | settings | LENGTHS[method] | shared, options.seeds
        )
        for method in options.methods
        for pipeline, settings in [METHODS[method]]
    }
    every = [trial for of_method in trials.values() for trial in of_method]
    benchmark_runs.run_searches(NAME, every, options.jobs)
    benchmark_runs.answer([(fresh, trial, answer_of(trial)) for trial in every], options.jobs)
    table = markdown(
        ["seed", "", *(f"mIoU {level}" for level in LEVELS), "best mIoU", f"test mIoU, {NUM_FRESH} fresh", "test mAP"],
        sorted([*ours(options.seeds), *map(long, every)], key=lambda cells: int(cells[0])),
    )
    (benchmark_runs.PROJECT / "data/08_reporting" / NAME / "table.md").write_text(table + "\n")
    print(table)


def ours(seeds: Sequence[int]) -> Iterator[list[str]]:
    """AutoSimulate's rows, of the comparison's searches."""
    progress = pd.read_csv(benchmark_runs.RESULTS / "clevr_progress.csv").query("method == 'autosimulate'")
    networks = pd.read_csv(benchmark_runs.RESULTS / "clevr_networks.csv").query("method == 'autosimulate'")
    last = networks.query("network == 'fresh' and size == @NUM_FRESH and images == images.max()").set_index("seed")
    for seed in seeds:
        search, tested = progress[progress["seed"] == seed], last.loc[seed]
        figures = tested["test_miou"], tested["test_map"]
        yield row("autosimulate", seed, list(search["images"]), list(search["validation_miou"]), figures)


def long(trial: Trial) -> list[str]:
    """The row of a long run."""
    loop = trial.parameters.loop
    images = [loop.num_images * (k + 1) for k in range(loop.num_iterations)]
    validation = [report.miou for report in benchmark_runs.validation_reports(trial)]
    tested = fresh(trial, *answer_of(trial))["test"]
    return row(trial.pipeline, trial.parameters.seed, images, validation, (tested.miou, tested.map))


def row(
    method: str, seed: int, images: Sequence[int], validation: Sequence[float], tested: tuple[float, float]
) -> list[str]:
    """Images until each level, the search's best network, and what its answer is worth on the test images."""
    reached = [median_cost([cost_to_reach(level, validation, images)], [images[-1]]) for level in LEVELS]
    return [str(seed), f"{method}, {images[-1]} images", *reached, *(f"{v:.3f}" for v in (max(validation), *tested))]


if __name__ == "__main__":
    main()
