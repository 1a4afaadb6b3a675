from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.inference import nodes


def create_inference() -> Pipeline:
    """From the pilot images and the validation images to `inference`."""
    return Pipeline(
        [
            node(
                nodes.infer_parameters,
                inputs=[
                    "pilot_scenes",
                    "pilot_dataset",
                    "validation_set",
                    "params:simulator",
                    "params:inference",
                    "params:seed",
                ],
                outputs="inference",
                name="infer-parameters",
                tags="infer",
            )
        ]
    )


def create_pipeline() -> Pipeline:
    """Inference alone, with its report, and a state that `generate` can render from."""
    return create_inference() + Pipeline(
        [
            node(
                nodes.inferred_state,
                inputs=["inference", "params:seed"],
                outputs="state_000",
                name="keep-inferred-state",
                tags="infer",
            ),
        ]
    )
