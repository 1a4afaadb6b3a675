"""From a run's learned ψ to a training set on disk; no more than one shard of images is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autosimulate_pipeline.annotations.checking import Contents, check_dataset
from autosimulate_pipeline.annotations.splitting import validation_images
from autosimulate_pipeline.annotations.training_sets import SPLITS, Part, TrainingSet
from autosimulate_pipeline.loop.scenes import draw_scenes
from autosimulate_pipeline.loop.simulation import render_scenes
from autosimulate_pipeline.pipelines.generate.card import contact_sheet, dataset_card
from autosimulate_pipeline.pipelines.generate.plan import GenerateSettings, GenerationPlan, States, plan_generation
from autosimulate_pipeline.progress import watched
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.simulators import ParallelSettings

ShardLabels = list[list[int]]
"""For each image of a shard the category of every instance that counts."""

Shard = Callable[[], AnnotatedDataset]
"""Reads a shard's images."""


def make_plan(run: str, recorded: Mapping[str, Any], states: States, settings: GenerateSettings) -> GenerationPlan:
    """What is rendered from, as the run is now."""
    return plan_generation(run, recorded, states, settings)


def shard_sampler(first: int, num_images: int) -> Callable[[GenerationPlan], pd.DataFrame]:
    """The node function that draws the scenes of a shard, the same ones in a set of any size."""

    def sample_shard(plan: GenerationPlan) -> pd.DataFrame:
        """The shard's scenes, from the learned p_ψ."""
        return draw_scenes(plan.simulator.parameters, num_images, plan.seed, "generate", first)

    return sample_shard


def shard_renderer(first: int, num_images: int) -> Callable[..., tuple[AnnotatedDataset, ShardLabels]]:
    """The node function that renders a shard."""

    def render_shard(
        scenes: pd.DataFrame, plan: GenerationPlan, settings: GenerateSettings, parallel: ParallelSettings
    ) -> tuple[AnnotatedDataset, ShardLabels]:
        """The scenes as annotated images, and the categories that each of them shows."""
        stage = f"rendering {first + 1} to {first + num_images} of {settings.num_images}"
        with watched(stage, num_images, "images") as progress:
            dataset = render_scenes(plan.simulator, parallel, scenes, progress)
        return dataset, [image.counted_categories for image in dataset.images]

    return render_shard


def assemble_training_set(plan: GenerationPlan, settings: GenerateSettings, *labels_then_shards: Any) -> TrainingSet:
    """The shards, split, with card and contact sheet; images are read as they are written."""
    num_shards = len(labels_then_shards) // 2
    labels: ShardLabels = [shown for shard in labels_then_shards[:num_shards] for shown in shard]
    shards: Sequence[Shard] = labels_then_shards[num_shards:]
    is_validation = validation_images(labels, settings.validation_share)
    return TrainingSet(
        format=settings.format,
        categories=plan.categories,
        object_ids=plan.object_ids,
        parts=_parts(shards, is_validation),
        card=dataset_card(plan, settings, labels, is_validation),
        contact_sheet=contact_sheet(shards[0]()),
    )


def check_training_set(folder: Path) -> Contents:
    """What the written set holds, once its format's rules are found kept."""
    return check_dataset(folder)


def _parts(shards: Sequence[Shard], is_validation: NDArray[np.bool_]) -> Iterator[Part]:
    """Each shard's images of either split; a bar shows how many are written."""
    first = 0
    with watched("writing", len(is_validation), "images") as progress:
        for number, read in enumerate(shards):
            shard = read()
            sides = is_validation[first : first + len(shard)]
            for side, split in enumerate(SPLITS):
                chosen = np.flatnonzero(sides == side)
                if len(chosen):
                    images = AnnotatedDataset(
                        shard.categories, tuple(shard.images[index] for index in chosen), shard.object_ids
                    )
                    yield Part(split, number, tuple((chosen + first).tolist()), images)
                    progress(len(chosen))
            first += len(shard)
