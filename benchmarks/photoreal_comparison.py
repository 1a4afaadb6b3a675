"""The supplement's Table 2 at a size for two cores: search methods and controls × detectors, on real photographs.

    python benchmarks/photoreal_comparison.py [--env lmo] [--size small] [--detectors ...] [--methods ...] [--write]

Whole runs of `kedro run`, each tested as it ends: a network retrained on fresh images of its learned ψ, and the run's
own one. All methods render as many images and start from one pretrained network. Everything is kept: stop it,
call it again, add methods and seeds. --write puts the numbers into docs/results/. Without photographs: --env photoreal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

import benchmark_runs
from autosimulate_pipeline.evaluation.comparison import bootstrap_interval
from autosimulate_pipeline.grid.grids import Trial
from autosimulate_pipeline.grid.trials import run_trials
from autosimulate_pipeline.progress import console
from autosimulate_pipeline.reporting.summary import test_metrics
from autosimulate_pipeline.simulators import ParallelSettings
from tables import markdown

METHODS = ("autosimulate", "lts", "bayesian", "random", "frozen", "domain_randomisation")
DETECTORS: dict[str, dict[str, Any]] = {
    "yolov3_spp": {},
    "faster_rcnn": {
        "task_model.type": "faster_rcnn_mobilenet_v3_large_fpn",  # objects of 20 pixels are lost on one of stride 32
        "task_model.num_regions": 32,
    },
}
BRIEF = {
    "pretraining.training.epochs": 6,
    "training.num_variants": 1,
    "hypergradient.max_steps": 5,
    "final_evaluation.retraining.epochs": 3,
    "final_evaluation.own_network.epochs": 1,
}
"""What the small size leaves out for Faster R-CNN, ten times as slow as the YOLO."""

PUBLISHED = {
    "faster_rcnn": {"lts": 51.8, "bayesian": 46.0, "random": 50.3, "autosimulate": 55.1},
    "yolov3_spp": {"lts": 37.2, "bayesian": 37.5, "random": 36.8, "autosimulate": 45.9},
}
"""mAP of Table 2 of the AutoSimulate supplement: other renderer, detectors trained on COCO, many more images."""

SIZES: dict[str, dict[str, Any]] = {
    "default": {},
    "small": {
        "simulator.options.image_width": 192,
        "task_model.input_size": 192,
        "pilot.num_images": 96,
        "pretraining.training.epochs": 8,
        "training.num_variants": 2,
        "loop.num_iterations": 5,
        "loop.num_images": 12,
        "final_evaluation.num_images": 30,
    },
}
"""Overrides of an environment: `small` is a dozen runs in two hours on two cores."""

NETWORKS = {"learned": "fresh images of the learned ψ", "own": "all images of the run"}


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the tables."""
    parser = benchmark_runs.arguments(str(__doc__), (0,))
    parser.add_argument("--env", choices=("lmo", "photoreal"), default="lmo", help="an environment of conf/")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--size", choices=SIZES, default="default")
    parser.add_argument("--write", action="store_true", help="into docs/results/")
    options = parser.parse_args(command_line)
    benchmark_runs.use_project()
    benchmark_runs.ENVIRONMENT = options.env
    name = f"{options.env}-comparison"
    rows = []
    for detector in options.detectors:
        shared = SIZES[options.size] | DETECTORS[detector]
        if (options.size, detector) == ("small", "faster_rcnn"):
            shared |= BRIEF
        if options.env == "photoreal":
            shared |= benchmark_runs.reference_folders(name, {})
        trials = [
            trial
            for method in options.methods
            for trial in benchmark_runs.searches(f"{options.size}-{detector}-{method}", method, shared, options.seeds)
        ]
        run_to_the_test(trials, options.jobs)
        rows += [{"detector": detector} | row for trial in trials for row in results(trial)]
    table = pd.DataFrame(rows)
    text = report(table)
    print(text)
    kept = benchmark_runs.PROJECT / "data/08_reporting" / name
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "table.md").write_text(text + "\n")
    for folder in (kept, benchmark_runs.RESULTS) if options.write else (kept,):
        table.to_csv(folder / f"{options.env}_{options.size}.csv", index=False, float_format="%.6f")


def run_to_the_test(trials: Sequence[Trial], num_jobs: int) -> None:
    """Runs what is missing.

    Raises:
        SystemExit: if one failed.
    """
    missing = [trial for trial in trials if not trial.file("08_reporting", "summary.json").exists()]
    for trial, failure in run_trials(missing, num_jobs, ParallelSettings(), until_last_state=False):
        console.print(failure or f"{trial.run} is done", soft_wrap=True)
    if not all(trial.file("08_reporting", "summary.json").exists() for trial in trials):
        raise SystemExit(1)


def results(trial: Trial) -> list[dict[str, Any]]:
    """What a run has to show: a row for each network that it tested, with what the run cost."""
    summary = json.loads(trial.file("08_reporting", "summary.json").read_text())
    cost = {"images": summary["images_rendered"], "minutes": summary["seconds"]["total"] / 60}
    run = {"method": trial.pipeline, "seed": trial.parameters.seed}
    return [run | {"network": network} | tested | cost for network, tested in test_metrics(summary).items()]


def report(table: pd.DataFrame) -> str:
    """A table for each detector as Markdown."""
    parts = []
    for detector, of_detector in table.groupby("detector", sort=False):
        by_method = of_detector.groupby("method", sort=False)
        rows = [row_of(method, rows, PUBLISHED[str(detector)]) for method, rows in by_method]
        columns = [f"{network}, {metric}" for network in NETWORKS.values() for metric in ("mAP", "mAP@.5")]
        parts.append(f"### {detector}\n\n" + markdown(["method", *columns, "images", "minutes", "published mAP"], rows))
    return "\n\n".join(parts)


def row_of(method: object, rows: pd.DataFrame, published: dict[str, float]) -> list[str]:
    """Means and intervals over seeds, in percent as the supplement has them."""
    cells = [percent(rows[rows["network"] == network][metric]) for network in NETWORKS for metric in ("mAP", "mAP50")]
    cost = [f"{rows['images'].median():.0f}", f"{rows['minutes'].median():.0f}"]
    return [str(method), *cells, *cost, str(published.get(str(method), "–"))]


def percent(values: pd.Series) -> str:
    """The mean, and from two seeds on its 95 % interval."""
    interval = bootstrap_interval([100 * value for value in values])
    return f"{interval.mean:.1f}" + (f" [{interval.low:.1f}, {interval.high:.1f}]" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
