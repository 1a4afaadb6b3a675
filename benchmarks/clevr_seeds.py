"""Does the loop learn, on every seed? AutoSimulate against domain randomisation on the default experiment.

    python benchmarks/clevr_seeds.py [--seeds 0 1 2 3 4] [--scratch]

Each run is an ordinary `kedro run` and goes on where it ended, so the script can be stopped and called again. It
prints, and writes to data/08_reporting/clevr_seeds.md, test mAP and mIoU of

- networks trained from scratch on equally many fresh images: from the start ψ, from uniform domain randomisation, from
  the learned ψ;
- what each method makes of all the images of its loop: its network, polished; with --scratch also a network trained
  from scratch on all the images of domain randomisation, its strongest form.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autosimulate_pipeline.datasets import AnnotatedImagesDataset, RecordDataset
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, EvaluationReport
from autosimulate_pipeline.search.judging import evaluate
from autosimulate_pipeline.task_models import TaskModelSettings, TrainingSettings, build_task_model, fit

PROJECT = Path(__file__).parents[1]
METHODS = ("autosimulate", "domain_randomisation")
SCRATCH_EPOCHS = 60
BOOTSTRAP_SAMPLES = 10_000


def finished_run(method: str, seed: int) -> dict[str, Any]:
    """The summary of the run, which is run first where it is missing."""
    run = f"bench-{method}-seed{seed}"
    path = PROJECT / "data/08_reporting" / run / "summary.json"
    if not path.exists():
        overrides = f"seed={seed},run={run},parallel.num_workers=1"
        command = [sys.executable, "-m", "kedro", "run", "--pipeline", method, "--params", overrides]
        output = subprocess.run(
            command, cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
        )
        if output.returncode:
            sys.exit(f"{run} failed:\n{output.stdout}{output.stderr}")
        print(f"{run} is done", flush=True)
    summary: dict[str, Any] = json.loads(path.read_text())
    return summary


def scratch_on_all_images(method: str, seed: int) -> EvaluationReport:
    """The test report of a network trained from scratch on every image of the method's loop; kept beside its run."""
    run = f"bench-{method}-seed{seed}"
    kept = RecordDataset(
        str(PROJECT / "data/07_model_output" / run / "test_report_scratch.json"),
        "autosimulate_pipeline.records.EvaluationReport",
    )
    if not kept.exists():
        torch.set_num_threads(1)
        folders = sorted((PROJECT / "data/03_primary" / run).glob("rendered_dataset_[0-9]*"))
        batches = [AnnotatedImagesDataset(str(folder)).load() for folder in folders]
        images = AnnotatedDataset(batches[0].categories, tuple(image for batch in batches for image in batch.images))
        model = build_task_model(images.categories, TaskModelSettings())
        weights = fit(
            model,
            model.initial_weights(derive_seed(seed, "retraining weights")),
            model.prepare(images),
            TrainingSettings(epochs=SCRATCH_EPOCHS),
            derive_generator(seed, "retraining"),
        )
        test_set = AnnotatedImagesDataset(str(PROJECT / "data/01_raw" / run / "test")).load()
        kept.save(evaluate(model, weights, test_set))
    report: EvaluationReport = kept.load()
    return report


def row(seed: int, with_scratch: bool) -> dict[str, tuple[float, float]]:
    """(mAP, mIoU) of every column."""
    ours, uniform = (finished_run(method, seed) for method in METHODS)

    def fresh(summary: dict[str, Any], where: str) -> tuple[float, float]:
        return summary["test_map"][where], summary["test_miou"][where]

    def polished(summary: dict[str, Any]) -> tuple[float, float]:
        return summary["polished"]["test_map"], summary["polished"]["test_miou"]

    columns = {
        "start ψ": fresh(ours, "start"),
        "uniform": fresh(uniform, "learned"),
        "learned ψ": fresh(ours, "learned"),
        "uniform, loop": polished(uniform),
        "AutoSimulate, loop": polished(ours),
    }
    if with_scratch:
        scratch = scratch_on_all_images("domain_randomisation", seed)
        columns["uniform, scratch"] = (scratch.map, scratch.miou)
    return columns


def interval(values: list[float]) -> str:
    """Mean and 95 % interval by bootstrap over seeds."""
    resampled = np.random.default_rng(0).choice(values, (BOOTSTRAP_SAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"


def table(rows: dict[int, dict[str, tuple[float, float]]], metric: int) -> str:
    """Markdown, a line for each seed."""
    columns = list(next(iter(rows.values())))
    lines = ["| seed | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {seed} | " + " | ".join(f"{cells[column][metric]:.3f}" for column in columns) + " |"
        for seed, cells in rows.items()
    ]
    means = (interval([cells[column][metric] for cells in rows.values()]) for column in columns)
    return "\n".join([*lines, "| mean [95 %] | " + " | ".join(means) + " |"])


def main() -> None:
    """Runs what is missing, then prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side, one core each")
    parser.add_argument("--scratch", action="store_true", help="the last column too: three minutes a seed")
    arguments = parser.parse_args()
    finished_run(METHODS[0], arguments.seeds[0])  # alone: it makes MLflow's database, which two at once cannot
    with ThreadPoolExecutor(arguments.jobs) as runs:
        for method in METHODS:
            list(runs.map(functools.partial(finished_run, method), arguments.seeds))
        if arguments.scratch:
            list(runs.map(functools.partial(scratch_on_all_images, "domain_randomisation"), arguments.seeds))
    rows = {seed: row(seed, arguments.scratch) for seed in arguments.seeds}
    text = "\n\n".join(f"### Test {name}\n\n{table(rows, metric)}" for metric, name in ((1, "mIoU"), (0, "mAP")))
    results = PROJECT / "data/08_reporting/clevr_seeds.md"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
