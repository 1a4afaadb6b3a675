from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.final_evaluation.nodes import evaluate_test
from autosimulate_pipeline.pipelines.iteration.pipeline import pretrained
from autosimulate_pipeline.pipelines.reporting.pipeline import report_node
from autosimulate_pipeline.pipelines.validation_only import nodes

SETTINGS = ("run", "experiment", "seed", "task_model", "pretraining", "final_evaluation")
"""What the report tells of the configuration."""


def create_pipeline(is_pretrained: bool) -> Pipeline:
    """From the labelled images to the test report of a network that has seen no other."""
    return Pipeline(
        [
            node(
                nodes.train_on_validation,
                inputs={
                    "seed": "params:seed",
                    "validation_set": "validation_set",
                    "task_model": "params:task_model",
                    "settings": "params:final_evaluation",
                    **pretrained(is_pretrained),
                },
                outputs="weights_validation_only",
                name="train-on-validation",
                tags="train",
            ),
            node(
                evaluate_test,
                inputs=["weights_validation_only", "test_set", "params:task_model"],
                outputs="test_report_validation_only",
                name="evaluate-test",
                tags="evaluate",
            ),
            report_node(
                nodes.draw_trained,
                ["params:seed", "validation_set", "weights_validation_only", "test_set", "params:task_model"],
                "retrained_validation_only",
                "draw-trained",
            ),
            report_node(
                nodes.write_report,
                {name: f"params:{name}" for name in SETTINGS}
                | {name: name for name in ("validation_set", "test_set", "provenance", "stage_seconds")}
                | {"test_report": "test_report_validation_only", "retrained": "retrained_validation_only"},
                ["summary", "report"],
                "write-report",
            ),
        ]
    )
