"""Pages made of this package's templates: self-contained, nothing in them is fetched."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from autosimulate_pipeline.reporting import palette
from autosimulate_pipeline.reporting.lessons import duration
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, TEST_LABELS
from autosimulate_pipeline.reporting.svg import number


def render_page(template: str, **values: Any) -> str:
    """The template with these values, its style and the palette's colours inside it."""
    environment = Environment(
        loader=PackageLoader("autosimulate_pipeline.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "number": number}
    return environment.get_template(template).render(
        colours=palette.LINES, metric_labels=METRIC_LABELS, test_labels=TEST_LABELS, **values
    )
