"""What a GPU does for training and the hypergradient: whether it computes the same, and how much sooner.

    python benchmarks/gpu.py [--repeats 5] [--write]

Every network trains an epoch, predicts and gives f of K images of the toy simulator, on the first CUDA device and on
the CPU, where the largest networks are left out; then the toy simulator's search runs on either. Times are medians over
the repeats after a warm-up. A few minutes. --write puts the page into docs/results/.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.hypergradient import HypergradientSettings
from autosimulate_pipeline.loop.loop import run_loop
from autosimulate_pipeline.loop.problem import influences_on
from autosimulate_pipeline.loop.scenes import draw_scenes, scenes_of, seeds_of
from autosimulate_pipeline.randomness import derive_generator
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.search import LoopSettings, LoopTrainingSettings, SearchSettings, build_search_method
from autosimulate_pipeline.simulators.toy import ToySimulator
from autosimulate_pipeline.task_models import (
    TaskModelSettings,
    TrainingSettings,
    UNetSettings,
    build_task_model,
    fit,
    num_weights,
)
from tables import markdown

PAGE = Path(__file__).parents[1] / "docs/results/gpu.md"


@dataclass(frozen=True)
class Case:
    """A network, how many images it sees, how f is solved for, and whether a CPU is asked to do it too."""

    settings: dict[str, object]
    num_images: int
    damping: float
    on_cpu: bool


CASES = {
    "U-Net, 48 px": Case({"type": "unet"}, 30, 0.1, True),
    "YOLOv3-SPP, an eighth as wide, 224 px": Case(
        {"type": "yolov3_spp", "width": 0.125, "input_size": 224}, 16, 10, True
    ),
    "Faster R-CNN, MobileNetV3, 320 px": Case(
        {"type": "faster_rcnn_mobilenet_v3_large_fpn", "input_size": 320}, 16, 10, True
    ),
    "YOLOv3-SPP, 416 px": Case({"type": "yolov3_spp", "input_size": 416}, 16, 10, False),
    "Faster R-CNN, ResNet50, 640 px": Case(
        {"type": "faster_rcnn_resnet50_fpn", "input_size": 640, "num_regions": 128}, 8, 10, False
    ),
}
HIDDEN = {
    "ambient_light": {"distribution": "gaussian", "low": 0, "high": 100, "mean": 60, "width": 0.05},
    "square_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": -5, "width": 0.1},
    "disc_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": 2, "width": 0.1},
}
START = {
    "ambient_light": {"distribution": "gaussian", "low": 0, "high": 100, "mean": 15},
    "square_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": 5},
    "disc_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": -5},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and perhaps writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--write", action="store_true", help="into docs/results/gpu.md")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device")

    rows = []
    for name in options.cases:
        rows.append(compared(name, CASES[name], options.repeats))
        print(" | ".join(rows[-1]), flush=True)
    columns = ["network, images", "weights, millions"]
    columns += [f"{part}, s, {device}" for part in ("epoch", "prediction", "f") for device in ("GPU", "CPU")]
    columns += ["memory, GB", "f: cosine with the CPU's", "relative difference"]
    devices = (
        f"{torch.cuda.get_device_name()} and {torch.get_num_threads()} threads of its host, PyTorch {torch.__version__}"
    )
    tables = markdown(columns, rows), markdown(["device", "val loss, first", "last", "seconds"], searches())
    text = "\n\n".join(("# A GPU beside a CPU", "    python benchmarks/gpu.py --write", f"{devices}.", *tables))
    print(text)
    if options.write:
        PAGE.write_text(text + "\n")


def compared(name: str, case: Case, num_repeats: int) -> list[str]:
    """A row of the table."""
    dataset, validation = drawn(START, case, 0), drawn(HIDDEN, case, 1)
    on_gpu = measured("cuda", case, dataset, validation, num_repeats)
    on_cpu = measured("cpu", case, dataset, validation, 1) if case.on_cpu else None
    times = []
    for part, seconds in on_gpu.seconds.items():
        times += [f"{seconds:.3f}", f"{on_cpu.seconds[part]:.2f}" if on_cpu else "–"]
    agreement = ["–", "–"]
    if on_cpu:
        cosine = cosine_similarity(on_gpu.influences, on_cpu.influences, dim=0)
        difference = (on_gpu.influences - on_cpu.influences).norm() / on_cpu.influences.norm()
        agreement = [f"{cosine:.6f}", f"{difference:.1e}"]
    size = f"{on_gpu.num_weights / 1e6:.2f}"
    return [f"{name}, K = {case.num_images}", size, *times, f"{on_gpu.peak_bytes / 1e9:.1f}", *agreement]


def drawn(parameters: dict[str, dict[str, object]], case: Case, seed: int) -> AnnotatedDataset:
    """K images of the toy simulator at the network's size."""
    table = draw_scenes(ProductDistribution.model_validate(parameters), case.num_images, seed, "benchmark")
    simulator = ToySimulator(image_size=TaskModelSettings.model_validate(case.settings).input_size)
    return simulator.render(scenes_of(table), seeds_of(table))


