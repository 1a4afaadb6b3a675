"""Workers that die or hang cost time, never results."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers


def square(number: int) -> int:
    return number * number


def report_process(_job: int) -> tuple[int, set[int]]:
    time.sleep(0.02)  # long enough for both workers to get a share
    return os.getpid(), os.sched_getaffinity(0)


def die_at_three(job: tuple[int, Path]) -> int:
    number, marker = job
    if number == 3 and not _was_here(marker):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hang_at_three(job: tuple[int, Path]) -> int:
    number, marker = job
    if number == 3 and not _was_here(marker):
        time.sleep(600)
    return number


def crash_at_three(job: tuple[int, Path]) -> int:
    number, marker = job
    if number == 3 and not _was_here(marker):
        ctypes.string_at(0)  # a segmentation fault
    return number


def die_always_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@dataclass(frozen=True)
class Arranged:
    """A job that is long to print."""

    poses: np.ndarray = field(default_factory=lambda: np.zeros((30, 4, 4)))


def die_at_all(_job: Arranged) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def allocate(num_bytes: int) -> int:
    return np.empty(num_bytes, dtype=np.uint8).size


def refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is refused")
    return number


def _was_here(marker: Path) -> bool:
    was_here = marker.exists()
    marker.touch()
    return was_here


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_keep_the_order_of_the_jobs(num_workers: int) -> None:
    finished: list[int] = []
    results = run_in_workers(
        f"{__name__}:square", range(40), ParallelSettings(num_workers=num_workers), finished.append
    )
    assert results == [number * number for number in range(40)]
    assert sum(finished) == 40


def test_no_jobs_give_no_results() -> None:
    assert run_in_workers(f"{__name__}:square", [], ParallelSettings(num_workers=1), ignore_progress) == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_every_worker_is_another_process_on_a_core_of_its_own(
    num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where places on cores are claimed: other renderings may run as well
    get_reusable_executor(reuse=True).shutdown(kill_workers=True)  # workers of earlier tests have their places
    if len(os.sched_getaffinity(0)) < num_workers:
        pytest.skip("fewer cores than workers")
    settings = ParallelSettings(num_workers=num_workers)
    reports = run_in_workers(f"{__name__}:report_process", range(60), settings, ignore_progress)
    cores = dict(reports)
    assert os.getpid() not in cores
    assert len(cores) == num_workers
    assert all(len(affinity) == 1 for affinity in cores.values())
    assert len(set.union(*cores.values())) == num_workers


@pytest.mark.parametrize(
    ("function", "fate"), [("die_at_three", "died"), ("crash_at_three", "died"), ("hang_at_three", "hung")]
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_lost_worker_loses_no_result(
    function: str, fate: str, num_workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished: list[int] = []
    jobs = [(number, tmp_path / "marker") for number in range(20)]
    settings = ParallelSettings(num_workers=num_workers, timeout_seconds=8)  # a worker starts in 1 to 2 seconds
    with caplog.at_level(logging.WARNING):
        assert run_in_workers(f"{__name__}:{function}", jobs, settings, finished.append) == list(range(20))
    assert sum(finished) == 20
    assert fate in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # loky's, as its workers end
def test_a_clock_that_jumps_an_hour_ahead_loses_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    true_time, begun = time.time, time.time()
    monkeypatch.setattr(time, "time", lambda: true_time() + 3600 * (true_time() > begun + 0.5))
    jobs = range(100)  # 2 seconds
    reports = run_in_workers(f"{__name__}:report_process", jobs, ParallelSettings(num_workers=1), ignore_progress)
    assert len(reports) == len(jobs)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_job_that_always_kills_its_worker_is_named(num_workers: int) -> None:
    settings = ParallelSettings(num_workers=num_workers, max_attempts=2)
    died = r"a worker died on attempt 2 at job 3: 3; where memory is short, parallel\.num_workers must be lower, got 1$"
    with pytest.raises(RuntimeError, match=died):
        run_in_workers(f"{__name__}:die_always_at_three", range(6), settings, ignore_progress)


def test_a_long_job_that_kills_its_worker_is_shown_in_one_line() -> None:
    settings = ParallelSettings(num_workers=1, max_attempts=1)
    with pytest.raises(RuntimeError, match=r"^a worker died .* at job 0: Arranged\(poses=array.* …; ") as told:
        run_in_workers(f"{__name__}:die_at_all", [Arranged()], settings, ignore_progress)
    assert "\n" not in str(told.value) and len(str(told.value)) < 400


def test_no_memory_left_in_a_worker_ends_with_what_to_do() -> None:
    advice = r"where memory is short, parallel\.num_workers must be lower, got 2"
    with pytest.raises(MemoryError, match=rf"^a worker had no memory left \(Unable to allocate .*\); {advice}$"):
        run_in_workers(f"{__name__}:allocate", [1, 2, 2**60], ParallelSettings(num_workers=2), ignore_progress)


def test_an_error_of_the_job_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"^three is refused$"):
        run_in_workers(f"{__name__}:refuse_three", range(6), ParallelSettings(num_workers=2), ignore_progress)
    assert not caplog.records


def test_workers_do_not_outlive_a_killed_run(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, signal\n"
        "from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers\n"
        "if __name__ == '__main__':\n"
        "    run_in_workers('os:getpgid', [0, 0], ParallelSettings(num_workers=1), print)\n"
        "    children = open(f'/proc/self/task/{os.getpid()}/children').read()\n"
        "    print(children, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    children = [int(pid) for pid in killed.stdout.splitlines()[-1].split()]
    assert children
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [pid for pid in children if Path(f"/proc/{pid}/cmdline").exists()]
