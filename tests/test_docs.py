"""The documentation: links lead somewhere, what is made from the code is up to date, commands are what there is."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from autosimulate_pipeline.cli import cli
from autosimulate_pipeline.configuration import Parameters
from autosimulate_pipeline.search import SEARCH_METHODS
from conftest import PROJECT

PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
SCHEMA = Parameters.model_json_schema()
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def text_of(path: Path) -> str:
    """What people read: a notebook's text, not its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")


def anchors(page: Path) -> set[str]:
    """What a link to the page's headings may end with, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name_of)
def test_links_lead_to_what_is_there(page: Path) -> None:
    without_code = re.sub(r"```.*?```|`[^`\n]*`", "", text_of(page), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_what_there_is(page: Path) -> None:
    """`make` targets, commands of `kedro`, pipelines, environments and the keys of `--params`."""
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    pipelines = {*SEARCH_METHODS, "inference", "validation_only", "generate", "iteration"}
    environments = {path.name for path in (PROJECT / "conf").iterdir()} | {"room", "NAME"}  # those that pages make
    text = text_of(page)
    blocks = "\n".join(re.findall(r"^```.*?^```|^ {4}[^\n]*$", text, re.MULTILINE | re.DOTALL))
    for line in re.findall(r"^ *(?:\$ )?((?:make|kedro) .*)$", blocks, re.MULTILINE):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert words[1] in targets, line
            continue
        assert words[1] in {*cli.commands, "viz", "airflow"}, line
        for option, value in pairwise(words):
            if option == "--pipeline":
                assert value in pipelines, line
            if option == "--env":
                assert value in environments, line
            if option == "--params":
                for key in re.findall(r"(?:^|,)([a-z_.]+)=", value):
                    assert is_a_key(key), f"{key} in {line}"


def is_a_key(dotted: str) -> bool:
    """Whether conf has that key; what lies below `options` and `parameters` is the simulator's."""
    fields = SCHEMA["properties"]
    for name in dotted.split("."):
        if name not in fields:
            return False
        held = fields[name]
        if "oneOf" in held:  # of networks, each with keys of its own
            names = [option["$ref"].rpartition("/")[2] for option in held["oneOf"]]
            fields = {key: field for kind in names for key, field in SCHEMA["$defs"][kind]["properties"].items()}
            continue
        reference = next((option["$ref"] for option in held.get("anyOf", [held]) if "$ref" in option), None)
        if reference is None or name == "parameters":
            return True
        fields = SCHEMA["$defs"][reference.rpartition("/")[2]].get("properties", {})
    return True


@pytest.mark.parametrize("script", ["parameter_reference", "command_reference"])
def test_reference_is_that_of_the_code(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    module = importlib.import_module(script)
    assert module.REFERENCE.read_text(encoding="utf-8") == module.reference(), f"run python scripts/{script}.py"


def test_citation_has_what_the_format_wants() -> None:
    """The required keys of the Citation File Format 1.2.0, and a person or entity for each author."""
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert all("name" in author or "family-names" in author for author in citation["authors"])


def test_site_builds_without_a_warning_and_asks_no_other_machine_for_anything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES) / 2
    for page in pages:
        asked_for = re.findall(
            r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(https?:[^\" >]+)", page.read_text("utf-8")
        )
        assert not asked_for, page
