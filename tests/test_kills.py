"""A run that is killed again and again ends like one that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from conftest import PROJECT


@pytest.mark.slow
def test_a_run_killed_three_times_ends_with_the_same_bytes_and_leaves_nothing_behind() -> None:
    command = [sys.executable, "benchmarks/kills.py", "--kills", "3", "--cases", "autosimulate, toy"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=550, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills in 1 rounds: no difference, nothing left behind." in done.stdout
