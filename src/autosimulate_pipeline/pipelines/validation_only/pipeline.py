from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.final_evaluation.nodes import evaluate_test
from autosimulate_pipeline.pipelines.iteration.pipeline import pretrained
from autosimulate_pipeline.pipelines.validation_only import nodes


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