@dataclass(frozen=True, eq=False)
class Measured:
    """What a device did; f of the images is summed over their parts, shape (K,)."""

    seconds: dict[str, float]
    influences: Tensor
    num_weights: int
    peak_bytes: int


def measured(
    device: str, case: Case, dataset: AnnotatedDataset, validation: AnnotatedDataset, num_repeats: int
) -> Measured:
    """Of one network on one device, from weights that are the same on each."""
    settings = TaskModelSettings.model_validate(case.settings | {"device": device})
    model = build_task_model(dataset.categories, settings)
    start = build_task_model(dataset.categories, settings.model_copy(update={"device": "cpu"})).initial_weights(0)
    batch = model.prepare(dataset)
    training = TrainingSettings(epochs=1, batch_size=4)
    hypergradient = HypergradientSettings(damping=case.damping)
    torch.cuda.reset_peak_memory_stats()
    parts: dict[str, Callable[[], Any]] = {
        "an epoch": lambda: fit(model, start, batch, training, derive_generator(0, "training")),
        "prediction": lambda: model.predict(start, dataset),
        "f": lambda: influences_on(validation, dataset, model, start, hypergradient),
    }
    timings = {name: timed(part, num_repeats) for name, part in parts.items()}
    seconds = {name: median for name, (median, _) in timings.items()}
    influences = timings["f"][1].parts.sum(dim=1)
    return Measured(seconds, influences, num_weights(start), torch.cuda.max_memory_allocated())


def timed(part: Callable[[], Any], num_repeats: int) -> tuple[float, Any]:
    """The median seconds after a warm-up, and the last result."""
    times = []
    for _ in range(1 + num_repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        result = part()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]), result


def searches() -> list[list[str]]:
    """AutoSimulate on the toy simulator, a row for each device."""
    simulator = ToySimulator(image_size=32)
    table = draw_scenes(ProductDistribution.model_validate(HIDDEN), 20, 0, "validation")
    validation = simulator.render(scenes_of(table), seeds_of(table))
    method = build_search_method(
        "autosimulate", LoopSettings(num_iterations=8, num_images=16), SearchSettings(), HypergradientSettings()
    )
    rows = []
    for device in ("cuda", "cpu"):
        settings = UNetSettings(input_size=32, base_channels=8, device=device)
        model = build_task_model(simulator.categories, settings)
        start, began = ProductDistribution.model_validate(START), time.perf_counter()
        losses = [
            iteration.validation.loss
            for iteration in run_loop(method, start, simulator, model, validation, LoopTrainingSettings())
        ]
        rows.append([device, f"{losses[0]:.4f}", f"{losses[-1]:.4f}", f"{time.perf_counter() - began:.1f}"])
    return rows


if __name__ == "__main__":
    main()
