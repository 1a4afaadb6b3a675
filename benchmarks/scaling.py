"""Images per second by backend and number of workers, what a task costs an engine, and bytes of an image on disk.

    python benchmarks/scaling.py [--images 120 24] [--rounds 3] [--workers 1 2] [--backends loky dask ray] [--write]

Each backend with each number of workers renders the same scenes as loky does with one; a first call starts the workers
and is not counted, and images that are not the same bytes end the benchmark. Rounds take turns over the backends, each
of which starts its local cluster anew, so that a busy moment of the machine touches all of them. About ten minutes.
--write puts tables and figure into docs/results/. The rest of docs/scaling.md's sums follows from these numbers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from autosimulate_pipeline.annotations import write_coco
from autosimulate_pipeline.records import AnnotatedDataset, Scene, ignore_progress
from autosimulate_pipeline.reporting.palette import BLUE, GREEN, VERMILION
from autosimulate_pipeline.simulators import ParallelSettings, Simulator, build_simulator
from autosimulate_pipeline.workers.engines import close_engine, open_engine
from rendering import random_scenes
from tables import markdown

BACKENDS = {"loky": BLUE, "dask": VERMILION, "ray": GREEN}
CLEVR, PHOTOREAL, LARGE = "CLEVR 48 px, 16 samples", "photoreal 224 px, 8 samples", "photoreal 320 px, 8 samples"
WORKLOADS = (CLEVR, PHOTOREAL)
"""Those that are timed; of the large one only bytes are counted."""
NUM_TASKS = 2000
PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "docs" / "results"
CACHE = PROJECT / "data" / "02_intermediate" / "arrangements"
"""Models and settled arrangements of the photoreal workload, as conf/photoreal keeps them."""

Rates = dict[tuple[str, int, str], list[float]]
"""Images per second of each round, by backend, number of workers and workload."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and perhaps writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs=2, type=int, default=(120, 24), help="of CLEVR, of photoreal")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--write", action="store_true", help="into docs/results/scaling.md and scaling.png")
    options = parser.parse_args(arguments)
    if min(*options.images, options.rounds, *options.workers) < 1:
        parser.error("all counts must be at least 1")

    rates: Rates = defaultdict(list)
    tasks: dict[str, list[float]] = defaultdict(list)
    scenes = scenes_of(*options.images)
    expected = {name: render(name, scenes[name], ParallelSettings(num_workers=1)) for name in scenes}
    large = render(LARGE, scenes[PHOTOREAL], ParallelSettings(num_workers=1))
    for _ in range(options.rounds):
        for backend in options.backends:
            for num_workers in options.workers:
                parallel = ParallelSettings(backend=backend, num_workers=num_workers)
                for name, wanted in scenes.items():
                    rate = images_per_second(name, wanted, parallel, expected[name])
                    rates[backend, num_workers, name].append(rate)
                    print(f"{backend}, workers: {num_workers}, {name}: {rate:.2f} images/s", flush=True)
                if backend != "loky":
                    tasks[backend].append(tasks_per_second(backend, num_workers))
    tables = "\n\n".join((rates_table(rates), tasks_table(tasks), bytes_table(expected | {LARGE: large})))
    print(tables)
    if options.write:
        about = f"Local clusters of one machine; medians of {options.rounds} rounds."
        picture = "![Images per second by backend and workers](scaling.png)"
        page = ("# Scale-out", "    python benchmarks/scaling.py --write", about, picture, tables)
        (RESULTS / "scaling.md").write_text("\n\n".join(page) + "\n")
        figure(rates).savefig(RESULTS / "scaling.png", dpi=120)


def scenes_of(num_clevr: int, num_photoreal: int) -> dict[str, list[Scene]]:
    """The scenes of each workload, the same ones at every call."""
    return {CLEVR: random_scenes(48, 16, num_clevr), PHOTOREAL: [{"num_samples": 8}] * num_photoreal}


def simulator_of(name: str, parallel: ParallelSettings) -> Simulator:
    """That of a workload."""
    if name == CLEVR:
        return build_simulator("clevr", {}, parallel)
    options = {"image_width": 320 if name == LARGE else 224, "num_arrangements": 4, "cache_folder": CACHE}
    return build_simulator("photoreal", options, parallel)


