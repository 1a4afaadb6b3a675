from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.reference_data.nodes import load_reference_data


def create_pipeline() -> Pipeline:
    """Makes `validation_set` and `test_set`; the one place that sees the hidden simulator."""
    return Pipeline(
        [
            node(
                load_reference_data,
                inputs=["params:reference_data", "params:simulator", "params:parallel"],
                outputs=["validation_set", "test_set"],
                name="load-reference-data",
                tags="render",
            )
        ]
    )
