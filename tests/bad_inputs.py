"""Malformed inputs, and what must be said of each: the key or file, the value, and what is wanted.

What a single reader refuses for reasons of its own format is in that reader's tests; here is what users get wrong in
conf, and what strangers' files may hold.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from PIL import Image
from safetensors.torch import save_file

INFINITY, NAN = float("inf"), float("nan")

PARAMETERS: list[tuple[str, Any, str]] = [
    # a key of conf, its value, what is said
    ("experiment", None, "experiment: input should be a valid string, got None"),
    ("seed", -1, "seed: input should be greater than or equal to 0, got -1"),
    ("seed", 1.5, "seed: input should be a valid integer, got a number with a fractional part, got 1.5"),
    ("lop", {}, "lop is not a parameter"),
    ("simulator", None, "simulator: input should be a valid dictionary"),
    ("simulator", "clevr" * 1000, "simulator: input should be a valid dictionary or instance of SimulatorSettings"),
    ("simulator.type", 3, "simulator.type: input should be a valid string, got 3"),
    ("simulator.type", "unity", "simulator.type: must be one of clevr, external, photoreal, toy"),
    ("simulator.type", "os:system", "simulator.type: os:system must be a class derived from SceneRenderer"),
    ("simulator.type", "toy", "simulator.parameters: scene parameter 'num_bounces' is unknown, wanted one of"),
    ("simulator.options", {"width": 8}, "simulator.options: clevr has no option width, only none"),
    ("simulator.parameters", {}, "simulator.parameters: at least one parameter must have a distribution, got none"),
    ("simulator.parameters", ["cube_x"], "simulator.parameters: input should be a valid dictionary"),
    ("simulator.parameters.cube_x", 3, "simulator.parameters.cube_x"),
    ("simulator.parameters.cube_x.distribution", "beta", "simulator.parameters.cube_x: input tag 'beta'"),
    ("simulator.parameters.cube_x.low", 10, "simulator.parameters.cube_x: low must be below high, got low=10, high=10"),
    ("simulator.parameters.cube_x.low", NAN, "simulator.parameters.cube_x.low: input should be a finite number"),
    ("simulator.parameters.cube_x.high", 12, "simulator.parameters: scene parameter 'cube_x' is 12"),
    ("simulator.parameters.cube_x.mean", 11, "cube_x: mean must be within [low, high] = [-10, 10], got 11"),
    ("simulator.parameters.cube_x.mean", "left", "simulator.parameters.cube_x.mean: input should be a valid number"),
    ("simulator.parameters.cube_x.width", 0, "simulator.parameters.cube_x.width: input should be greater than 0"),
    ("simulator.parameters.cube_x.deviation", 1, "simulator.parameters.cube_x.deviation is not a parameter"),
    ("simulator.parameters.cube_x.learned", "maybe", "cube_x.learned: input should be a valid boolean"),
    ("simulator.parameters.cube_colour.values", ["red", "red"], "values must be at least two different ones"),
    ("simulator.parameters.cube_colour.values", ["red", "pink"], "probabilities must be 2, one per value, got 8"),
    ("simulator.parameters.num_samples.probabilities", [0.5, 0.5, 0.5], "probabilities must sum to 1, got 1.5"),
    ("simulator.parameters.num_samples.probabilities", [1, 1, -1], "num_samples.probabilities.2: input should be gr"),
    ("simulator.parameters.num_samples.values", [0, 4, 16], "scene parameter 'num_samples' is 0"),
    ("simulator.parameters.cube_material.probability", 1.5, "cube_material.probability: input should be less than"),
    ("simulator.parameters.cube_material.values", ["rubber", "glass"], "scene parameter 'cube_material' is 'glass'"),
    (
        "simulator.parameters.image_size",
        {"distribution": "gaussian", "low": 16, "high": 96, "mean": 48},
        "simulator.parameters: scene parameter 'image_size' is",
    ),
    (
        "simulator.parameters.teapot_x",
        {"distribution": "gaussian", "low": 0, "high": 1, "mean": 0},
        "simulator.parameters: scene parameter 'teapot_x' is unknown",
    ),
    ("reference_data.bop_scene", {"folder": "nowhere"}, "reference_data.bop_scene: nowhere is missing"),
    ("reference_data.bop_scene", {"folder": "x", "num_blocks": 1}, "reference_data.bop_scene.num_blocks: input should"),
    ("reference_data.validation_folder", "photos", "reference_data: validation_folder and test_folder must be given"),
    ("reference_data.hidden_simulator.seed", -1, "reference_data.hidden_simulator.seed: input should be greater"),
    ("reference_data.hidden_simulator.num_test_images", 0, "hidden_simulator.num_test_images: input should be greater"),
    (
        "reference_data.hidden_simulator.options",
        {"a": 1},
        "hidden_simulator.options: clevr has no option a, only none",
    ),
    ("reference_data.hidden_simulator.camera", {"blur": 9}, "camera.blur: input should be less than or equal to 5"),
    ("reference_data.hidden_simulator.camera", {"fog": 1}, "hidden_simulator.camera.fog is not a parameter"),
    (
        "reference_data.hidden_simulator.parameters.back_light.high",
        200,
        "reference_data.hidden_simulator.parameters: scene parameter 'back_light' is 200",
    ),
    ("task_model", None, "task_model: input should be a valid dictionary"),
    ("task_model.type", "resnet", "task_model.type must be one of unet, yolov3_spp, faster_rcnn_"),
    ("task_model.weights", "a.pt", "task_model.weights is not a parameter of unet, which has type, input_size, frozen"),
    ("task_model.input_size", 8, "task_model.input_size: input should be greater than or equal to 16, got 8"),
    ("task_model.base_channels", 6, "task_model.base_channels: input should be a multiple of 4, got 6"),
    ("task_model.background_weight", 2, "task_model.background_weight: input should be less than or equal to 1"),
    ("task_model.device", "tpu", "task_model.device: input should be 'auto', 'cpu' or 'cuda', got 'tpu'"),
    ("task_model.frozen", "encoder", "task_model.frozen: input should be a valid tuple, got 'encoder'"),
    ("task_model.frozen", ["backbone"], "task_model.frozen must begin names of weights, such as"),
    ("task_model.frozen", [""], "task_model.frozen must leave weights to train"),
    ("pilot", {"num_images": -1}, "pilot.num_images: input should be greater than or equal to 0, got -1"),
    ("pilot", {"num_images": 19}, "pilot.num_images must be at least 20 for search.start inferred, got 19"),
    (
        "inference",
        {"statistics": "no_module_of_mine:f"},
        "inference.statistics: no_module_of_mine:f cannot be imported",
    ),
    ("inference", {"statistics": "math:pi"}, "inference.statistics must name a function, got math:pi"),
    ("inference", {"statistics": "statistics.py"}, "inference.statistics: string should match pattern"),
    (
        "search",
        {"start": "hidden"},
        "search.start: input should be 'inferred', 'configured' or 'uniform', got 'hidden'",
    ),
    ("pretraining", {"training": {"epochs": 0}}, "pretraining.training.epochs: input should be greater than or equal"),
    ("training.epochs", 0, "training.epochs: input should be greater than or equal to 1, got 0"),
    ("training.first_epochs", 0, "training.first_epochs: input should be greater than or equal to 1, got 0"),
    ("training.retained", 1.5, "training.retained: input should be less than or equal to 1, got 1.5"),
    ("training.window", 0, "training.window: input should be greater than or equal to 1, got 0"),
    ("training.learning_rate", NAN, "training.learning_rate: input should be less than or equal to 1, got nan"),
    ("training.batch_size", 0, "training.batch_size: input should be greater than or equal to 1, got 0"),
    ("training.num_variants", 0, "training.num_variants: input should be greater than or equal to 1, got 0"),
    ("training.weight_decay", INFINITY, "training.weight_decay: input should be a finite number, got inf"),
    ("loop", None, "loop: input should be a valid dictionary"),
    ("loop.num_images", 1, "loop.num_images: input should be greater than or equal to 2, got 1"),
    ("loop.num_images", "many", "loop.num_images: input should be a valid integer"),
    ("loop.num_imagse", 20, "loop.num_imagse is not a parameter"),
    ("loop.num_iterations", 0, "loop.num_iterations: input should be greater than or equal to 1, got 0"),
    ("loop.num_iterations", 1000, "loop.num_iterations: input should be less than or equal to 999, got 1000"),
    ("loop.max_images", 1, "loop.max_images: input should be greater than or equal to 2, got 1"),
    ("loop.max_images", 20, "loop.max_images must be at least loop.num_images (30), got 20"),
    ("loop.max_images", 129, "loop.max_images must be at least 130, for the pilot images and an iteration, got 129"),
    ("loop.max_minutes", 0, "loop.max_minutes: input should be greater than 0, got 0"),
    ("loop.max_minutes", INFINITY, "loop.max_minutes: input should be a finite number, got inf"),
    ("loop.patience", 0, "loop.patience: input should be greater than or equal to 1, got 0"),
    ("search.mode", "fast", "search.mode: input should be 'recommended' or 'paper', got 'fast'"),
    ("search.step_size", INFINITY, "search.step_size: input should be a finite number, got inf"),
    ("search.step_decay", 1.5, "search.step_decay: input should be less than or equal to 1, got 1.5"),
    ("search.width_decay", 0, "search.width_decay: input should be greater than 0, got 0"),
    ("search.learning_rate", -0.1, "search.learning_rate: input should be greater than 0, got -0.1"),
    ("search.credit", "pixel", "search.credit: input should be 'category' or 'image', got 'pixel'"),
    ("search.standardised", "maybe", "search.standardised: input should be a valid boolean"),
    ("search.trials", {"objective": "f1"}, "search.trials.objective: input should be 'miou', 'map' or 'loss'"),
    ("search.trials", {"width_factor": 0}, "search.trials.width_factor: input should be greater than 0, got 0"),
    ("search.lts", {"num_datasets": 1}, "search.lts.num_datasets: input should be greater than or equal to 2, got 1"),
    ("search.lts", {"policy_width": NAN}, "search.lts.policy_width: input should be a finite number, got nan"),
    ("hypergradient.damping", -0.1, "hypergradient.damping must be at least 0, got -0.1"),
    ("hypergradient.damping", INFINITY, "hypergradient.damping: input should be a finite number, got inf"),
    ("hypergradient.solver", "magic", "hypergradient.solver must be one of conjugate_gradient"),
    ("hypergradient.curvature", "fisher", "hypergradient.curvature: input should be 'ggn' or 'hessian', got 'fisher'"),
    ("hypergradient.max_steps", 0, "hypergradient.max_steps: input should be greater than or equal to 1, got 0"),
    ("hypergradient.tolerance", 0, "hypergradient.tolerance: input should be greater than 0, got 0"),
    ("final_evaluation.num_images", 1, "final_evaluation.num_images: input should be greater than or equal to 2"),
    ("final_evaluation.own_network", {"epoch": 3}, "final_evaluation.own_network.epoch is not a parameter"),
    ("generate.num_images", 100_001, "generate.num_images: input should be less than or equal to 100000, got 100001"),
    ("generate.format", "voc", "generate.format: input should be 'coco', 'bop' or 'yolo', got 'voc'"),
    ("generate.validation_share", 1, "generate.validation_share: input should be less than 1, got 1"),
    ("generate.seed", -1, "generate.seed: input should be greater than or equal to 0, got -1"),
    ("parallel.backend", "mpi", "parallel.backend: input should be 'loky', 'dask' or 'ray', got 'mpi'"),
    ("parallel.address", "tcp://x:1", "parallel.address must be null where parallel.backend is loky, got 'tcp://x:1'"),
    ("parallel.num_workers", 0, "parallel.num_workers"),
    ("parallel.timeout_seconds", INFINITY, "parallel.timeout_seconds: input should be a finite number, got inf"),
    ("parallel.max_attempts", 0, "parallel.max_attempts: input should be greater than or equal to 1, got 0"),
]

TASK_MODELS: list[tuple[dict[str, Any], str, str]] = [
    # the block task_model, what trials are judged by, what is said
    ({"input_size": 48}, "map", "task_model.type must be one of unet, yolov3_spp, faster_rcnn_"),
    ({"type": "yolov3_spp", "width": 0}, "map", "task_model.width: input should be greater than 0, got 0"),
    ({"type": "yolov3_spp", "width": NAN}, "map", "task_model.width: input should be less than or equal to 2"),
    ({"type": "yolov3_spp", "base_channels": 8}, "map", "task_model.base_channels is not a parameter of yolov3_spp"),
    ({"type": "yolov3_spp", "input_size": 64, "weights": "imagenet"}, "map", "must be none or a file for yolov3_spp"),
    ({"type": "faster_rcnn_resnet50_fpn", "num_regions": 3}, "map", "task_model.num_regions: input should be a multip"),
    (
        {"type": "faster_rcnn_resnet50_fpn", "background_weight": 1},
        "map",
        "task_model.background_weight is not a parameter of faster_rcnn_resnet50_fpn, which has type, input_size",
    ),
    (
        {"type": "faster_rcnn_mobilenet_v2_fpn", "input_size": 64, "weights": "coco"},
        "map",
        "task_model.weights must be none or a file or imagenet for faster_rcnn_mobilenet_v2_fpn, got coco",
    ),
    ({"type": "yolov3_spp", "input_size": 100}, "map", "task_model.input_size must be a multiple of 32 for yolov3_spp"),
    ({"type": "yolov3_spp", "input_size": 64}, "miou", "search.trials.objective must be map or loss for yolov3_spp"),
]


# Files. An edit gets a folder or file that is right, and makes it wrong.

Edit = Callable[[Path], object]


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces this many pixels and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"")


def content(name: str, text: str | bytes) -> Edit:
    """Another content of the file of that name."""
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def in_json(name: str, edit: Callable[[Any], object]) -> Edit:
    def change(folder: Path) -> None:
        values = json.loads((folder / name).read_text())
        edit(values)
        (folder / name).write_text(json.dumps(values))

    return change


def annotation(key: str, value: Any) -> Edit:
    return in_json("annotations.json", lambda values: values["annotations"][0].update({key: value}))


def image_entry(key: str, value: Any) -> Edit:
    return in_json("annotations.json", lambda values: values["images"][0].update({key: value}))


def circle(name: str) -> Edit:
    """A link to itself."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)

    return change


