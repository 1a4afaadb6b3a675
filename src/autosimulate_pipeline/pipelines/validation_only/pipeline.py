from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.final_evaluation.nodes import evaluate_test
from autosimulate_pipeline.pipelines.validation_only import nodes


def create_pipeline() -> Pipeline:
    """From the labelled images to the test report of a network that has seen no other."""
    return Pipeline(
        [
            node(
                nodes.train_on_validation,
                inputs=["params:seed", "validation_set", "params:task_model", "params:final_evaluation"],
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
            node(
                nodes.write_summary,
                inputs=[
                    "params:run",
                    "params:experiment",
                    "params:seed",
                    "test_report_validation_only",
                    "stage_seconds",
                ],
                outputs="summary",
                name="write-summary",
                tags="report",
            ),
        ]
    )
