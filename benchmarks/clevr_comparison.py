"""Every method from the configured start: equal images, equal hidden images, several seeds.

    python benchmarks/clevr_comparison.py [--methods ...] [--seeds ...] [--budgets 210 750] [--sizes ...] [--write]

Searches are ordinary runs of `kedro run` that stop before the test images; this script then trains networks on what
each method arrived at and tests them. Everything below data/ is kept: stop it, call it again, add seeds. Two cores take
about twenty minutes a seed. Prints tables and keeps them with the raw numbers in data/08_reporting/clevr-comparison/.

--write puts numbers and figures into docs/results/, where the numbers of methods, seeds, budgets and sizes that are not
asked for stay as they are: after a change of one method, only that one has to run again.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import benchmark_runs
from autosimulate_pipeline.evaluation.comparison import bootstrap_interval, cost_to_reach, median_cost
from autosimulate_pipeline.grid.grids import Trial
from autosimulate_pipeline.records import StageSeconds
from autosimulate_pipeline.reporting.comparison import Curve, at_points, by_cost, time_by_stage
from benchmark_runs import CONFIGURED, Question, Reports, fresh, scratch, validation_alone
from tables import markdown

NAME = "clevr-comparison"
SEEDS = (5, 6, 7, 8, 9)
HIDDEN_SEED = 4242
"""Of the validation and test images, which served nothing else."""

WARM = {"training.retained": 1, "training.epochs": 8}
"""How the controls are trained in their loops: going on from θ is better for those whose ψ stays."""

LARGE_TRIALS = {"loop.num_images": 50, "loop.num_iterations": 15}

HALF = {"loop.num_images": 15, "loop.num_iterations": 26, "training.window": 6}
"""As many iterations as by default, of half the images; trained on as many."""

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "autosimulate": ("autosimulate", {}),
    "autosimulate_k15": ("autosimulate", HALF),
    "domain_randomisation": ("domain_randomisation", WARM),
    "frozen": ("frozen", WARM),
    "bayesian": ("bayesian", LARGE_TRIALS),
    "random": ("random", LARGE_TRIALS),
    "lts": ("lts", {"search.lts.step_size": 2}),
}
"""The pipeline and the settings of each; those of the last three are the best that clevr_tuning.py tried."""

OWN_NETWORKS = ("autosimulate", "domain_randomisation", "frozen")
"""The methods of whose images, all together, a network is trained from scratch too."""

NUM_FRESH = 100
LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6)
SECONDS = (60, 100, 150, 200)
STAGES = [field.name for field in dataclasses.fields(StageSeconds) if field.name != "pretrain"]
METRICS = {"miou": "mIoU", "map": "mAP"}


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the tables."""
    parser = benchmark_runs.arguments(str(__doc__), SEEDS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--budgets",
        type=int,
        nargs="+",
        default=[210, 390, 750],
        help="images rendered in a search, where it is that long",
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="numbers of fresh images to train on as well")
    parser.add_argument("--write", action="store_true", help="into docs/results/")
    options = parser.parse_args(command_line)
    benchmark_runs.use_project()
    hidden = {"reference_data.hidden_simulator.seed": HIDDEN_SEED}
    shared = hidden | benchmark_runs.reference_folders(NAME, hidden)
    trials = [
        (method, trial)
        for method in options.methods
        for pipeline, settings in [METHODS[method]]
        for trial in benchmark_runs.searches(f"clevr-{method}", pipeline, CONFIGURED | settings | shared, options.seeds)
    ]
    benchmark_runs.run_searches(NAME, [trial for _, trial in trials], options.jobs)
    asked = [(method, trial, list(questions(method, trial, options))) for method, trial in trials]
    benchmark_runs.answer([question for *_, named in asked for _, question in named], options.jobs)

    kept = benchmark_runs.PROJECT / "data/08_reporting" / NAME
    written = benchmark_runs.RESULTS
    networks = merged(pd.DataFrame(network_rows(asked)), written / "clevr_networks.csv")
    progress = merged(pd.DataFrame(progress_rows(trials)), written / "clevr_progress.csv")
    tables = report(networks, progress)
    print(tables)
    for folder in (kept, written) if options.write else (kept,):
        networks.to_csv(folder / "clevr_networks.csv", index=False, float_format="%.6f")
        progress.to_csv(folder / "clevr_progress.csv", index=False, float_format="%.6f")
        (folder / "clevr_tables.md").write_text(tables + "\n")
        draw(networks, progress, folder)


