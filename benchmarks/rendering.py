"""What the render path costs over Blender alone, and what a second worker brings.

    python benchmarks/rendering.py

Compares images per second of `Clevr.render` (worker processes, annotations and all) with a bare loop around
`bpy.ops.render.render()` in one pinned process with the same standing scene. The variants take turns, so that a busy
moment of the machine touches all of them; the table shows medians over the rounds. Takes about three minutes.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from autosimulate_pipeline.records import Scene, ignore_progress
from autosimulate_pipeline.simulators.clevr.simulator import CATEGORIES, Clevr, ClevrScene
from autosimulate_pipeline.workers.pool import ParallelSettings

NUM_ROUNDS = 5
WORKLOADS = ((32, 2, 240), (64, 16, 40), (128, 32, 8))
"""Image size in pixels, samples per pixel and number of images."""
WARM_UP_SECONDS = 4.0
"""After a change of the number of workers: time for a new one to start Blender."""


def main() -> None:
    seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as bare_process:
        for _ in range(NUM_ROUNDS):
            for size, samples, num_images in WORKLOADS:
                scenes = random_scenes(size, samples, num_images)
                seconds["bare", size].append(bare_process.submit(seconds_of_bare_loop, scenes).result())
            for num_workers in (1, 2):
                warm_up(num_workers)
                for size, samples, num_images in WORKLOADS:
                    scenes = random_scenes(size, samples, num_images)
                    seconds[f"{num_workers}", size].append(seconds_of_render(scenes, num_workers))

    print(f"Images per second, medians of {NUM_ROUNDS} rounds, {len(os.sched_getaffinity(0))} cores\n")
    print("| pixels | samples | bare bpy | 1 worker | of bare | 2 workers | of 1 worker |")
    print("|---|---|---|---|---|---|---|")
    for size, samples, num_images in WORKLOADS:
        bare, one, two = (num_images / statistics.median(seconds[name, size]) for name in ("bare", "1", "2"))
        print(f"| {size} | {samples} | {bare:.2f} | {one:.2f} | {one / bare:.2f} | {two:.2f} | {two / one:.2f} |")


def random_scenes(image_size: int, num_samples: int, num_scenes: int) -> list[Scene]:
    """Scenes whose objects lie anywhere on the ground in view; the same ones at every call."""
    generator = np.random.default_rng(0)
    names = [f"{category}_{axis}" for category in CATEGORIES for axis in "xy"]
    return [
        {"image_size": image_size, "num_samples": num_samples}
        | dict(zip(names, generator.uniform(-8, 8, len(names)).tolist(), strict=True))
        for _ in range(num_scenes)
    ]


def seconds_of_render(scenes: list[Scene], num_workers: int) -> float:
    simulator = Clevr(ParallelSettings(num_workers=num_workers))
    start = time.perf_counter()
    simulator.render(scenes, range(len(scenes)), ignore_progress)
    return time.perf_counter() - start


def warm_up(num_workers: int) -> None:
    start = time.perf_counter()
    while time.perf_counter() - start < WARM_UP_SECONDS:
        seconds_of_render(random_scenes(64, 16, 8), num_workers)


def seconds_of_bare_loop(scenes: list[Scene]) -> float:
    """Time of property changes, `bpy.ops.render.render()` and the copy of its passes, for all scenes."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import bpy

    from autosimulate_pipeline.simulators.clevr.simulator import worker as blender_worker

    staged = [ClevrScene.model_validate(scene) for scene in scenes]
    start = time.perf_counter()
    for seed, scene in enumerate(staged):
        blender_worker.stage(scene, seed)
        bpy.ops.render.render()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
