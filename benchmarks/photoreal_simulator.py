"""What the photorealistic simulator costs: convex parts, drops that settle, path-traced images.

    python benchmarks/photoreal_simulator.py [--arrangements 60] [--images 12] [--write]

The eight models that the project makes, on one worker, with nothing cached. About six minutes. --write puts the page
into docs/results/.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import benchmark_runs
from autosimulate_pipeline.cad_models.models import CadModel, read_models
from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.simulators.photoreal.distractors import DISTRACTORS
from autosimulate_pipeline.simulators.photoreal.furniture import SUPPORTS
from autosimulate_pipeline.simulators.photoreal.physics.arrangement import arrange
from autosimulate_pipeline.simulators.photoreal.physics.convex_parts import convex_parts
from autosimulate_pipeline.simulators.photoreal.physics.drops import ArrangementRequest
from autosimulate_pipeline.simulators.photoreal.procedural_models import made_models
from autosimulate_pipeline.simulators.photoreal.scene import LINEMOD_OCCLUDED, PhotorealScene, PhotorealSettings
from autosimulate_pipeline.simulators.photoreal.simulator import Photoreal
from tables import markdown

ONE = ParallelSettings(num_workers=1)
NUM_SAMPLES = (2, 8, 32)
WIDTHS = (224, 320)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and perhaps writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrangements", type=int, default=60, help="settled on each support")
    parser.add_argument("--images", type=int, default=12, help="rendered at each size and number of samples")
    parser.add_argument("--write", action="store_true", help="into docs/results/photoreal_simulator.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models, settings = read_models(made_models(folder), LINEMOD_OCCLUDED), PhotorealSettings(cache_folder=folder)
        tables = [parts_table(models, folder), drops_table(models, folder, settings, options.arrangements)]
        tables.append(images_table(settings, options.images))
    print("\n\n".join(tables))
    if options.write:
        page = ["# What the photorealistic simulator costs", "    python benchmarks/photoreal_simulator.py --write"]
        page.append(
            "The eight models that the project makes, on one worker and core. Bodies may be 1 mm in each other "
            "or in the support at the most."
        )
        (benchmark_runs.RESULTS / "photoreal_simulator.md").write_text("\n\n".join((*page, *tables)) + "\n")


def parts_table(models: Sequence[CadModel], folder: Path) -> str:
    """Seconds of each model's convex decomposition, and what it gives."""
    rows = []
    for model in models:
        start = time.perf_counter()
        (parts,) = convex_parts([model], ONE, folder)
        rows.append([model.name, str(len(model.faces)), str(len(parts)), f"{time.perf_counter() - start:.1f}"])
    rows.append(["all", "", "", f"{sum(float(row[-1]) for row in rows):.1f}"])
    return "## Convex parts\n\n" + markdown(["model", "triangles", "convex parts", "seconds"], rows)


def drops_table(models: Sequence[CadModel], folder: Path, settings: PhotorealSettings, num_arrangements: int) -> str:
    """Seconds until a drop has settled and passed its checks, and how many do not pass."""
    rows = []
    for place, support in SUPPORTS.items():
        requests = [
            ArrangementRequest(
                seed=seed,
                objects=tuple(model.object_id for model in models),
                spread_m=PhotorealScene().object_spread,
                support=support,
                distractors=tuple(shape.body for shape in DISTRACTORS[:4]),
                upright_fraction=settings.upright_fraction,
            )
            for seed in range(num_arrangements + 1)
        ]
        arrange(models, requests[:1], ONE, folder)  # starts the worker
        start = time.perf_counter()
        checks = [arrangement.checks for arrangement in arrange(models, requests[1:], ONE, folder)]
        seconds = time.perf_counter() - start
        drops = sum(check.num_attempts for check in checks)
        rows.append(
            [
                place,
                f"{seconds / drops:.2f}",
                f"{drops - len(checks)} of {drops}",
                str(sum(check.penetration_mm > 0 for check in checks)),
                f"{min(check.lowest_mm for check in checks):.2f}",
            ]
        )
    columns = ["support", "seconds a drop", "drops rejected", "arrangements that touch", "lowest point, mm"]
    return f"## {len(models)} objects and 4 distractors dropped by PhysX and checked\n\n" + markdown(columns, rows)


def images_table(settings: PhotorealSettings, num_images: int) -> str:
    """Median seconds of an image by Cycles, its masks, depth and boxes included."""
    rows = []
    for width in WIDTHS:
        simulator = Photoreal(settings.model_copy(update={"image_width": width}), ONE)
        for samples in NUM_SAMPLES:
            simulator.render([{"num_samples": samples}], [0], ignore_progress)  # builds the scene
            seconds = [seconds_of(simulator, {"num_samples": samples}, seed) for seed in range(1, num_images + 1)]
            rows.append([f"{width} × {width * 3 // 4}", str(samples), f"{statistics.median(seconds):.2f}"])
    return f"## Images, medians of {num_images}\n\n" + markdown(["pixels", "samples", "seconds an image"], rows)


def seconds_of(simulator: Photoreal, scene: dict[str, int], seed: int) -> float:
    """Of one image, its objects arranged before."""
    simulator.jobs([PhotorealScene.model_validate(scene)], [seed])
    start = time.perf_counter()
    simulator.render([scene], [seed], ignore_progress)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
