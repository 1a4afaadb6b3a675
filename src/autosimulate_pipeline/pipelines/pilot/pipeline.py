from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.iteration.nodes import render_dataset
from autosimulate_pipeline.pipelines.pilot import nodes


def create_pipeline() -> Pipeline:
    """From nothing to `pilot_scenes` and `pilot_dataset`."""
    return Pipeline(
        [
            node(
                nodes.sample_pilot_scenes,
                inputs=["params:simulator", "params:pilot", "params:seed"],
                outputs="pilot_scenes",
                name="sample-pilot-scenes",
                tags="pilot",
            ),
            node(
                render_dataset,
                inputs=["pilot_scenes", "params:simulator", "params:parallel"],
                outputs="pilot_dataset",
                name="render-pilot-dataset",
                tags="pilot",
            ),
        ]
    )
