"""Writes docs/reference/commands.md: what `make` and `kedro` can be asked for here, in their own words.

python scripts/command_reference.py
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import click

from autosimulate_pipeline.cli import cli

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT / "docs/reference/commands.md"

HEAD = """# Commands

`python scripts/command_reference.py` writes this page from the commands' own help; a test fails where it
is out of date.

## make

| command | does |
|---|---|
"""

KEDRO = """
## kedro

Those of `.venv/bin/kedro` that are the project's own; `kedro --help` lists Kedro's as well. Pipelines and environments:
[configuration](../configuration.md#overrides).
"""


def main() -> None:
    """Write the page."""
    REFERENCE.write_text(reference(), encoding="utf-8")


def reference() -> str:
    """The page, in Markdown."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## (.*)$", makefile, re.MULTILINE)
    rows = "".join(f"| `make {name}` | {does} |\n" for name, does in targets)
    return HEAD + rows + KEDRO + "".join(_section(name) for name in sorted(cli.commands))


def _section(name: str) -> str:
    command = copy.copy(cli.commands[name])
    command._help_option = None  # click keeps that of the first context the command ever had
    settings = cli.context_settings | {"max_content_width": 120, "terminal_width": 120}
    with click.Context(command, info_name=f"kedro {name}", **settings) as context:
        return f"\n### kedro {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    main()
