"""Every method on the default experiment: equal images, equal hidden images, several seeds.

    python benchmarks/clevr_comparison.py [--seeds 5 6 7 8 9] [--jobs 2] [--methods ...] [--sizes 50 500] [--write]

Searches are ordinary runs of `kedro run` that stop before the test images; this script then trains networks on what
each method arrived at and tests them. Everything is kept: stop it, call it again, add seeds. Prints tables and keeps
them in data/08_reporting/clevr-comparison/; --write also draws the figures of docs/results/. Two cores take about
twenty minutes a seed.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from statistics import median
from typing import Any

from mlflow import MlflowClient

import clevr_runs
from autosimulate_pipeline.evaluation.comparison import bootstrap_interval, cost_to_reach, median_cost
from autosimulate_pipeline.grids import Trial
from autosimulate_pipeline.reporting.comparison import Curve, at_points, by_cost, time_by_stage
from clevr_runs import Question, Reports, fresh, interval, markdown, polished, scratch, validation_alone

NAME = "clevr-comparison"
SEEDS = (5, 6, 7, 8, 9)
HIDDEN_SEED = 4242
"""Of the validation and test images: no run of the development was judged by these."""

WARM = {"training.retained": 1, "training.epochs": 8}
"""How the controls are trained in their loops: going on from θ is better for those whose ψ stays."""

METHODS: dict[str, dict[str, Any]] = {
    "autosimulate": {},
    "domain_randomisation": WARM,
    "frozen": WARM,
    "bayesian": {},
    "random": {},
    "lts": {},
}
OWN_NETWORKS = {
    "autosimulate": (polished, scratch),
    "domain_randomisation": (polished, scratch),
    "frozen": (polished,),
}
"""Ways to make the most of a loop's own images; the better one by validation counts."""

NUM_FRESH = 100
LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6)
Runs = Mapping[str, list[Trial]]
"""The run of each seed, by method."""


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the tables."""
    parser = clevr_runs.arguments(str(__doc__), SEEDS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--budgets", type=int, nargs="+", default=[210, 390, 750], help="images rendered in a search")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="numbers of fresh images to train on as well")
    parser.add_argument("--write", action="store_true", help="draw the figures of docs/results/")
    options = clevr_runs.parse(parser, command_line)
    hidden = {"reference_data.hidden_simulator.seed": HIDDEN_SEED}
    shared = hidden | clevr_runs.reference_folders(NAME, hidden)
    runs = {
        method: clevr_runs.searches(f"clevr-{method}", method, METHODS[method] | shared, options.seeds)
        for method in options.methods
    }
    clevr_runs.run_searches(NAME, [trial for trials in runs.values() for trial in trials], options.jobs)
    clevr_runs.answer(questions(runs, options), options.jobs)
    tables = report(runs, options)
    folder = clevr_runs.PROJECT / "data/08_reporting" / NAME
    (folder / "tables.md").write_text(tables + "\n")
    print(tables)
    if options.write:
        draw(runs, options)


def questions(runs: Runs, options: argparse.Namespace) -> list[Question]:
    """All networks that the tables need."""
    asked: list[Question] = []
    for method, trials in runs.items():
        for trial in trials:
            asked += [(fresh, trial, (answer_at(trial, options.budgets[-1]), size)) for size in options.sizes]
            for budget in options.budgets:
                asked.append((fresh, trial, (answer_at(trial, budget), NUM_FRESH)))
                asked += [(way, trial, (budget,)) for way in OWN_NETWORKS.get(method, ())]
    for trial in next(iter(runs.values())):
        asked.append((fresh, trial, (trial.parameters.simulator.parameters, NUM_FRESH)))
        asked.append((validation_alone, trial, ()))
    return list(
        {
            repr((function.__name__, trial.run, rest)): (function, trial, rest) for function, trial, rest in asked
        }.values()
    )


def answer_at(trial: Trial, budget: int) -> Any:
    """p_ψ once the search has rendered so many images."""
    return clevr_runs.state_at(trial, budget).distribution


def own_network(method: str, trial: Trial, budget: int) -> Reports:
    """What a method makes of all the images of its loop."""
    return max((way(trial, budget) for way in OWN_NETWORKS[method]), key=lambda reports: reports["validation"].miou)


def report(runs: Runs, options: argparse.Namespace) -> str:
    """All tables as Markdown."""
    parts = []
    for metric, name in (("miou", "mIoU"), ("map", "mAP")):
        parts.append(f"### Test {name}: {NUM_FRESH} fresh images from ψ, by seed\n\n{by_seed(runs, options, metric)}")
        parts.append(f"### Test {name} by images rendered in the search\n\n{by_budget(runs, options, metric)}")
        if options.sizes:
            parts.append(f"### Test {name} by number of fresh images from ψ\n\n{by_size(runs, options, metric)}")
    parts.append(f"### Images (seconds) until validation mIoU is reached\n\n{until_reached(runs)}")
    parts.append(f"### Seconds of a search, median over seeds\n\n{times(runs)}")
    return "\n\n".join(parts)


def by_seed(runs: Runs, options: argparse.Namespace, metric: str) -> str:
    """Networks trained at the start ψ and at each method's answer, and the loops' own, a row for each seed."""
    some = next(iter(runs.values()))
    columns: dict[str, list[float]] = {
        "start ψ": [value(fresh(trial, trial.parameters.simulator.parameters, NUM_FRESH), metric) for trial in some]
    }
    for method, trials in runs.items():
        if method != "frozen":
            columns[method] = [
                value(fresh(trial, answer_at(trial, options.budgets[-1]), NUM_FRESH), metric) for trial in trials
            ]
    for method, trials in runs.items():
        if method in OWN_NETWORKS:
            columns[f"{method}, loop"] = [
                value(own_network(method, trial, options.budgets[-1]), metric) for trial in trials
            ]
    columns["validation only"] = [value(validation_alone(trial), metric) for trial in some]
    rows = [
        [str(trial.parameters.seed), *(f"{values[index]:.3f}" for values in columns.values())]
        for index, trial in enumerate(some)
    ]
    return markdown(["seed", *columns], [*rows, ["mean [95 %]", *map(interval, columns.values())]])


def by_budget(runs: Runs, options: argparse.Namespace, metric: str) -> str:
    """Fresh networks and the loops' own at every budget."""
    rows = []
    for method, trials in runs.items():
        answers = (
            interval(value(fresh(trial, answer_at(trial, budget), NUM_FRESH), metric) for trial in trials)
            for budget in options.budgets
        )
        rows.append([f"{method}: {NUM_FRESH} fresh images", *answers])
    for method, trials in runs.items():
        if method in OWN_NETWORKS:
            own = (
                interval(value(own_network(method, trial, budget), metric) for trial in trials)
                for budget in options.budgets
            )
            rows.append([f"{method}: the loop's own images", *own])
    return markdown(["trained on", *(f"{budget} images" for budget in options.budgets)], rows)


