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


def create_pipeline(num_iterations: int) -> Pipeline:
    """Contact sheets and frames while the run goes on; at its end figures, `summary.json` and `report.html`."""
    numbers = [f"{k:03d}" for k in range(num_iterations)]
    framed = shown_iterations(num_iterations, MAX_FRAMES)
    return Pipeline(
        [
            *(_contact_sheet(k) for k in range(num_iterations)),
            *(_seconds(number) for number in numbers),
            *(_frame(k) for k in framed),
            *(_retrained(where) for where in ("start", "learned")),
            *_figures(num_iterations),
            node(
                nodes.write_report,
                inputs={name: f"params:{name}" for name in SETTINGS}
                | {
                    name: name
                    for name in (
                        "validation_set",
                        "test_set",
                        *(f"test_report_{where}" for where in ("start", "learned", "polished")),
                        "retrained_start",
                        "retrained_learned",
                        "stage_seconds",
                        *(f"state_{k:03d}" for k in range(num_iterations + 1)),
                        *(f"validation_report_{number}" for number in numbers),
                        *(f"hypergradient_report_{number}" for number in numbers),
                        *(f"frame_{k:03d}" for k in framed),
                    )
                },
                outputs=["summary", "report"],
                name="write-report",
                tags="report",
            ),
        ]
    )


def _contact_sheet(k: int) -> Node:
    return node(
        nodes.sheet_drawer(k),
        inputs=f"rendered_dataset_{k:03d}",
        outputs=f"contact_sheet_{k:03d}",
        name=f"draw-contact-sheet-{k:03d}",
        tags="report",
        namespace="reporting",
    )


def _seconds(number: str) -> Node:
    return node(
        nodes.note_seconds,
        inputs=["stage_seconds", f"validation_report_{number}"],
        outputs=f"stage_seconds_{number}",
        name=f"note-seconds-{number}",
        tags="report",
        namespace="reporting",
    )


def _frame(k: int) -> Node:
    return node(
        nodes.frame_drawer(k),
        inputs=[f"rendered_dataset_{k:03d}", f"weights_{k + 1:03d}", "validation_set", "params:task_model"],
        outputs=f"frame_{k:03d}",
        name=f"draw-frame-{k:03d}",
        tags="report",
        namespace="reporting",
    )


def _retrained(where: str) -> Node:
    return node(
        nodes.draw_retrained,
        inputs=[f"{where}.rendered_dataset", f"{where}.trained_weights", "test_set", "params:task_model"],
        outputs=f"retrained_{where}",
        name="draw-retrained",
        tags="report",
        namespace=where,
    )


def _figures(num_iterations: int) -> list[Node]:
    shown = shown_iterations(num_iterations, NUM_EVOLUTION_ROWS)
    return [
        node(
            nodes.evolution_drawer(shown),
            inputs=[
                "validation_set",
                "params:task_model",
                *(f"rendered_dataset_{k:03d}" for k in shown),
                *(f"weights_{k + 1:03d}" for k in shown),
            ],
            outputs="evolution",
            name="draw-evolution",
            tags="report",
        ),
        node(
            nodes.draw_curves,
            inputs=[
                *(f"validation_report_{k:03d}" for k in range(num_iterations)),
                *(f"state_{k:03d}" for k in range(num_iterations + 1)),
            ],
            outputs="curves",
            name="draw-curves",
            tags="report",
        ),
    ]
