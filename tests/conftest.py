"""Shared by all tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tests are small: more threads only wait for each other

PROJECT = Path(__file__).parents[1]

Kedro = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to run in, shared by all tests."""
    return copied_project(tmp_path_factory.mktemp("clone"))


def copied_project(folder: Path) -> Path:
    """The project as a clone has it, in this folder: for tests that would be in others' way in the shared one."""
    shutil.copytree(PROJECT / "conf", folder / "conf")
    shutil.copytree(PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    shutil.copy(PROJECT / ".telemetry", folder)
    return folder


@pytest.fixture(scope="session")
def kedro(project: Path) -> Kedro:
    """`kedro run` with these arguments, as a user types it."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kedro", "run", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=550, check=False)

    return run
