"""What inference says of real photographs, beside what their poses say: LineMOD-Occluded, no network.

    python benchmarks/lmo_inference.py [--seed 0] [--num-pilot 250] [--models FOLDER --scene FOLDER]

Renders uniform pilot images at 256 px (half an hour on one core, kept below data/), infers ψ from the labels and pixels
of 40 validation photographs, and prints each parameter's answer. Camera distance and elevation stand beside those of
the photographs' poses, which inference does not see.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import benchmark_runs
from autosimulate_pipeline.configuration import check_parameters
from autosimulate_pipeline.distributions import Gaussian
from autosimulate_pipeline.grid.grids import load_conf
from autosimulate_pipeline.inference import infer
from autosimulate_pipeline.loop.scenes import scenes_of
from autosimulate_pipeline.pipelines.pilot.nodes import sample_pilot_scenes
from autosimulate_pipeline.pipelines.reference_data.nodes import load_reference_data
from autosimulate_pipeline.randomness import derive_seed
from autosimulate_pipeline.records import AnnotatedImage
from inference_cases import rendered
from tables import markdown


def main(command_line: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-pilot", type=int, default=250)
    parser.add_argument("--models", default="data/01_raw/lmo/models")
    parser.add_argument("--scene", default="data/01_raw/lmo/test/000002")
    options = parser.parse_args(command_line)
    benchmark_runs.use_project()
    overrides = {
        "seed": options.seed,
        "pilot.num_images": options.num_pilot,
        "simulator.options.image_width": 256,
        "simulator.options.models_folder": options.models,
        "reference_data.bop_scene.folder": options.scene,
    }
    parameters = check_parameters(load_conf(benchmark_runs.PROJECT, "lmo", "parameters", overrides))
    validation, _ = load_reference_data(parameters.reference_data, parameters.simulator, benchmark_runs.ONE_WORKER)
    scenes = sample_pilot_scenes(parameters.simulator, parameters.pilot, parameters.seed)
    pilot, seed = rendered(parameters, scenes), derive_seed(parameters.seed, "inference")
    prior = parameters.simulator.parameters
    found = infer(prior, scenes_of(scenes), pilot, validation, parameters.inference, seed)
    rows = [
        [
            name,
            f"{answer.measure} {answer.score:.2f}",
            answer.source if answer.is_identified else "not identified",
            found.distribution.parameters[name].in_words(),
        ]
        for name, answer in found.parameters.items()
    ]
    print(markdown(["parameter", "on renders", "decided by", "inferred"], rows))
    rows = []
    for name, of_pose in (("camera_distance", camera_distance), ("camera_elevation", camera_elevation)):
        poses = np.array([of_pose(image) for image in validation.images])
        inferred, answers = found.distribution.parameters[name], np.array(found.parameters[name].numbers)
        assert isinstance(inferred, Gaussian)
        width = inferred.width * (inferred.high - inferred.low)
        correlation = np.corrcoef(answers, poses)[0, 1]
        cells = (inferred.mean, width, poses.mean(), poses.std(), correlation)
        rows.append([name, *(f"{cell:.3f}" for cell in cells)])
    print()
    print(markdown(["parameter", "inferred mean", "width", "poses' mean", "deviation", "r by image"], rows))


def camera_distance(image: AnnotatedImage) -> float:
    """Metres from the camera to the middle of the objects, by their poses."""
    assert image.geometry is not None
    return float(np.linalg.norm(np.median(image.geometry.translations_mm, axis=0))) / 1000


def camera_elevation(image: AnnotatedImage) -> float:
    """Degrees of the camera above the board that the objects stand on, by their poses: each stands along its own z."""
    assert image.geometry is not None
    up = np.median(image.geometry.rotations[:, :, 2], axis=0)
    middle = np.median(image.geometry.translations_mm, axis=0)
    sine = -(up @ middle) / (np.linalg.norm(up) * np.linalg.norm(middle))
    return float(np.degrees(np.arcsin(np.clip(sine, -1, 1))))


if __name__ == "__main__":
    main()
