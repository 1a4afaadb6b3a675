"""`python -m autosimulate_pipeline`: `kedro run` where the package is installed without the repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Runs a pipeline; needs the folder conf/ beside it."""
    configure_project(Path(__file__).parent.name)
    from autosimulate_pipeline.cli import run

    return run(*args or [sys.argv[1:]], **kwargs)


if __name__ == "__main__":
    main()
