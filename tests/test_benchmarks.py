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
