from kedro.pipeline import Pipeline, node

from autosimulate_pipeline.pipelines.reporting import nodes

NUM_EVOLUTION_ROWS = 5


def shown_iterations(num_iterations: int) -> list[int]:
    """Up to `NUM_EVOLUTION_ROWS` iterations, evenly spread, the first and the last among them."""
    num_rows = min(NUM_EVOLUTION_ROWS, num_iterations)
    return sorted({round(row * (num_iterations - 1) / max(num_rows - 1, 1)) for row in range(num_rows)})


def create_pipeline(num_iterations: int) -> Pipeline:
    """Figures, `summary.json` and `report.html`."""
    shown = shown_iterations(num_iterations)
    states = [f"state_{k:03d}" for k in range(num_iterations + 1)]
    reports = [f"validation_report_{k:03d}" for k in range(num_iterations)]
    return Pipeline(
        [
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
            node(nodes.draw_curves, inputs=[*reports, *states], outputs="curves", name="draw-curves", tags="report"),
            node(
                nodes.write_report,
                inputs=[
                    "params:run",
                    "params:experiment",
                    "params:search",
                    states[0],
                    states[-1],
                    "test_report_start",
                    "test_report_learned",
                    "test_report_polished",
                    "evolution",
                    "curves",
                    "stage_seconds",
                    *reports,
                ],
                outputs=["summary", "report"],
                name="write-report",
                tags="report",
            ),
        ]
    )
