from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.inference import nodes
from autosimulate_pipeline.pipelines.reporting.pipeline import report_node

SETTINGS = ("run", "experiment", "seed", "simulator", "pilot")
REPORTED = ("inference", "pilot_dataset", "validation_set", "provenance", "stage_seconds")
"""What the report shows of conf, and of the catalog."""


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
            report_node(
                nodes.write_report,
                {name: f"params:{name}" for name in SETTINGS} | {name: name for name in REPORTED},
                ["summary", "report"],
                "write-report",
            ),
        ]
    )
