from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline, node

from autosimulate_pipeline.pipelines.reporting import nodes

NUM_EVOLUTION_ROWS = 5
MAX_FRAMES = 25
"""Most iterations on the report's slider."""

SETTINGS = (
    "run",
    "experiment",
    "simulator",
    "task_model",
    "pretraining",
    "training",
    "loop",
    "search",
    "hypergradient",
    "final_evaluation",
)
"""What the report tells of the configuration: all but what stands for reality, which the search does not know."""


def shown_iterations(num_iterations: int, num_shown: int) -> list[int]:
    """Up to `num_shown` iterations, evenly spread, the first and the last among them."""
    num_rows = min(num_shown, num_iterations)
    return sorted({round(row * (num_iterations - 1) / max(num_rows - 1, 1)) for row in range(num_rows)})


def create_pipeline(num_iterations: int, has_pilot: bool, is_inferred: bool) -> Pipeline:
    """Contact sheets and frames while the run goes on; at its end figures, `summary.json` and `report.html`."""
    before = {"pilot": "params:pilot"} if has_pilot else {}
    before |= {name: name for name in ("test_report_pilot", "pilot_dataset")} if has_pilot else {}
    before |= {"inference": "inference"} if is_inferred else {}
    return Pipeline([*_while_it_runs(num_iterations), *_at_its_end(num_iterations, before)])


def report_node(
    function: Callable[..., Any],
    inputs: str | list[str] | dict[str, str],
    outputs: str | list[str],
    name: str,
    namespace: str | None = None,
) -> Node:
    """A node of the stage `report`, which no other stage waits for."""
    return node(function, inputs=inputs, outputs=outputs, name=name, tags="report", namespace=namespace)


def _while_it_runs(num_iterations: int) -> list[Node]:
    """Of each iteration its contact sheet, and if it is on the slider its frame."""
    framed = shown_iterations(num_iterations, MAX_FRAMES)
    nodes_of_iterations = []
    for k in range(num_iterations):
        rendered = f"rendered_dataset_{k:03d}"
        makers: list[tuple[Callable[..., Any], list[str], str, str]] = [
            (nodes.sheet_drawer(k), [rendered], "contact_sheet", "draw-contact-sheet")
        ]
        if k in framed:
            inputs = [rendered, f"weights_{k + 1:03d}", "validation_set", "params:task_model"]
            makers.append((nodes.frame_drawer(k), inputs, "frame", "draw-frame"))
        nodes_of_iterations += [
            report_node(function, inputs, f"{made}_{k:03d}", f"{name}-{k:03d}", "reporting")
            for function, inputs, made, name in makers
        ]
    return nodes_of_iterations


def _at_its_end(num_iterations: int, before: dict[str, str]) -> list[Node]:
    """Figures, pictures before and after, and the report.

    Args:
        before: what was there before the loop, as inputs of the report.
    """
    numbers = [f"{k:03d}" for k in range(num_iterations)]
    states = [f"state_{k:03d}" for k in range(num_iterations + 1)]
    validated = [f"validation_report_{number}" for number in numbers]
    rows = shown_iterations(num_iterations, NUM_EVOLUTION_ROWS)
    told = [
        "validation_set",
        "test_set",
        *(f"test_report_{where}" for where in ("start", "learned", "own")),
        "retrained_start",
        "retrained_learned",
        "provenance",
        "stage_seconds",
        *states,
        *validated,
        *(f"hypergradient_report_{number}" for number in numbers),
        *(f"frame_{k:03d}" for k in shown_iterations(num_iterations, MAX_FRAMES)),
    ]
    return [
        *(
            report_node(
                nodes.draw_retrained,
                [f"{where}.rendered_dataset", f"{where}.trained_weights", "test_set", "params:task_model"],
                f"retrained_{where}",
                "draw-retrained",
                where,
            )
            for where in ("start", "learned")
        ),
        report_node(
            nodes.evolution_drawer(rows),
            [
                "validation_set",
                "params:task_model",
                *(f"rendered_dataset_{k:03d}" for k in rows),
                *(f"weights_{k + 1:03d}" for k in rows),
            ],
            "evolution",
            "draw-evolution",
        ),
        report_node(nodes.draw_curves, [*validated, *states], "curves", "draw-curves"),
        report_node(
            nodes.write_report,
            {name: f"params:{name}" for name in SETTINGS} | {name: name for name in told} | before,
            ["summary", "report"],
            "write-report",
        ),
    ]