def by_size(runs: Runs, options: argparse.Namespace, metric: str) -> str:
    """What so many fresh images from each answer are worth."""
    rows = [
        [
            method,
            *(
                interval(value(fresh(trial, answer_at(trial, options.budgets[-1]), size), metric) for trial in trials)
                for size in sorted({*options.sizes, NUM_FRESH})
            ),
        ]
        for method, trials in runs.items()
    ]
    return markdown(["ψ of", *(f"{size} images" for size in sorted({*options.sizes, NUM_FRESH}))], rows)


def until_reached(runs: Runs) -> str:
    """The median over seeds of what each level cost; `>N`: most runs ended at N without it."""
    rows = []
    for method, trials in runs.items():
        by_images, by_seconds = progress_of(trials, "images"), progress_of(trials, "seconds")
        cells = []
        for level in LEVELS:
            images, seconds = (
                median_cost(
                    [cost_to_reach(level, curve.values, curve.costs) for curve in curves],
                    [curve.costs[-1] for curve in curves],
                )
                for curves in (by_images, by_seconds)
            )
            cells.append(f"{images} ({seconds})")
        rows.append([method, *cells])
    return markdown(["method", *(f"mIoU {level}" for level in LEVELS)], rows)


def times(runs: Runs) -> str:
    """Seconds by stage."""
    stages = [field.name for field in dataclasses.fields(clevr_runs.StageSeconds)]
    rows = [
        [
            method,
            *(f"{median(getattr(clevr_runs.stage_seconds(trial), stage) for trial in trials):.0f}" for stage in stages),
        ]
        for method, trials in runs.items()
    ]
    return markdown(["method", *stages], rows)


def progress_of(trials: list[Trial], cost: str) -> list[Curve]:
    """Of each run the best validation mIoU so far, over images or seconds."""
    client = MlflowClient(f"sqlite:///{clevr_runs.PROJECT / 'mlflow.db'}")
    curves = []
    for trial in trials:
        values = [report.miou for report in clevr_runs.validation_reports(trial)]
        if cost == "images":
            costs = [trial.parameters.loop.num_images * (k + 1) for k in range(len(values))]
        else:
            run_id = trial.file("08_reporting", "mlflow_run_id").read_text().strip()
            history = {metric.step: metric.value for metric in client.get_metric_history(run_id, "seconds/total")}
            costs = [history[k] for k in range(len(values))]
        curves.append(Curve(costs, [max(values[: k + 1]) for k in range(len(values))]))
    return curves


def draw(runs: Runs, options: argparse.Namespace) -> None:
    """The figures of docs/results/."""
    folder = clevr_runs.RESULTS
    progress = {method: progress_of(trials, "images") for method, trials in runs.items()}
    by_cost(progress, "images rendered", "best validation mIoU so far").savefig(folder / "clevr_images.png", dpi=110)
    progress = {method: progress_of(trials, "seconds") for method, trials in runs.items()}
    by_cost(progress, "seconds on one core", "best validation mIoU so far").savefig(
        folder / "clevr_seconds.png", dpi=110
    )
    answers = {
        method: {
            float(budget): bootstrap_interval(
                [value(fresh(trial, answer_at(trial, budget), NUM_FRESH), "miou") for trial in trials]
            )
            for budget in options.budgets
        }
        for method, trials in runs.items()
    }
    title = f"test mIoU, {NUM_FRESH} fresh images from ψ"
    at_points(answers, "images rendered in the search", title).savefig(folder / "clevr_budgets.png", dpi=110)
    seconds = {
        method: {
            field.name: median(getattr(clevr_runs.stage_seconds(trial), field.name) for trial in trials)
            for field in dataclasses.fields(clevr_runs.StageSeconds)
        }
        for method, trials in runs.items()
    }
    time_by_stage(seconds).savefig(folder / "clevr_time.png", dpi=110)


def value(reports: Reports, metric: str) -> float:
    """Of the network on the test images."""
    return float(getattr(reports["test"], metric))


if __name__ == "__main__":
    main()