def render(name: str, scenes: Sequence[Scene], parallel: ParallelSettings) -> AnnotatedDataset:
    """The images of a workload."""
    return simulator_of(name, parallel).render(scenes, range(len(scenes)), ignore_progress)


def images_per_second(
    name: str, scenes: Sequence[Scene], parallel: ParallelSettings, expected: AnnotatedDataset
) -> float:
    """Of a second call, when the workers stand.

    Raises:
        RuntimeError: if its images are not those expected.
    """
    simulator = simulator_of(name, parallel)
    simulator.render(scenes, range(len(scenes)), ignore_progress)  # until every worker stands
    start = time.perf_counter()
    images = simulator.render(scenes, range(len(scenes)), ignore_progress).images
    seconds = time.perf_counter() - start
    for image, wanted in zip(images, expected.images, strict=True):
        if not (
            np.array_equal(image.image, wanted.image) and np.array_equal(image.instance_mask, wanted.instance_mask)
        ):
            raise RuntimeError(f"{parallel.backend} with {parallel.worker_count} workers renders other bytes: {name}")
    return len(scenes) / seconds


def tasks_per_second(backend: str, num_workers: int) -> float:
    """Trivial tasks, one future each, that the engine's scheduler passes through."""
    engine = open_engine(backend, None, num_workers)
    engine.submit(os.path.basename, "").result()  # the worker stands
    start = time.perf_counter()
    wait([engine.submit(os.path.basename, str(number)) for number in range(NUM_TASKS)])
    seconds = time.perf_counter() - start
    close_engine()
    return NUM_TASKS / seconds


def rates_table(rates: Rates) -> str:
    """Markdown; a column for each workload, and beside it the share of what loky does with as many workers."""
    rows = []
    for backend, num_workers in dict.fromkeys((backend, number) for backend, number, _ in rates):
        cells = [backend, str(num_workers)]
        for name in WORKLOADS:
            rate = statistics.median(rates[backend, num_workers, name])
            of_loky = rates.get(("loky", num_workers, name))
            cells += [f"{rate:.2f}", f"{rate / statistics.median(of_loky):.2f}" if of_loky else ""]
        rows.append(cells)
    columns = [column for name in WORKLOADS for column in (f"{name}, images/s", "of loky")]
    return markdown(["backend", "workers", *columns], rows)


def tasks_table(tasks: dict[str, list[float]]) -> str:
    """Markdown."""
    medians = {backend: statistics.median(rates) for backend, rates in tasks.items()}
    rows = [[backend, f"{rate:.0f}", f"{1000 / rate:.2f}"] for backend, rate in medians.items()]
    return markdown(["engine", "trivial tasks/s", "ms each"], rows)


def bytes_table(rendered: dict[str, AnnotatedDataset]) -> str:
    """Markdown; sizes of a COCO folder of the images, masks as RLE, for each image."""
    rows = []
    for name, dataset in rendered.items():
        with tempfile.TemporaryDirectory() as folder:
            write_coco(dataset, Path(folder) / "coco")
            pixels = sum(path.stat().st_size for path in Path(folder).rglob("*.png")) / len(dataset)
            labels = (Path(folder) / "coco" / "annotations.json").stat().st_size / len(dataset)
        rows.append([name, *(f"{size:.0f}" for size in (pixels, labels, pixels + labels))])
    return markdown(["image", "PNG, bytes", "annotations, bytes", "sum"], rows)


def figure(rates: Rates) -> Figure:
    """Images per second over workers, a panel for each workload."""
    drawing = Figure(figsize=(7, 2.6), layout="constrained")
    for axes, name in zip(drawing.subplots(1, len(WORKLOADS)), WORKLOADS, strict=True):
        for backend in dict.fromkeys(backend for backend, _, _ in rates):
            numbers = sorted(number for other, number, workload in rates if (other, workload) == (backend, name))
            medians = [statistics.median(rates[backend, number, name]) for number in numbers]
            axes.plot(numbers, medians, "o-", color=BACKENDS[backend], label=backend)
        axes.set(title=name, xlabel="workers", ylim=(0, None), xticks=sorted({number for _, number, _ in rates}))
    drawing.axes[0].set_ylabel("images per second")
    drawing.axes[0].legend(frameon=False)
    return drawing


if __name__ == "__main__":
    main()
