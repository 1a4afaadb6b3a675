from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.iteration.nodes import render_dataset
from autosimulate_pipeline.pipelines.pretraining import nodes


def create_pipeline() -> Pipeline:
    """From nothing to `pretrained_weights`, which all runs with the same settings share."""
    return Pipeline(
        [
            node(
                nodes.sample_pretraining_scenes,
                inputs=["params:simulator", "params:pretraining"],
                outputs="pretraining_scenes",
                name="sample-pretraining-scenes",
                tags="pretrain",
            ),
            node(
                render_dataset,
                inputs=["pretraining_scenes", "params:simulator", "params:parallel"],
                outputs="pretraining_dataset",
                name="render-pretraining-dataset",
                tags="pretrain",
            ),
            node(
                nodes.pretrain_task_model,
                inputs=["pretraining_dataset", "params:task_model", "params:pretraining"],
                outputs="pretrained_weights",
                name="pretrain-task-model",
                tags="pretrain",
            ),
        ]
    )
