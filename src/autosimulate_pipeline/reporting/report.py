"""A run on one self-contained HTML page."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_report(summary: dict[str, Any], evolution: bytes, curves: bytes) -> str:
    """The page; pictures are inside it, nothing is fetched.

    Args:
        summary: as `summarise` gives it.
        evolution, curves: PNG files.
    """
    environment = Environment(
        loader=PackageLoader("autosimulate_pipeline.reporting", "templates"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html.jinja").render(
        summary=summary,
        evolution=base64.b64encode(evolution).decode(),
        curves=base64.b64encode(curves).decode(),
    )
