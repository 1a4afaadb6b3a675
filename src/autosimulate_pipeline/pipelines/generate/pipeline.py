from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.generate import nodes
from autosimulate_pipeline.pipelines.generate.plan import GenerateSettings

NUM_SHARD_IMAGES = 100
"""Rendered, kept and in memory together: some hundred megabytes, where images are large and have masks and depth."""


def plan_name(settings: GenerateSettings) -> str:
    """The dataset that says what images of this seed are rendered from."""
    return f"generation_plan_{settings.seed}"


def training_set_name(settings: GenerateSettings) -> str:
    """The dataset that is the pipeline's product."""
    return f"training_set_{settings.name}"


def contents_name(settings: GenerateSettings) -> str:
    """The dataset that says what the checked training set holds."""
    return f"contents_{settings.name}"


def create_pipeline(settings: GenerateSettings) -> Pipeline:
    """From a run's record and states to a training set, unrolled over shards; sets of one seed share their shards."""
    plan, product = plan_name(settings), training_set_name(settings)
    shards = {
        f"{settings.seed}_{first:06d}_{num_images}": (first, num_images)
        for first in range(0, settings.num_images, NUM_SHARD_IMAGES)
        for num_images in [min(NUM_SHARD_IMAGES, settings.num_images - first)]
    }
    return Pipeline(
        [
            node(
                nodes.make_plan,
                inputs=["params:run", "run_parameters", "search_records", "params:generate"],
                outputs=plan,
                name="plan-generation",
                tags="sample",
            ),
            *(_shard(name, first, num_images, plan) for name, (first, num_images) in shards.items()),
            node(
                nodes.assemble_training_set,
                inputs=[
                    plan,
                    "params:generate",
                    *(f"labels_{name}" for name in shards),
                    *(f"shard_{name}" for name in shards),
                ],
                outputs=product,
                name="assemble-training-set",
                tags="report",
            ),
            node(
                nodes.check_training_set,
                inputs=product,
                outputs=contents_name(settings),
                name="check-training-set",
                tags="report",
            ),
        ]
    )


def _shard(name: str, first: int, num_images: int, plan: str) -> Pipeline:
    """Scenes and images of one shard."""
    parts = [
        node(nodes.shard_sampler(first, num_images), inputs=plan, outputs="scenes", name="sample-shard", tags="sample"),
        node(
            nodes.shard_renderer(first, num_images),
            inputs=["scenes", plan, "params:generate", "params:parallel"],
            outputs=["shard", "labels"],
            name="render-shard",
            tags="render",
        ),
    ]
    return Pipeline(
        parts,
        namespace=f"generated_{name}",
        inputs=plan,
        outputs={"shard": f"shard_{name}", "labels": f"labels_{name}"},
        parameters={"params:generate", "params:parallel"},
    )