def questions(method: str, trial: Trial, options: argparse.Namespace) -> Iterator[tuple[dict[str, Any], Question]]:
    """The networks that the tables need, each with what it is called there."""

    def learned(budget: int) -> Any:
        return benchmark_runs.state_at(trial, budget).distribution

    loop = trial.parameters.loop
    budgets = [budget for budget in options.budgets if budget <= loop.num_images * loop.num_iterations]
    for budget in budgets:
        yield {"images": budget, "network": "fresh", "size": NUM_FRESH}, (fresh, trial, (learned(budget), NUM_FRESH))
        if method in OWN_NETWORKS:
            yield {"images": budget, "network": "own", "size": budget}, (scratch, trial, (budget,))
    for size in {*options.sizes} - {NUM_FRESH}:
        last = budgets[-1]
        yield {"images": last, "network": "fresh", "size": size}, (fresh, trial, (learned(last), size))
    if method == "frozen":  # the start ψ is its answer, and it renders what the others start with
        yield {"images": 0, "network": "validation_alone", "size": 0}, (validation_alone, trial, ())


def network_rows(asked: list[tuple[str, Trial, list[tuple[dict[str, Any], Question]]]]) -> Iterator[dict[str, Any]]:
    """One for each network: how it does on the validation and the test images."""
    for method, trial, named in asked:
        for name, (function, _, rest) in named:
            reports = function(trial, *rest)
            yield {"method": method, "seed": trial.parameters.seed} | name | judged(reports)


def judged(reports: Reports) -> dict[str, float]:
    """Both metrics on both sets."""
    return {f"{kind}_{metric}": getattr(reports[kind], metric) for metric in METRICS for kind in ("validation", "test")}


def progress_rows(trials: list[tuple[str, Trial]]) -> Iterator[dict[str, Any]]:
    """One for each iteration of a search: what it had cost by then, and how its network did on validation images."""
    for method, trial in trials:
        seconds = benchmark_runs.stage_seconds(trial)
        for k, validation in enumerate(benchmark_runs.validation_reports(trial)):
            yield {
                "method": method,
                "seed": trial.parameters.seed,
                "images": trial.parameters.loop.num_images * (k + 1),
                "validation_miou": validation.miou,
                "validation_map": validation.map,
            } | {stage: getattr(seconds[k], stage) for stage in STAGES}