def link_out(name: str) -> Edit:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "outside")
        (folder / name).symlink_to(folder.parent / "outside")

    return change


def pipe(name: str) -> Edit:
    """Nobody writes to it: who opens it waits for ever."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def enlarged(name: str, num_bytes: int) -> Edit:
    return lambda folder: os.truncate(folder / name, num_bytes)


DEEP = "[" * 20_000
LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{k + 1}: &a{k + 1} [*a{k}, *a{k}]\n" for k in range(60))
ZIGZAG = [float(value) for k in range(400) for value in ((0, 0) if k % 2 else (31, 20))]

COCO: dict[str, tuple[Edit, str]] = {
    "JSON too deep": (content("annotations.json", DEEP), "annotations.json: content: Invalid JSON: recursion limit"),
    "JSON too large": (enlarged("annotations.json", 200_000_001), "must have at most 200000000 bytes, got 200000001"),
    "a JSON list": (content("annotations.json", "[]"), "annotations.json: content: Input should be an object"),
    "JSON elsewhere": (link_out("annotations.json"), "annotations.json must stay inside"),
    "a circle of links": (circle("images/000000.png"), "000000.png is missing: annotations.json names it for image"),
    "a pipe": (pipe("images/000000.png"), "000000.png is missing"),
    "a name with NUL": (
        image_entry("file_name", "a\0b.png"),
        "images.0.file_name: must be 1 to 255 characters without line breaks",
    ),
    "a name of two lines": (
        image_entry("file_name", "a\nb.png"),
        "images.0.file_name: must be 1 to 255 characters without line breaks",
    ),
    "a long name": (image_entry("file_name", "a" * 256), "images.0.file_name: must be 1 to 255 characters"),
    "a longer name": (image_entry("file_name", "ä" * 250), "is missing: annotations.json names it"),
    "a folder as image": (image_entry("file_name", "."), "images is missing: annotations.json names it"),
    "half a pixel": (image_entry("width", 30.5), "images.0.width: Input should be a valid integer"),
    "a category of two lines": (
        in_json("annotations.json", lambda values: values["categories"][0].update(name="cube\n\x1b[2J")),
        "categories.0.name: must be 1 to 255 characters without line breaks",
    ),
    "a crowd by another number": (annotation("iscrowd", 7), "annotations.0.iscrowd: Input should be a valid boolean"),
    "ids twice": (
        in_json("annotations.json", lambda values: values["annotations"].extend(values["annotations"])),
        "annotations.json: annotation ids must differ, got 2 of them more than once: 1, 2",
    ),
    "a segmentation that is text": (
        annotation("segmentation", "0 0 1 1"),
        "annotations.0.segmentation: must be polygons, lists of numbers [x1, y1, x2, y2, …], or run lengths",
    ),
    "shares of the image": (
        in_json(
            "annotations.json",
            lambda values: [one.update(bbox=[0.1, 0.2, 0.3, 0.4], segmentation=[]) for one in values["annotations"]],
        ),
        "annotations.json: bbox must be in pixels, but all 2 lie within [0, 1] as shares of the image do",
    ),
    "no category": (
        in_json("annotations.json", lambda values: values["categories"].clear()),
        "categories: List should have at least 1 item",
    ),
    "an endless box": (annotation("bbox", [0, 0, INFINITY, 1]), "annotations.0.bbox.2: Input should be a finite num"),
    "a run of ages": (
        annotation("segmentation", {"size": [20, 31], "counts": [10**400, 1]}),
        "run lengths must be at least 0 and sum to 620, got 1000",
    ),
    "a corner that is none": (
        annotation("segmentation", [[NAN] * 6]),
        "annotations.0.segmentation.polygons.0.0: Input should be a finite",
    ),
    "an outline without end": (annotation("segmentation", [ZIGZAG]), "a polygon's outline must be at most 2480 pixels"),
    "a bomb": (content("images/000000.png", png_header(60000, 60000)), "000000.png must be a PNG or JPEG image"),
    "a large image": (content("images/000000.png", png_header(13000, 13000)), "000000.png must be at most 8192 px"),
    "an image cut off": (content("images/000000.png", png_header(31, 20)), "000000.png must be a PNG or JPEG image"),
    "a GIF": (
        lambda folder: Image.new("P", (31, 20)).save(folder / "images/000000.png", format="GIF"),
        "000000.png must be a PNG or JPEG image",
    ),
}

YOLO: dict[str, tuple[Edit, str]] = {
    "YAML too deep": (content("data.yaml", "[" * 1100), "data.yaml must be YAML"),
    "YAML that grows": (content("data.yaml", LAUGHS), "data.yaml: train: Field required, got {'a0'"),
    "YAML too large": (enlarged("data.yaml", 200_001), "data.yaml must have at most 200000 bytes"),
    "YAML that builds": (content("data.yaml", "!!python/object/apply:os.system [ls]"), "could not determine a constr"),
    "no YAML": (content("data.yaml", "a: b: c"), "data.yaml must be YAML: mapping values are not allowed here"),
    "no text": (content("data.yaml", b"\xff\xfe"), "data.yaml must be text in UTF-8: invalid start byte at byte 0"),
    "no mapping": (content("data.yaml", "- a\n"), "data.yaml: content: Input should be a valid dictionary"),
    "classes that YAML takes for switches": (
        content("data.yaml", "train: images/train\nval: images/val\nnames: [no, yes]\n"),
        "data.yaml: names.0: Input should be a valid string, got False",
    ),
    "labels that are no text": (content("labels/train/000000.txt", b"0 \xff"), "000000.txt must be text in UTF-8"),
    "a label of a mile": (content("labels/train/000000.txt", "0" * 10**6), "000000.txt:1 must be a class and four num"),
    "labels elsewhere": (link_out("labels/train/000000.txt"), "000000.txt must stay inside"),
    "a folder elsewhere": (
        lambda folder: (folder / "images/train/more").symlink_to(folder.parent),
        "images/train/more must be a folder or be named in data.yaml, got a link to a folder",
    ),
    "a name of two lines": (
        lambda folder: (folder / "images/train/a\n.png").touch(),
        "images/train must hold names of one line without control characters, got 'a\\n.png'",
    ),
    "a class twice": (
        content("data.yaml", "train: images/train\nval: images/val\nnames: [a, a]\n"),
        "data.yaml: names of classes must differ, got 'a' twice",
    ),
    "a polygon": (
        content("labels/train/000000.txt", "0 .1 .1 .5 .1 .5 .5\n"),
        "000000.txt:1 must be a class below 2 and four numbers, got '0 .1 .1 .5 .1 .5 .5' (a polygon: masks are read",
    ),
    "an image of 16 bits": (
        lambda folder: Image.new("I;16", (31, 20)).save(folder / "images/train/000000.png"),
        "000000.png must have 8 bits a channel, got Pillow's mode I;16",
    ),
    "a large image": (content("images/train/000000.png", png_header(13000, 1)), "000000.png must be at most 8192 px"),
}

BOP: dict[str, tuple[Edit, str]] = {
    "a circle of links": (circle("000000/rgb/000000.png"), "000000.png (or .jpg) is missing"),
    "a pipe": (pipe("000000/scene_gt.json"), "scene_gt.json is missing"),
    "a name of two lines": (
        content("objects.json", '{"1": "ape\\ncan"}'),
        "objects.json: 1: must be 1 to 255 characters without line breaks",
    ),
    "names in a list": (content("objects.json", "[]"), "objects.json: content: Input should be an object"),
    "objects elsewhere": (link_out("objects.json"), "objects.json must stay inside"),
    "no object": (content("objects.json", "{}"), "objects must be 1 to 255 different ids"),
}


def textured(texture: str, content_of_it: bytes | None = None) -> Edit:
    """The material names another texture."""

    def change(folder: Path) -> None:
        (folder / "mesh.mtl").write_text(f"newmtl wood\nKd 1 1 1\nmap_Kd {texture}\n")
        if content_of_it is not None:
            (folder / texture).write_bytes(content_of_it)

    return change


OBJ: dict[str, tuple[Edit, str]] = {
    "a texture that is text": (textured("wood.png", b"hello"), "wood.png must be a PNG or JPEG image"),
    "a texture that is a bomb": (textured("wood.png", png_header(60000, 60000)), "wood.png must be a PNG or JPEG"),
    "a texture of another kind": (textured("wood.tga", b""), "'wood.tga' must be one of .mtl, .bin, .png"),
    "a texture that waits": (pipe("wood.png"), "wood.png is missing"),
    "a corner that is not there": (
        lambda folder: (folder / "mesh.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n"),
        "mesh.obj",
    ),
    "vertices of two numbers": (
        lambda folder: (folder / "mesh.obj").write_text("v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n"),
        "mesh.obj",
    ),
    "a corner nowhere": (
        lambda folder: (folder / "mesh.obj").write_text("v 0 0 0\nv 1 0 nan\nv 0 1 0\nf 1 2 3\n"),
        "vertices must be finite",
    ),
}


def box_glb() -> tuple[dict[str, Any], bytes]:
    """Header and body of a small cube."""
    whole = bytes(trimesh.creation.box((0.05, 0.05, 0.05)).export(file_type="glb"))
    num_bytes = int.from_bytes(whole[12:16], "little")
    return json.loads(whole[20 : 20 + num_bytes]), whole[20 + num_bytes :]


def glb(edit: Callable[[dict[str, Any]], object]) -> bytes:
    """The cube, its header edited."""
    header, body = box_glb()
    edit(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(body), len(text), b"JSON") + text + body


def instanced(header: dict[str, Any]) -> None:
    """9000 times the cube, each time of 250 parts."""
    (mesh,) = header["meshes"]
    mesh["primitives"] *= 250
    header["nodes"] = [{"children": list(range(1, 9001))}, *({"mesh": 0} for _ in range(9000))]
    header["scenes"][0]["nodes"] = [0]


DATA_URI = "data:image/png;base64," + base64.b64encode(png_header(60000, 60000)).decode()

GLB: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "mesh.glb must be a readable mesh"),
    "another file": (b"solid of another format" * 3, "it must begin as GLB does"),
    "a header too deep": (
        struct.pack("<4sIII4s", b"glTF", 2, 0, len(DEEP), b"JSON") + DEEP.encode(),
        "must be a readable mesh: Invalid JSON: recursion limit exceeded",
    ),
    "an array without data": (
        glb(lambda header: header["accessors"].append({"componentType": 5126, "count": 10**9, "type": "MAT4"})),
        "mesh.glb must hold at most 50000000 numbers, got 16000",
    ),
    "an array of another kind": (glb(lambda header: header["accessors"][0].update(type="TENSOR")), "'TENSOR'"),
    "many nodes": (glb(lambda header: header.update(nodes=[{}] * 10_001)), "at most 10000 items"),
    "many instances": (glb(instanced), "mesh.glb must show at most 10000 parts, got 2250250"),
    "an image that is none": (
        glb(lambda header: header.update(images=[{"bufferView": 0, "mimeType": "image/png"}])),
        "mesh.glb/images.0 must be a PNG or JPEG image",
    ),
    "an image that is not there": (
        glb(lambda header: header.update(images=[{"bufferView": 99}])),
        "mesh.glb/images.0 must have one of",
    ),
    "an image as text": (
        glb(lambda header: header.update(images=[{"uri": DATA_URI}])),
        "mesh.glb/images.0 must be a file or within the GLB's own bytes, got a data URI",
    ),
}


class Hostile:
    """What runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def infinite_state(path: Path) -> None:
    save_file({"roi_heads.weight": torch.full((2,), INFINITY)}, path)


