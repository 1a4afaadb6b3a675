import warnings
from functools import partial

from kedro.pipeline import Pipeline, node
from kedro.pipeline.preview_contract import MermaidPreview
from kedro.utils import KedroExperimentalWarning

from autosimulate_pipeline.pipelines.iteration import nodes
from autosimulate_pipeline.search import SEARCH_METHODS

METHOD = ["params:loop", "params:search", "params:hypergradient"]
SETTINGS = {"params:simulator", "params:parallel", "params:task_model", "params:training", *METHOD}


def create_iteration(num_earlier: int = 0, is_pretrained: bool = False) -> Pipeline:
    """One iteration: the five stages, from a state and weights to the next ones.

    Args:
        num_earlier: how many earlier iterations' images are trained on too (`earlier_dataset_1` is the last one's).
        is_pretrained: whether there are `pretrained_weights`, from which a training from scratch then sets out.
    """
    earlier = [f"earlier_dataset_{distance}" for distance in range(1, num_earlier + 1)]
    return Pipeline(
        [
            node(
                nodes.sample_parameters,
                inputs=["state", *METHOD],
                outputs="scenes",
                name="sample-parameters",
                tags="sample",
            ),
            node(
                nodes.render_dataset,
                inputs=["scenes", "params:simulator", "params:parallel"],
                outputs="rendered_dataset",
                name="render-dataset",
                tags="render",
            ),
            node(
                nodes.train_task_model,
                inputs={name: name for name in ("state", "weights", "rendered_dataset", *earlier)}
                | {name: f"params:{name}" for name in ("task_model", "training")}
                | pretrained(is_pretrained),
                outputs="trained_weights",
                name="train-task-model",
                tags="train",
            ),
            node(
                nodes.evaluate_validation,
                inputs=["state", "trained_weights", "validation_set", "params:task_model"],
                outputs="validation_report",
                name="evaluate-validation",
                tags="evaluate",
            ),
            node(
                nodes.compute_hypergradient,
                inputs=[
                    "state",
                    "scenes",
                    "rendered_dataset",
                    "weights",
                    "trained_weights",
                    "validation_report",
                    "validation_set",
                    "stage_seconds",
                    "params:simulator",
                    "params:task_model",
                    *METHOD,
                ],
                outputs=["hypergradient_report", "next_state"],
                name="compute-hypergradient",
                tags="hypergradient",
            ),
        ]
    )


def piloted(has_pilot: bool, is_inferred: bool) -> dict[str, str]:
    """What a search starts from where there are pilot images."""
    return ({"pilot_scenes": "pilot_scenes"} if has_pilot else {}) | ({"inference": "inference"} if is_inferred else {})


def pretrained(is_pretrained: bool) -> dict[str, str]:
    """The input that a network's training has where there is a pretrained one."""
    return {"pretrained_weights": "pretrained_weights"} if is_pretrained else {}


def create_pipeline(
    method: str, num_iterations: int, training_window: int, has_pilot: bool, is_inferred: bool, is_pretrained: bool
) -> Pipeline:
    """The loop: the iteration unrolled, each in a namespace of its own, tied by `state_000`, `weights_000`, …"""
    num_earlier = 0 if SEARCH_METHODS[method].trains_from_scratch else training_window - 1
    settings = ("seed", "simulator", "task_model", "loop", "search", "hypergradient")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KedroExperimentalWarning)  # previews of nodes: at worst none is shown
        start = node(
            nodes.search_initialiser(method),
            inputs={"validation_set": "validation_set"}
            | {name: f"params:{name}" for name in settings}
            | piloted(has_pilot, is_inferred)
            | pretrained(is_pretrained),
            outputs=["state_000", "weights_000"],
            name="initialise-search",
            tags="sample",
            preview_fn=partial(draw_cycle, num_iterations),
        )
    return Pipeline([start, *(_unrolled(k, min(k, num_earlier), is_pretrained) for k in range(num_iterations))])


def draw_cycle(num_iterations: int) -> MermaidPreview:
    """What Kedro-Viz shows of the node that starts the loop: the cycle that the graph has unrolled."""
    return MermaidPreview(
        content=f"""flowchart TD
    psi(["p_ψ of the simulator"]) --> sample["sample-parameters"]
    sample -- scenes --> render["render-dataset"]
    render -- annotated images --> train["train-task-model"]
    train -- θ --> evaluate["evaluate-validation"]
    validation[("validation images")] --> evaluate
    evaluate -- ∇L_val --> hypergradient["compute-hypergradient"]
    hypergradient -- "moves ψ, {num_iterations} times" --> psi
"""
    )


def _unrolled(k: int, num_earlier: int, is_pretrained: bool) -> Pipeline:
    return Pipeline(
        create_iteration(num_earlier, is_pretrained),
        namespace=f"iteration_{k:03d}",
        inputs={
            "state": f"state_{k:03d}",
            "weights": f"weights_{k:03d}",
            "validation_set": "validation_set",
            "stage_seconds": "stage_seconds",
            **pretrained(is_pretrained),
            **{f"earlier_dataset_{n}": f"rendered_dataset_{k - n:03d}" for n in range(1, num_earlier + 1)},
        },
        outputs={
            "rendered_dataset": f"rendered_dataset_{k:03d}",
            "trained_weights": f"weights_{k + 1:03d}",
            "validation_report": f"validation_report_{k:03d}",
            "hypergradient_report": f"hypergradient_report_{k:03d}",
            "next_state": f"state_{k + 1:03d}",
        },
        parameters=SETTINGS,
    )
