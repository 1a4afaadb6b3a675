"""What each part of the method is for: one changed at a time, at equal images, on the default experiment.

    python benchmarks/clevr_ablations.py [--seeds 20 21 22] [--jobs 2] [--only NAME ...]

A variant is worth what a network trained on 100 fresh images from its learned ψ does on the test images. Prints a table
and keeps it in data/08_reporting/clevr-ablations/. Everything is kept: stop it, call it again, add seeds. The hidden
images are others than those of the comparison. Two cores take about three minutes for a row of three seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import benchmark_runs
from autosimulate_pipeline.grid.grids import Trial
from benchmark_runs import CONFIGURED, Reports, fresh, interval, state_at
from tables import markdown

NAME = "clevr-ablations"
SEEDS = (20, 21, 22)
HIDDEN_SEED = 4343
GAUSSIANS = (
    "ambient_light",
    "back_light",
    *(f"{name}_{axis}" for name in ("cube", "sphere", "cylinder") for axis in "xy"),
)


def start_width(width: float) -> dict[str, Any]:
    """σ₀ of every Gaussian."""
    return {f"simulator.parameters.{name}.width": width for name in GAUSSIANS}


SHORT = {"loop.num_iterations": 8}
"""240 images: a third of a default search, which is where the methods differ most."""

VARIANTS: dict[str, dict[str, Any]] = {
    "default": SHORT,
    "mode paper, α = 0.1": SHORT | {"search.mode": "paper"},
    "Hessian": SHORT | {"hypergradient.curvature": "hessian"},
    "identity (v = g)": SHORT | {"hypergradient.solver": "identity"},
    "f after the fit": SHORT | {"search.score_before_fit": False},
    "σ₀ = 0.15": SHORT | start_width(0.15),
    "λ = 10": SHORT | {"hypergradient.damping": 10},
    "4 CG steps": SHORT | {"hypergradient.max_steps": 4},
    "20 CG steps": SHORT | {"hypergradient.max_steps": 20},
    "K = 15, 16 iterations": {"loop.num_images": 15, "loop.num_iterations": 16, "training.window": 6},
    "K = 48, 5 iterations": {"loop.num_images": 48, "loop.num_iterations": 5, "training.window": 2},
    "λ = 0.01": SHORT | {"hypergradient.damping": 0.01},
    "mode paper, α = 10": SHORT | {"search.mode": "paper", "search.learning_rate": 10},
    "credit by image": SHORT | {"search.credit": "image"},
    "K = 15, step_decay = 0.98": {
        "loop.num_images": 15,
        "loop.num_iterations": 16,
        "training.window": 6,
        "search.step_decay": 0.98,
    },
    "K = 10, step_decay = 0.98": {
        "loop.num_images": 10,
        "loop.num_iterations": 24,
        "training.window": 9,
        "search.step_decay": 0.98,
    },
}


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the table."""
    parser = benchmark_runs.arguments(str(__doc__), SEEDS)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args(command_line)
    variants = {
        variant: (f"ablation-{number}", "autosimulate", overrides)
        for number, (variant, overrides) in enumerate(VARIANTS.items())
        if variant in options.only
    }
    rows = []
    for variant, reports in judged_variants(NAME, variants, options.seeds, options.jobs).items():
        tested = [report["test"] for report in reports]
        by_seed = " ".join(f"{report.miou:.2f}" for report in tested)
        rows.append([variant, interval(r.miou for r in tested), interval(r.map for r in tested), by_seed])
    table = markdown(["variant", "test mIoU", "test mAP", "by seed, mIoU"], rows)
    (benchmark_runs.PROJECT / "data/08_reporting" / NAME / "table.md").write_text(table + "\n")
    print(table)


def judged_variants(
    name: str, variants: Mapping[str, tuple[str, str, dict[str, Any]]], seeds: Sequence[int], num_jobs: int
) -> dict[str, list[Reports]]:
    """Of each variant, seed by seed, a network trained on fresh images of its answer; runs what is missing for that.

    Args:
        variants: what the runs of each are called, the pipeline and the overrides.
    """
    benchmark_runs.use_project()
    hidden = {"reference_data.hidden_simulator.seed": HIDDEN_SEED}
    shared = hidden | benchmark_runs.reference_folders(name, hidden)
    runs = {
        variant: benchmark_runs.searches(called, pipeline, CONFIGURED | overrides | shared, seeds)
        for variant, (called, pipeline, overrides) in variants.items()
    }
    benchmark_runs.run_searches(name, [trial for trials in runs.values() for trial in trials], num_jobs)
    benchmark_runs.answer([(fresh, trial, answer_of(trial)) for trials in runs.values() for trial in trials], num_jobs)
    return {variant: [fresh(trial, *answer_of(trial)) for trial in trials] for variant, trials in runs.items()}


def answer_of(trial: Trial) -> tuple[Any, int]:
    """The learned p_ψ, and how many fresh images are drawn from it."""
    loop = trial.parameters.loop
    return state_at(trial, loop.num_images * loop.num_iterations).distribution, 100


if __name__ == "__main__":
    main()