def few_weights(path: Path) -> None:
    np.array([0, 2, 0, 0, 0], dtype="<i4").tofile(path)


WEIGHTS: dict[str, tuple[str, str, Edit, str]] = {
    # network, name of the file, its content, what is said
    "a Darknet file that is missing": ("yolov3_spp", "a.weights", lambda _: None, "a.weights, which is missing"),
    "a Darknet file that is a folder": ("yolov3_spp", "a.weights", Path.mkdir, "a.weights, which is missing"),
    "an empty Darknet file": ("yolov3_spp", "a.weights", Path.touch, "a.weights must have 2"),
    "a Darknet file cut off": ("yolov3_spp", "a.weights", few_weights, "a.weights must have 2"),
    "a state_dict that is missing": ("faster_rcnn_resnet50_fpn", "a.pt", lambda _: None, "a.pt, which is missing"),
    "a pickle that runs": (
        "faster_rcnn_resnet50_fpn",
        "a.pt",
        lambda path: path.write_bytes(pickle.dumps(Hostile())),
        "a file with a state_dict, got",
    ),
    "a saved thing that runs": (
        "faster_rcnn_resnet50_fpn",
        "a.pt",
        lambda path: torch.save({"weight": Hostile()}, path),
        "a file with a state_dict, got",
    ),
    "a saved list": (
        "faster_rcnn_resnet50_fpn",
        "a.pt",
        lambda path: torch.save([torch.ones(1)], path),
        "a file with tensors by name, got another thing",
    ),
    "safetensors cut off": (
        "faster_rcnn_resnet50_fpn",
        "a.safetensors",
        lambda path: path.write_bytes(b"\xff" * 40),
        "a file with a state_dict, got",
    ),
    "infinite weights": ("faster_rcnn_resnet50_fpn", "a.safetensors", infinite_state, "a file with finite weights"),
}
