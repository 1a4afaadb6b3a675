from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.final_evaluation import nodes
from autosimulate_pipeline.pipelines.iteration.nodes import render_dataset
from autosimulate_pipeline.pipelines.iteration.pipeline import pretrained


def create_retraining(is_pretrained: bool) -> Pipeline:
    """From fresh scenes to the test report of a network trained from scratch on them."""
    return Pipeline(
        [
            node(
                render_dataset,
                inputs=["scenes", "params:simulator", "params:parallel"],
                outputs="rendered_dataset",
                name="render-fresh-dataset",
                tags="render",
            ),
            node(
                nodes.retrain_task_model,
                inputs={
                    "seed": "params:seed",
                    "rendered_dataset": "rendered_dataset",
                    "task_model": "params:task_model",
                    "settings": "params:final_evaluation",
                    **pretrained(is_pretrained),
                },
                outputs="trained_weights",
                name="retrain-task-model",
                tags="train",
            ),
            node(
                nodes.evaluate_test,
                inputs=["trained_weights", "test_set", "params:task_model"],
                outputs="test_report",
                name="evaluate-test",
                tags="evaluate",
            ),
        ]
    )


def create_polishing(num_iterations: int) -> Pipeline:
    """From the loop's last weights and all its images to the test report of the polished weights."""
    rendered = [f"rendered_dataset_{k:03d}" for k in range(num_iterations)]
    return Pipeline(
        [
            node(
                nodes.polish_task_model,
                inputs=["state", "weights", "params:task_model", "params:final_evaluation", *rendered],
                outputs="trained_weights",
                name="polish-task-model",
                tags="train",
            ),
            node(
                nodes.evaluate_test,
                inputs=["trained_weights", "test_set", "params:task_model"],
                outputs="test_report",
                name="evaluate-test",
                tags="evaluate",
            ),
        ]
    )


def create_pipeline(num_iterations: int, is_pretrained: bool) -> Pipeline:
    """Test reports of the `polished` loop and of retraining at the `start` and the `learned` ψ."""
    last = f"{num_iterations:03d}"
    polishing, retraining = create_polishing(num_iterations), create_retraining(is_pretrained)
    sampling = node(
        nodes.sample_fresh_scenes,
        inputs=["state_000", f"state_{last}", "params:final_evaluation"],
        outputs=["fresh_scenes_start", "fresh_scenes_learned"],
        name="sample-fresh-scenes",
        tags="sample",
    )
    return Pipeline(
        [
            Pipeline(
                polishing,
                namespace="polished",
                inputs={"state": f"state_{last}", "weights": f"weights_{last}", "test_set": "test_set"}
                | {name: name for name in polishing.inputs() if name.startswith("rendered_dataset_")},
                outputs={"test_report": "test_report_polished"},
                parameters=_parameters(polishing),
            ),
            sampling,
            *(
                Pipeline(
                    retraining,
                    namespace=namespace,
                    inputs={"scenes": f"fresh_scenes_{namespace}", "test_set": "test_set", **pretrained(is_pretrained)},
                    outputs={"test_report": f"test_report_{namespace}"},
                    parameters=_parameters(retraining),
                )
                for namespace in ("start", "learned")
            ),
        ]
    )


def _parameters(pipeline: Pipeline) -> set[str]:
    return {name for name in pipeline.inputs() if name.startswith("params:")}
