"""What each part of the method is for: one changed at a time, at equal images, on the default experiment.

    python benchmarks/clevr_ablations.py [--seeds 20 21 22] [--jobs 2] [--only NAME ...]

Prints a table and keeps it in data/08_reporting/clevr-ablations/. Everything is kept: stop it, call it again, add
seeds. The hidden images are others than those of the comparison. Two cores take about ten minutes for a row of three
seeds.
"""

from __future__ import annotations

from typing import Any

import clevr_runs
from autosimulate_pipeline.grids import Trial
from clevr_runs import fresh, interval, markdown, polished, state_at

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


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "credit by image": {"search.credit": "image"},
    "mode paper, α = 0.1": {"search.mode": "paper"},
    "Hessian": {"hypergradient.curvature": "hessian"},
    "identity (v = g)": {"hypergradient.solver": "identity"},
    "f after the fit": {"search.score_before_fit": False},
    "σ₀ = 0.15": start_width(0.15),
    "λ = 0.01": {"hypergradient.damping": 0.01},
    "λ = 10": {"hypergradient.damping": 10},
    "4 CG steps": {"hypergradient.max_steps": 4},
    "20 CG steps": {"hypergradient.max_steps": 20},
    "K = 15, 50 iterations": {"loop.num_images": 15, "loop.num_iterations": 50, "training.window": 6},
    "K = 50, 15 iterations": {"loop.num_images": 50, "loop.num_iterations": 15, "training.window": 2},
    "warm start": {"training.retained": 1},
    "window 1": {"training.window": 1},
}


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the table."""
    parser = clevr_runs.arguments(str(__doc__), SEEDS)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args(command_line)
    clevr_runs.use_project()
    hidden = {"reference_data.hidden_simulator.seed": HIDDEN_SEED}
    shared = hidden | clevr_runs.reference_folders(NAME, hidden)
    runs = {
        variant: clevr_runs.searches(f"ablation-{number}", "autosimulate", VARIANTS[variant] | shared, options.seeds)
        for number, variant in enumerate(VARIANTS)
        if variant in options.only
    }
    clevr_runs.run_searches(NAME, [trial for trials in runs.values() for trial in trials], options.jobs)
    questions = [
        question
        for trials in runs.values()
        for trial in trials
        for question in ((fresh, trial, answer_of(trial)), (polished, trial, (images_of(trial),)))
    ]
    clevr_runs.answer(questions, options.jobs)
    rows = [
        [
            variant,
            interval(fresh(trial, *answer_of(trial))["test"].miou for trial in trials),
            interval(fresh(trial, *answer_of(trial))["test"].map for trial in trials),
            interval(polished(trial, images_of(trial))["test"].miou for trial in trials),
            f"{min(fresh(trial, *answer_of(trial))['test'].miou for trial in trials):.3f}",
        ]
        for variant, trials in runs.items()
    ]
    table = markdown(["variant", "learned ψ, mIoU", "learned ψ, mAP", "loop's network, mIoU", "worst seed, mIoU"], rows)
    (clevr_runs.PROJECT / "data/08_reporting" / NAME / "table.md").write_text(table + "\n")
    print(table)


def images_of(trial: Trial) -> int:
    """How many the search has rendered in all."""
    return trial.parameters.loop.num_images * trial.parameters.loop.num_iterations


def answer_of(trial: Trial) -> tuple[Any, int]:
    """The learned p_ψ, and how many fresh images are drawn from it."""
    return state_at(trial, images_of(trial)).distribution, 100


if __name__ == "__main__":
    main()
