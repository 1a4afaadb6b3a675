"""Does it work elsewhere than on the default experiment? Start and hidden configurations drawn at random.

    python benchmarks/clevr_pairs.py [--seeds 100 101 102 103 104 105] [--jobs 2]

Each seed draws a pair (where objects stand, lights and materials, in both configurations) and seeds its runs. Image
quality starts and is hidden as by default. Each method renders 390 images; the start ψ is what the frozen control ends
with. Prints a table and keeps it in data/08_reporting/clevr-pairs/. Everything is kept: stop it, call it again, add
seeds. Two cores take about five minutes a pair.
"""

from __future__ import annotations

from typing import Any

import torch

import benchmark_runs
from autosimulate_pipeline.grids import Trial
from autosimulate_pipeline.randomness import derive_generator
from benchmark_runs import fresh, interval, polished, state_at
from clevr_comparison import METHODS
from tables import markdown

NAME = "clevr-pairs"
SEEDS = (100, 101, 102, 103, 104, 105)
COMPARED = ("autosimulate", "domain_randomisation", "random")
LOOPS = ("autosimulate", "domain_randomisation")
"""Whose own networks are tested too."""

NUM_IMAGES = 390
NUM_FRESH = 100
OBJECTS = ("cube", "sphere", "cylinder")


def drawn_pair(seed: int) -> dict[str, Any]:
    """Overrides: hidden places within ±6 m, well lit; start places anywhere in the range, dim; any materials."""
    generator = derive_generator(seed, "pair")

    def uniform(low: float, high: float) -> float:
        return round(low + (high - low) * torch.rand((), generator=generator).item(), 2)

    start, hidden = "simulator.parameters", "reference_data.hidden_simulator.parameters"
    pair: dict[str, Any] = {"reference_data.hidden_simulator.seed": seed}
    for light in ("ambient_light", "back_light"):
        pair |= {f"{start}.{light}.mean": uniform(5, 35), f"{hidden}.{light}.mean": uniform(40, 70)}
    for name in OBJECTS:
        for axis in "xy":
            pair |= {f"{start}.{name}_{axis}.mean": uniform(-9, 9), f"{hidden}.{name}_{axis}.mean": uniform(-6, 6)}
        pair |= {
            f"{start}.{name}_material.probability": uniform(0.1, 0.9),
            f"{hidden}.{name}_material.probability": uniform(0, 1),
        }
    return pair


def main(command_line: list[str] | None = None) -> None:
    """Runs what is missing, then prints the table."""
    options = benchmark_runs.arguments(str(__doc__), SEEDS).parse_args(command_line)
    benchmark_runs.use_project()
    runs: dict[int, dict[str, Trial]] = {}
    for seed in options.seeds:
        pair = drawn_pair(seed) | {"loop.max_images": NUM_IMAGES}
        shared = pair | benchmark_runs.reference_folders(f"{NAME}-{seed}", pair)
        runs[seed] = {
            method: benchmark_runs.searches(f"pair-{method}", pipeline, settings | shared, [seed])[0]
            for method in COMPARED
            for pipeline, settings in [METHODS[method]]
        }
    benchmark_runs.run_searches(
        NAME, [trial for by_method in runs.values() for trial in by_method.values()], options.jobs
    )
    benchmark_runs.answer(
        [
            question
            for by_method in runs.values()
            for trial in by_method.values()
            for question in (
                *((fresh, trial, (distribution, NUM_FRESH)) for distribution in distributions(trial).values()),
                *([(polished, trial, (NUM_IMAGES,))] if trial.pipeline in LOOPS else []),
            )
        ],
        options.jobs,
    )
    columns: dict[str, list[float]] = {}
    for by_method in runs.values():
        ours = by_method["autosimulate"]
        cells = {f"{where} ψ": worth(ours, where) for where in ("start", "hidden")}
        cells |= {method: worth(trial, "learned") for method, trial in by_method.items()}
        cells["part of the gap"] = (cells["autosimulate"] - cells["start ψ"]) / (cells["hidden ψ"] - cells["start ψ"])
        for method in LOOPS:
            cells[f"{method}, loop"] = polished(by_method[method], NUM_IMAGES)["test"].miou
        for column, cell in cells.items():
            columns.setdefault(column, []).append(cell)
    rows = [
        [str(seed), *(f"{values[index]:.3f}" for values in columns.values())]
        for index, seed in enumerate(options.seeds)
    ]
    table = markdown(["pair", *columns], [*rows, ["mean [95 %]", *map(interval, columns.values())]])
    (benchmark_runs.PROJECT / "data/08_reporting" / NAME / "table.md").write_text(table + "\n")
    print(table)


def distributions(trial: Trial) -> dict[str, Any]:
    """p_ψ at the start, as hidden, and as learned."""
    parameters = trial.parameters
    return {
        "start": parameters.simulator.parameters,
        "hidden": parameters.reference_data.hidden_simulator.parameters,
        "learned": state_at(trial, NUM_IMAGES).distribution,
    }


def worth(trial: Trial, where: str) -> float:
    """Test mIoU of a network trained on fresh images from there."""
    return fresh(trial, distributions(trial)[where], NUM_FRESH)["test"].miou


if __name__ == "__main__":
    main()
