"""Settings of the baselines, tried one beside the other on the default experiment.

    python benchmarks/clevr_tuning.py [--seeds 20 21] [--jobs 2] [--methods bayesian lts]

A setting is worth what a network trained on 100 fresh images of its answer does on the validation images; test images
play no part. Seeds and hidden images are those of the ablations, not of the comparison. Prints a table and keeps it in
data/08_reporting/clevr-tuning/. Everything is kept: stop it, call it again. Two cores take about five minutes a row.
"""

from __future__ import annotations

from typing import Any

import benchmark_runs
from benchmark_runs import interval
from clevr_ablations import judged_variants
from tables import markdown

NAME = "clevr-tuning"
SEEDS = (20, 21)

TRIED: dict[str, dict[str, dict[str, Any]]] = {
    "bayesian": {
        "default": {},
        "widths of p_ψ × 0.25": {"search.trials.width_factor": 0.25},
        "widths of p_ψ × 1": {"search.trials.width_factor": 1},
        "K = 50, 15 trials": {"loop.num_images": 50, "loop.num_iterations": 15},
    },
    "lts": {
        "default": {},
        "policy twice as wide": {"search.lts.policy_width": 2},
        "step twice as long": {"search.lts.step_size": 2},
        "K = 15, 50 trials": {"loop.num_images": 15, "loop.num_iterations": 50},
    },
}


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the table."""
    parser = benchmark_runs.arguments(str(__doc__), SEEDS)
    parser.add_argument("--methods", nargs="+", choices=TRIED, default=list(TRIED))
    options = parser.parse_args(command_line)
    variants = {
        f"{method}, {setting}": (f"tuning-{method}-{number}", method, overrides)
        for method in options.methods
        for number, (setting, overrides) in enumerate(TRIED[method].items())
    }
    rows = []
    for variant, reports in judged_variants(NAME, variants, options.seeds, options.jobs).items():
        judged = [report["validation"] for report in reports]
        rows.append([variant, interval(r.miou for r in judged), interval(r.map for r in judged)])
    table = markdown(["setting", "validation mIoU", "validation mAP"], rows)
    (benchmark_runs.PROJECT / "data/08_reporting" / NAME / "table.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
