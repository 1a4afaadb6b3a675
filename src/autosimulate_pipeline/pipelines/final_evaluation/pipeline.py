from collections.abc import Mapping
from types import MappingProxyType

from kedro.pipeline import Node, Pipeline, node

from autosimulate_pipeline.pipelines.final_evaluation import nodes
from autosimulate_pipeline.pipelines.iteration.nodes import render_dataset
from autosimulate_pipeline.pipelines.iteration.pipeline import pretrained

EMPTY: Mapping[str, str] = MappingProxyType({})


def create_rendering() -> Pipeline:
    """From fresh scenes to their images."""
    return Pipeline(
        [
            node(
                render_dataset,
                inputs=["scenes", "params:simulator", "params:parallel"],
                outputs="rendered_dataset",
                name="render-fresh-dataset",
                tags="render",
            )
        ]
    )


def create_retraining(is_pretrained: bool) -> Pipeline:
    """From images to the test report of a network trained from scratch on them."""
    return Pipeline(
        [
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
            _testing(),
        ]
    )


def create_own_training(num_iterations: int, has_pilot: bool, is_pretrained: bool) -> Pipeline:
    """From all images of the run to the test report of its own network."""
    inputs = {f"rendered_dataset_{k:03d}": f"rendered_dataset_{k:03d}" for k in range(num_iterations)}
    inputs |= {"validation_set": "validation_set", **pretrained(is_pretrained)}
    inputs |= {"pilot_weights": "pilot_weights"} if has_pilot else {}
    return Pipeline(
        [
            node(
                nodes.train_own_network,
                inputs=inputs
                | {"seed": "params:seed", "task_model": "params:task_model", "settings": "params:final_evaluation"},
                outputs="trained_weights",
                name="train-own-network",
                tags="train",
            ),
            _testing(),
        ]
    )


def _testing() -> Node:
    return node(
        nodes.evaluate_test,
        inputs=["trained_weights", "test_set", "params:task_model"],
        outputs="test_report",
        name="evaluate-test",
        tags="evaluate",
    )


def create_pipeline(num_iterations: int, has_pilot: bool, is_pretrained: bool) -> Pipeline:
    """Test reports of the run's `own` network and of retraining at the `start` and the `learned` ψ.

    With pilot images also of a network trained on those alone, `pilot`: domain randomisation at its own price.
    """
    last = f"{num_iterations:03d}"
    own, retraining = create_own_training(num_iterations, has_pilot, is_pretrained), create_retraining(is_pretrained)
    sampling = node(
        nodes.sample_fresh_scenes,
        inputs=["state_000", f"state_{last}", "params:final_evaluation"],
        outputs=["fresh_scenes_start", "fresh_scenes_learned"],
        name="sample-fresh-scenes",
        tags="sample",
    )
    return Pipeline(
        [
            *(
                [
                    _tested(
                        retraining, "pilot", {"rendered_dataset": "pilot_dataset"}, {"trained_weights": "pilot_weights"}
                    )
                ]
                if has_pilot
                else []
            ),
            _tested(own, "own"),
            sampling,
            *(
                _tested(create_rendering() + retraining, where, {"scenes": f"fresh_scenes_{where}"})
                for where in ("start", "learned")
            ),
        ]
    )


def _tested(
    pipeline: Pipeline, namespace: str, inputs: Mapping[str, str] = EMPTY, outputs: Mapping[str, str] = EMPTY
) -> Pipeline:
    """The pipeline in its namespace; inputs that are not renamed are the run's."""
    named = {name: name for name in pipeline.inputs() if not name.startswith("params:")} | dict(inputs)
    return Pipeline(
        pipeline,
        namespace=namespace,
        inputs=named,
        outputs={"test_report": f"test_report_{namespace}", **outputs},
        parameters={name for name in pipeline.inputs() if name.startswith("params:")},
    )
