"""MkDocs' hooks: pages that lie outside docs/ become part of the site, and links among all of them are kept.

Those are the README (the site's first page), CONTRIBUTING, the changelog, the notebooks, and each source file that a
page links to. A notebook is shown with its outputs where `.notebooks/` has an executed copy, see execute_notebooks.py.
"""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).parents[1]
EXECUTED = PROJECT / ".notebooks"

PAGES = {
    "README.md": "index.md",
    "docs/index.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "files/SECURITY.md",
}
"""Where pages outside docs/ are in the site, by their place in the repository."""

LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LANGUAGES = {".py": "python", ".json": "json", ".yml": "yaml", ".toml": "toml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The site's files with those from outside docs/."""
    outside = {path: (PROJECT / path).read_text(encoding="utf-8") for path in PAGES if not path.startswith("docs/")}
    for notebook in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        executed = EXECUTED / notebook.name
        cells = nbformat.read(executed if executed.exists() else notebook, as_version=4).cells
        outside[f"notebooks/{notebook.name}"] = "\n\n".join(_parts(cells, notebook.stem, files, config))
    files.remove(files.src_uris["index.md"])  # a list of pages, for readers of the repository: the site has a menu
    inside = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    for path, text in (inside | outside).items():
        for target in _targets(path, text):
            if site_uri(target).startswith("files/") and target not in PAGES:
                source = (PROJECT / target).read_text(encoding="utf-8")
                language = LANGUAGES.get(Path(target).suffix, "text")
                outside[target] = f"# {Path(target).name}\n\n`{target}`\n\n````{language}\n{source}````\n"
    for path, text in outside.items():
        files.append(File.generated(config, site_uri(path), content=_relinked(path, text)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links that lead to where its targets are in the site."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # a menu of one entry
    return markdown if page.file.generated_by else _relinked(f"docs/{page.file.src_uri}", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """The search index once more, as a script: pages opened from a folder ask for that, and break without it."""
    index = Path(config.site_dir) / "search/search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8")


def site_uri(path: str) -> str:
    """Where a file of the repository is in the site."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path.removesuffix(".ipynb") + ".md" if path.startswith("notebooks/") else f"files/{path}.md"


def _targets(path: str, text: str) -> list[str]:
    """The files of the repository that a page links to."""
    folder = posixpath.dirname(path)
    targets = [posixpath.normpath(posixpath.join(folder, target)) for _, target in LINK.findall(text)]
    return [target for target in targets if (PROJECT / target).is_file()]


def _relinked(path: str, text: str) -> str:
    """The text of the page at `path` of the repository, with links as its place in the site needs them."""
    here = posixpath.dirname(site_uri(path))

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[2]))
        if not (PROJECT / target).is_file():  # made here, or missing: then MkDocs says so
            return match[0]
        return match[1] + posixpath.relpath(site_uri(target), here or ".")

    return LINK.sub(moved, text)


def _parts(cells: list[Any], name: str, files: Files, config: MkDocsConfig) -> Iterator[str]:
    """A notebook as Markdown; its figures are added to the files."""
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        yield f"```python\n{cell.source}\n```"
        for output in cell.outputs:
            data = output.get("data", {})
            if output.output_type == "stream" and output.name == "stdout":
                yield f"```text\n{ANSI.sub('', output.text).rstrip()}\n```"
            elif "image/png" in data:
                figure = f"notebooks/{name}-{number:02d}.png"
                files.append(File.generated(config, figure, content=base64.b64decode(data["image/png"])))
                yield f"![output of the cell above]({posixpath.basename(figure)})"
            elif "text/html" in data:
                yield re.sub(r"<style.*?</style>|\n\s*", "", data["text/html"], flags=re.DOTALL)
            elif "text/plain" in data:
                yield f"```text\n{data['text/plain']}\n```"