def merged(rows: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The rows, and those of other searches and networks that the file has."""
    if not file.exists():
        return rows
    keys = [key for key in ("method", "seed", "images", "network", "size") if key in rows]
    known = pd.read_csv(file)
    replaced = pd.MultiIndex.from_frame(known[keys]).isin(pd.MultiIndex.from_frame(rows[keys]))
    order = {method: index for index, method in enumerate(METHODS)}
    return pd.concat([known[~replaced], rows]).sort_values(
        ["method", "seed"], key=lambda column: column.map(order) if column.name == "method" else column, kind="stable"
    )


def report(networks: pd.DataFrame, progress: pd.DataFrame) -> str:
    """All tables as Markdown."""
    fresh_networks = networks[networks["network"] == "fresh"]
    same_size, own = of_same_size(networks), networks[networks["network"] == "own"]
    alone = networks[networks["network"] == "validation_alone"]
    last = networks["images"].max()
    parts = []
    for metric, name in METRICS.items():
        at_end = {
            f"{NUM_FRESH} fresh images": same_size[same_size["images"] == last],
            "own images": own[own["images"] == last],
            "": alone.assign(method="validation only"),
        }
        parts += [
            f"### Test {name} of every seed\n\n{by_seed(at_end, f'test_{metric}')}",
            f"### Test {name} of a network trained on {NUM_FRESH} fresh images from ψ, by images of the search\n\n"
            f"{means(same_size, 'images', f'test_{metric}')}",
            f"### Test {name} of a network trained on the images of the search\n\n"
            f"{means(own, 'images', f'test_{metric}')}",
        ]
        at_last = fresh_networks[fresh_networks["images"] == last]
        if at_last["size"].nunique() > 1:
            parts.append(f"### Test {name} by fresh images from ψ\n\n{means(at_last, 'size', f'test_{metric}')}")
    parts.append(f"### Images (seconds) until validation mIoU is reached\n\n{until_reached(progress)}")
    parts.append(f"### Best validation mIoU so far at equal seconds, median over seeds\n\n{by_seconds(progress)}")
    parts.append(f"### Seconds of a search, median over seeds\n\n{times(progress)}")
    return "\n\n".join(parts)


def of_same_size(networks: pd.DataFrame) -> pd.DataFrame:
    """The networks on `NUM_FRESH` fresh images: those that show what a ψ is worth."""
    return networks[(networks["network"] == "fresh") & (networks["size"] == NUM_FRESH)]


def by_seed(groups: dict[str, pd.DataFrame], column: str) -> str:
    """A row for each seed, a column for each method of each group."""
    columns = {
        ", ".join(filter(None, [str(method), group])): rows.set_index("seed")[column]
        for group, frame in groups.items()
        for method, rows in frame.groupby("method", sort=False)
    }
    table = pd.DataFrame(columns).sort_index()
    rows = [
        [str(seed), *("–" if pd.isna(value) else f"{value:.3f}" for value in row)]
        for seed, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    means_row = [str(bootstrap_interval(list(table[name].dropna()))) for name in table]
    return markdown(["seed", *table.columns], [*rows, ["mean [95 %]", *means_row]])


def means(frame: pd.DataFrame, by: str, column: str) -> str:
    """A row for each method, a column for each value of `by`: mean over seeds and 95 % interval."""
    points = sorted(frame[by].unique())
    rows = []
    for method, of_method in frame.groupby("method", sort=False):
        cells = (list(of_method[of_method[by] == point][column]) for point in points)
        rows.append([str(method), *(str(bootstrap_interval(cell)) if cell else "–" for cell in cells)])
    return markdown(["method", *(f"{point} images" for point in points)], rows)


def until_reached(progress: pd.DataFrame) -> str:
    """The median over seeds of what each level cost; `>N`: most runs ended at N without it."""

    def cost(runs: list[pd.DataFrame], level: float, column: str) -> str:
        reached = [cost_to_reach(level, list(run["validation_miou"]), list(run[column])) for run in runs]
        return median_cost(reached, [float(run[column].iloc[-1]) for run in runs])

    rows = []
    for method, frame in progress.groupby("method", sort=False):
        runs = [run for _, run in frame.groupby("seed")]
        cells = (f"{cost(runs, level, 'images')} ({cost(runs, level, 'total')})" for level in LEVELS)
        rows.append([str(method), *cells])
    return markdown(["method", *(f"mIoU {level}" for level in LEVELS)], rows)


def by_seconds(progress: pd.DataFrame) -> str:
    """The median over seeds of the best network that a search has had by then; 0 where it had none."""
    rows = []
    for method, frame in progress.groupby("method", sort=False):
        best = [
            [run.loc[run["total"] <= seconds, "validation_miou"].max() for _, run in frame.groupby("seed")]
            for seconds in SECONDS
        ]
        rows.append([str(method), *(f"{pd.Series(of_time).fillna(0).median():.3f}" for of_time in best)])
    return markdown(["method", *(f"{seconds} s" for seconds in SECONDS)], rows)


def times(progress: pd.DataFrame) -> str:
    """Seconds by stage."""
    rows = [[method, *(f"{seconds[stage]:.0f}" for stage in STAGES)] for method, seconds in ends(progress).items()]
    return markdown(["method", *STAGES], rows)


def ends(progress: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Median seconds by stage of whole searches, by method."""
    last = progress.groupby(["method", "seed"], sort=False).last()
    return {str(method): dict(rows[STAGES].median()) for method, rows in last.groupby("method", sort=False)}


def draw(networks: pd.DataFrame, progress: pd.DataFrame, folder: Path) -> None:
    """The figures beside the tables."""

    def curves(column: str) -> dict[str, list[Curve]]:
        return {
            str(method): [
                Curve(list(run[column]), list(run["validation_miou"].cummax())) for _, run in frame.groupby("seed")
            ]
            for method, frame in progress.groupby("method", sort=False)
        }

    def interval_by(frame: pd.DataFrame, column: str) -> dict[str, Any]:
        return {
            str(method): {
                float(point): bootstrap_interval(list(rows["test_miou"])) for point, rows in of_method.groupby(column)
            }
            for method, of_method in frame.groupby("method", sort=False)
        }

    own = networks[networks["network"] == "own"]
    spent, fresh_title = "images rendered in the search", f"test mIoU, {NUM_FRESH} fresh images from ψ"
    figures: dict[str, Callable[[], Any]] = {
        "images": lambda: by_cost(curves("images"), "images rendered", "best validation mIoU so far"),
        "seconds": lambda: by_cost(curves("total"), "seconds on one core", "best validation mIoU so far"),
        "fresh": lambda: at_points(interval_by(of_same_size(networks), "images"), spent, fresh_title),
        "own": lambda: at_points(interval_by(own, "images"), spent, "test mIoU, the search's own images"),
        "time": lambda: time_by_stage(ends(progress)),
    }
    for name, figure in figures.items():
        figure().savefig(folder / f"clevr_{name}.png", dpi=110)


if __name__ == "__main__":
    main()
