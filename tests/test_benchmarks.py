"""The benchmarks run."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from conftest import PROJECT


def test_cost_of_the_hypergradient_at_its_smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    benchmark = importlib.import_module("hypergradient")
    monkeypatch.setattr(benchmark, "ENVIRONMENT", "smoke")
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "results.md")
    benchmark.main(["--num-images", "2", "--repeats", "1", "--write"])

    lines = (tmp_path / "results.md").read_text().splitlines()
    assert sum(line.startswith("## ") for line in lines) == 4
    differences = {line.split(" |")[0]: line.split("|")[-2] for line in lines if line.startswith("| ")}
    checked = ("double backward", "GGN", "Hessian", "Hessian, plain", "GGN, conjugate_gradient", "GGN, scipy_cg")
    # float32 has 1e-7, which sums over pixels and the steps of a solve make larger
    assert all(float(differences[f"| {row}"]) < 1e-3 for row in checked), differences


@pytest.mark.slow
def test_comparison_of_methods_at_its_smallest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that learns, a control and a search by rewards, as smoke runs; the second call runs nothing."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    runs, comparison = (importlib.import_module(name) for name in ("benchmark_runs", "clevr_comparison"))
    monkeypatch.setattr(runs, "PROJECT", project)
    monkeypatch.setattr(runs, "RESULTS", project)
    monkeypatch.setattr(runs, "ENVIRONMENT", "smoke")
    monkeypatch.setattr(comparison, "NUM_FRESH", 6)
    what, how = ["--seeds", "1", "--methods"], ["--budgets", "16", "24", "--sizes", "4", "--write"]
    comparison.main([*what, "autosimulate", "domain_randomisation", "random", *how])

    tables = (project / "clevr_tables.md").read_text()
    assert tables.count("### ") == 11
    assert [line.split(" | ")[0] for line in tables.splitlines() if line.startswith("| 1")] == ["| 1"] * 2
    assert all((project / f"clevr_{name}.png").is_file() for name in ("images", "seconds", "fresh", "own", "time"))
    networks = sorted((project / "data/07_model_output/clevr-networks").iterdir())
    changed = [path.stat().st_mtime_ns for path in networks]
    comparison.main([*what, "random", *how])
    assert [path.stat().st_mtime_ns for path in networks] == changed
    assert (project / "clevr_tables.md").read_text() == tables
