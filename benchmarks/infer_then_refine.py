"""Infer, then refine: what each part brings, on the default experiment and beside it.

    python benchmarks/infer_then_refine.py [starts] [gap] [pairs] [labelled] [--seeds 5 6 7 8 9] [--jobs 2]

starts    {configured, inferred, uniform} start × {standing still, each search}, 280 images in all
gap       the hidden camera blurs, tints, adds noise and compresses: a gap that no ψ closes
pairs     six random pairs of start and hidden ψ, 150 images in all
labelled  3, 5, 10, 30 labelled images: those alone, renders of the inferred ψ, both

A ψ is worth what a network trained on 100 fresh images of it does on the test images. Prints tables and keeps them in
data/08_reporting/infer-then-refine/. Every answer is kept: stop it, call it again, add seeds. A seed takes one core
about 15 minutes for `starts`, 4 for each of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import benchmark_runs
from autosimulate_pipeline.progress import console
from benchmark_runs import interval
from inference_cases import NAME, Case, alone, drawn_pair, inferred, mixed_with_labelled, searched, start_of, worth
from tables import markdown

SEEDS = (5, 6, 7, 8, 9)
HIDDEN = (("reference_data.hidden_simulator.seed", 4242),)
"""Of the validation and test images, which served nothing else."""

PAIRS = (100, 101, 102, 103, 104, 105)
METHODS = ("autosimulate", "lts", "bayesian", "random")
NUM_FRESH = 100
SIZES = (3, 5, 10, 30)
WITHOUT_PILOT = {"loop__num_images": 28, "loop__num_iterations": 10}
"""As many images as 100 of the pilot and 6 iterations of 30."""

GAP = {"blur": 1.0, "colour_cast": 0.1, "noise": 8, "jpeg_quality": 70}
Row = list[str]


def main(command_line: list[str] | None = None) -> None:
    """Answers what is missing, then prints the tables that are asked for."""
    tables: dict[str, Callable[[Sequence[int]], list[Any]]] = {
        "starts": starts,
        "gap": gap,
        "pairs": pairs,
        "labelled": by_labelled,
    }
    parser = benchmark_runs.arguments(str(__doc__), SEEDS)
    parser.add_argument("tables", nargs="*", choices=[*tables], default=list(tables))
    options = parser.parse_args(command_line)
    benchmark_runs.use_project()
    folder = benchmark_runs.PROJECT / "data/08_reporting" / NAME
    for name in options.tables:
        tasks = tables[name](options.seeds)
        *ahead, final = tasks
        for wave in ahead:
            at_once(wave() if callable(wave) else wave, options.jobs)
        table = final()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(table + "\n")
        print(f"\n### {name}\n\n{table}", flush=True)


def at_once(questions: Iterable[tuple[Any, ...]], num_jobs: int) -> None:
    """Works out answers that are not kept yet, one core each."""
    asked = list(questions)
    with ProcessPoolExecutor(num_jobs, get_context("spawn"), benchmark_runs.prepare_process) as pool:
        futures = [pool.submit(function, *arguments) for function, *arguments in asked]
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            if number % 5 == 0 or number == len(futures):
                console.print(f"{number} of {len(futures)} answers", soft_wrap=True)


def case_of(seed: int, start: str, **overrides: Any) -> Case:
    """The default experiment from this start, with as many images in all."""
    return Case(seed, HIDDEN).having(search__start=start, **({} if start == "inferred" else WITHOUT_PILOT), **overrides)


def psi(case: Case, method: str) -> dict[str, Any]:
    """The ψ that a search ends at, or starts from."""
    if method == "standing still":
        return start_of(case).model_dump(mode="json")
    found: dict[str, Any] = searched(case, method)["distribution"]
    return found


def starts(seeds: Sequence[int]) -> list[Any]:
    """Start × search."""
    cells = [
        (start, method) for start in ("configured", "uniform", "inferred") for method in ("standing still", *METHODS)
    ]
    everything = [(case_of(seed, start), method) for seed in seeds for start, method in cells]

    def table() -> str:
        rows = []
        for start, method in cells:
            answers = [
                worth(case, psi(case, method), NUM_FRESH)
                for case, m in everything
                if m == method and dict(case.overrides)["search.start"] == start
            ]
            rows.append([f"{start}, {method}", *summarised(answers)])
        refined = [searched(case_of(seed, "inferred"), "autosimulate")["own"] for seed in seeds]
        rows.append(["inferred, autosimulate: the run's own network", *summarised(refined)])
        return markdown(["start, search", "test mIoU", "test mAP", "mIoU by seed", "mAP by seed"], rows)

    return [
        [(inferred, case_of(seed, "inferred")) for seed in seeds],
        [(searched, case, method) for case, method in everything if method != "standing still"],
        lambda: [(worth, case, psi(case, method), NUM_FRESH) for case, method in everything],
        table,
    ]


def summarised(answers: Sequence[dict[str, float]]) -> Row:
    """Both metrics: mean with interval, and every seed."""
    metrics = ("miou", "map")
    means = [interval(answer[metric] for answer in answers) for metric in metrics]
    return means + [" ".join(f"{answer[metric]:.3f}" for answer in answers) for metric in metrics]


def gap(seeds: Sequence[int]) -> list[Any]:
    """What the hypergradient adds to standing still, with a reality gap and without."""
    camera = {f"reference_data__hidden_simulator__camera__{key}": value for key, value in GAP.items()}
    cases = {"no gap": {}, "camera": camera}
    named = {name: [case_of(seed, "inferred", **overrides) for seed in seeds] for name, overrides in cases.items()}
    everything = [case for cases in named.values() for case in cases]

    def psis(case: Case) -> dict[str, Any]:
        hidden = case.parameters.reference_data.hidden_simulator.parameters
        assert hidden is not None
        return {
            "uniform": case.parameters.simulator.parameters.uniform().model_dump(mode="json"),
            "inferred": psi(case, "standing still"),
            "refined": psi(case, "autosimulate"),
            "hidden": hidden.model_dump(mode="json"),
        }

    def table() -> str:
        rows = []
        for name, cases in named.items():
            answers = {where: [worth(case, psis(case)[where], NUM_FRESH) for case in cases] for where in psis(cases[0])}
            rows += [[f"{name}, {where}", *summarised(found)] for where, found in answers.items()]
            for metric in ("miou", "map"):
                difference = [
                    a[metric] - b[metric] for a, b in zip(answers["refined"], answers["inferred"], strict=True)
                ]
                rows.append(
                    [
                        f"{name}, refined − inferred, {metric}",
                        interval(difference),
                        "",
                        " ".join(f"{d:+.3f}" for d in difference),
                        "",
                    ]
                )
        return markdown(["100 fresh images of", "test mIoU", "test mAP", "mIoU by seed", "mAP by seed"], rows)

    return [
        [(inferred, case) for case in everything],
        [(searched, case, "autosimulate") for case in everything],
        lambda: [(worth, case, distribution, NUM_FRESH) for case in everything for distribution in psis(case).values()],
        table,
    ]


def pairs(_: Sequence[int]) -> list[Any]:
    """Random pairs of start and hidden ψ: how much of the way 150 pilot images go."""
    cases = [Case(seed, tuple(drawn_pair(seed).items())).having(pilot__num_images=150) for seed in PAIRS]

    def psis(case: Case) -> dict[str, Any]:
        hidden = case.parameters.reference_data.hidden_simulator.parameters
        assert hidden is not None
        return {
            "start": case.parameters.simulator.parameters.model_dump(mode="json"),
            "inferred": psi(case, "standing still"),
            "hidden": hidden.model_dump(mode="json"),
        }

    def table() -> str:
        rows, shares = [], []
        for case in cases:
            start, found, hidden = (
                worth(case, distribution, NUM_FRESH)["miou"] for distribution in psis(case).values()
            )
            shares.append((found - start) / (hidden - start))
            rows.append(
                [str(case.seed), *(f"{value:.3f}" for value in (start, found, hidden)), f"{100 * shares[-1]:.0f} %"]
            )
        rows.append(["mean", "", "", "", interval(shares)])
        return markdown(["pair", "start ψ", "inferred ψ", "hidden ψ", "part of the way"], rows)

    return [
        [(inferred, case) for case in cases],
        lambda: [(worth, case, distribution, NUM_FRESH) for case in cases for distribution in psis(case).values()],
        table,
    ]


def by_labelled(seeds: Sequence[int]) -> list[Any]:
    """By the number of labelled images: those alone, renders alone, both."""
    cases = {size: [Case(seed, HIDDEN, size) for seed in seeds] for size in SIZES}
    everything = [case for of_size in cases.values() for case in of_size]

    def table() -> str:
        rows = []
        for size, of_size in cases.items():
            answers = {
                "labelled images alone": [alone(case) for case in of_size],
                "100 renders of the inferred ψ": [
                    worth(case, psi(case, "standing still"), NUM_FRESH) for case in of_size
                ],
                "renders and labelled images": [
                    mixed_with_labelled(case, psi(case, "standing still"), NUM_FRESH) for case in of_size
                ],
            }
            rows += [[str(size), name, *summarised(found)] for name, found in answers.items()]
        return markdown(["labelled", "trained on", "test mIoU", "test mAP", "mIoU by seed", "mAP by seed"], rows)

    return [
        [(inferred, case) for case in everything],
        lambda: [
            question
            for case in everything
            for question in (
                (alone, case),
                (worth, case, psi(case, "standing still"), NUM_FRESH),
                (mixed_with_labelled, case, psi(case, "standing still"), NUM_FRESH),
            )
        ],
        table,
    ]


if __name__ == "__main__":
    main()
