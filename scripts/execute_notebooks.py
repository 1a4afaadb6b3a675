"""Runs the notebooks that have changed, and keeps copies with their outputs in .notebooks/, for the site.

python scripts/execute_notebooks.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

PROJECT = Path(__file__).parents[1]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
EXECUTED = PROJECT / ".notebooks"


def main() -> None:
    """Run those that are newer than their copies."""
    EXECUTED.mkdir(exist_ok=True)
    for notebook in NOTEBOOKS:
        copy = EXECUTED / notebook.name
        if not copy.exists() or copy.stat().st_mtime < notebook.stat().st_mtime:
            print(f"running {notebook.relative_to(PROJECT)}", flush=True)
            nbformat.write(executed(notebook, notebook.parent, {}), copy)


def executed(notebook: Path, folder: Path, parameters: dict[str, Any]) -> nbformat.NotebookNode:
    """The notebook with outputs, after a run in `folder`.

    Args:
        parameters: values by name, set after the cell that is tagged `parameters`.

    Raises:
        CellExecutionError: with the traceback, where a cell fails.
    """
    content = nbformat.read(notebook, as_version=4)
    if parameters:
        (tagged,) = (i for i, cell in enumerate(content.cells) if "parameters" in cell.metadata.get("tags", ()))
        lines = (f"{name} = {value!r}" for name, value in parameters.items())
        content.cells.insert(tagged + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    client = NotebookClient(content, timeout=3600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(transport_encryption="required")  # the kernel warns of plain text on its socket otherwise
    return content


if __name__ == "__main__":
    main()
