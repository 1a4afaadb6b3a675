"""What goes with a training set: a README in numbers, and a sheet of its first images."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import autosimulate_pipeline
from autosimulate_pipeline.pipelines.generate.plan import GenerateSettings, GenerationPlan
from autosimulate_pipeline.provenance import source_commit
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from autosimulate_pipeline.reporting.pictures import boxed

NUM_SHOWN = (4, 6)
"""Rows and columns of the contact sheet."""

THUMBNAIL = 160
"""Pixels of the longer side of an image on the sheet."""

PACKAGES = ("bpy", "sapien", "torch", "numpy", "pillow")
"""What the pixels depend on."""

LAYOUTS = {
    "coco": "`train/` and `val/`, each with `annotations.json` (COCO: masks as RLE, boxes around them) and `images/`.",
    "yolo": "`images/` and `labels/` with `train/` and `val/` in each, and `data.yaml`: "
    "`yolo train data=data.yaml model=…`. Boxes are those around what can be seen.",
    "bop": "`train_pbr/` and `val_pbr/` with scenes in BOP's layout: `rgb/`, `depth/` (units of 0.1 mm), `mask/`, "
    "`mask_visib/`, poses in `scene_gt.json`, boxes and visible shares in `scene_gt_info.json`, cameras in "
    "`scene_camera.json`. `objects.json` names the objects. The CAD models are not part of it.",
}


def dataset_card(
    plan: GenerationPlan,
    settings: GenerateSettings,
    labels: Sequence[Sequence[int]],
    is_validation: NDArray[np.bool_],
) -> str:
    """The README, in Markdown.

    Args:
        labels: the category of each instance that counts, for each image.
        is_validation: which images are for validation.
    """
    splits = [[shown for shown, other in zip(labels, is_validation, strict=True) if other == side] for side in (0, 1)]
    num_images = [len(split) for split in splits]
    num_instances = [Counter(chain.from_iterable(split)) for split in splits]
    rows = [
        f"| {name} | {num_instances[0][index]} | {num_instances[1][index]} |"
        for index, name in enumerate(plan.categories, start=1)
    ]
    parameters = [f"| {name} | {d.in_words()} |" for name, d in plan.simulator.parameters.parameters.items()]
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    commit = source_commit()
    models = plan.simulator.options.get("models_folder")
    lines = [
        f"# {settings.num_images} images from the run {plan.run}",
        "",
        "![The first images with their boxes](contact_sheet.png)",
        "",
        f"Rendered by the simulator `{plan.simulator.type}` from the parameters that {origin(plan)}. Every image is a "
        f"draw of its own from the distribution below (seed {plan.seed}).",
        "",
        f"Layout: {LAYOUTS[settings.format]} Objects of which less than a tenth can be seen "
        + ("are marked so by `visib_fract`." if settings.format == "bop" else "have no label."),
        "",
        f"| instances | train ({num_images[0]} images) | val ({num_images[1]} images) |",
        "|---|---:|---:|",
        *rows,
        "",
        "The split is by image: each category has about the same share of its images in `val` (iterative "
        "stratification). Both parts are renders; what a network is worth on photographs, only photographs tell.",
        "",
        "## Simulator parameters",
        "",
        "Normal distributions are told as mean ± standard deviation; what falls outside the range is cut to its end.",
        "",
        "| parameter | drawn from |",
        "|---|---|",
        *parameters,
        "",
        "## Made by",
        "",
        f"AutoSimulate {autosimulate_pipeline.__version__}"
        + (f", commit {commit}" if commit else "")
        + f"; Python {platform.python_version()}, {versions}.",
        "",
        f"    kedro run --pipeline generate --params run={plan.run},generate.format={settings.format},"
        f"generate.num_images={settings.num_images},generate.validation_share={settings.validation_share:g},"
        f"generate.seed={settings.seed}",
        "",
        "## Licence",
        "",
        "AutoSimulate (Apache-2.0) puts no licence on images that it renders. What the simulator was given, such as "
        "CAD models and textures, may: look at theirs before you pass the images on."
        + (f" The models were those of `{models}`." if models else ""),
        "",
    ]
    return "\n".join(lines)


def origin(plan: GenerationPlan) -> str:
    """How the parameters were found."""
    if not plan.iterations:
        return f"were inferred from the labelled images, by {plan.images_rendered} pilot images"
    return f"`{plan.method}` had learned after {plan.iterations} iterations and {plan.images_rendered} images"


def contact_sheet(dataset: AnnotatedDataset) -> Image.Image:
    """The first images in rows, with a box in the colour of its category around every object that counts."""
    num_rows, num_columns = NUM_SHOWN
    thumbnails = [_thumbnail(image) for image in dataset.images[: num_rows * num_columns]]
    width, height = (max(sides) for sides in zip(*(thumbnail.size for thumbnail in thumbnails), strict=True))
    sheet = Image.new("RGB", (num_columns * width, -(-len(thumbnails) // num_columns) * height), "white")
    for index, thumbnail in enumerate(thumbnails):
        row, column = divmod(index, num_columns)
        sheet.paste(thumbnail, (column * width, row * height))
    return sheet


def _thumbnail(image: AnnotatedImage) -> Image.Image:
    height, width = image.image.shape[:2]
    scale = THUMBNAIL / max(height, width)
    resized = Image.fromarray(image.image).resize((round(width * scale) or 1, round(height * scale) or 1))
    boxes = image.boxes[image.counted] * scale
    return Image.fromarray(boxed(np.asarray(resized), boxes, image.counted_categories))
