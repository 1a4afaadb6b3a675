"""The documentation: links lead somewhere, the reference is that of the code, commands are what there is."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from conftest import PROJECT


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=PROJECT, capture_output=True, text=True, check=True)
    return [PROJECT / name for name in listed.stdout.split("\0") if name and (PROJECT / name).exists()]


PAGES = tracked("*.md")


def anchors(page: Path) -> set[str]:
    """What a link to the page's headings may end with, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_to_what_is_there(page: Path) -> None:
    without_code = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_reference_of_parameters_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    script = importlib.import_module("parameter_reference")
    assert script.REFERENCE.read_text(encoding="utf-8") == script.reference()
