from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.pretraining import nodes


def create_pipeline() -> Pipeline:
    """From the pilot images to `pretrained_weights`, which all runs with the same settings share."""
    return Pipeline(
        [
            node(
                nodes.pretrain_task_model,
                inputs=["pilot_dataset", "params:task_model", "params:pretraining"],
                outputs="pretrained_weights",
                name="pretrain-task-model",
                tags="pretrain",
            ),
        ]
    )
