"""Dask and Ray give what loky gives, byte for byte, and lose nothing when a worker dies or hangs."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from autosimulate_pipeline import __version__
from autosimulate_pipeline.records import AnnotatedDataset, Scene, ignore_progress
from autosimulate_pipeline.simulators.clevr.simulator import Clevr
from autosimulate_pipeline.workers import engines
from autosimulate_pipeline.workers.engines import close_engine, open_engine
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers
from autosimulate_pipeline.workers.processes import run_in_engine

FUNCTIONS = "test_rendering"
"""The module of the functions that are run: those that loky's tests run."""

SCENES: list[Scene] = [{"image_size": 24, "num_samples": 4, "cube_x": float(x)} for x in range(-6, 6)]


@pytest.fixture(scope="module", params=["dask", "ray"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Its workers stay from test to test, as they do from call to call in a run."""
    yield request.param
    close_engine()


def local(backend: str, **choices: float) -> ParallelSettings:
    return ParallelSettings.model_validate({"backend": backend, "num_workers": 2, **choices})


def rendered(parallel: ParallelSettings, progress=ignore_progress) -> AnnotatedDataset:
    return Clevr(parallel).render(SCENES, range(len(SCENES)), progress)


def assert_same_bytes(one: AnnotatedDataset, other: AnnotatedDataset) -> None:
    assert len(one.images) == len(other.images)
    for left, right in zip(one.images, other.images, strict=True):
        np.testing.assert_array_equal(left.image, right.image)
        np.testing.assert_array_equal(left.instance_mask, right.instance_mask)
        assert left.instance_categories == right.instance_categories


@pytest.mark.slow
def test_results_keep_the_order_of_the_jobs(backend: str) -> None:
    finished: list[int] = []
    results = run_in_workers(f"{FUNCTIONS}:square", range(40), local(backend), finished.append)
    assert results == [number * number for number in range(40)]
    assert sum(finished) == 40


@pytest.mark.slow
def test_images_are_those_of_loky(backend: str) -> None:
    assert_same_bytes(rendered(local(backend)), rendered(ParallelSettings(num_workers=1)))


@pytest.mark.slow
def test_a_worker_is_pinned_while_it_works_and_left_as_it_was(backend: str) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    cores = dict(run_in_workers(f"{FUNCTIONS}:report_process", range(40), local(backend), ignore_progress))
    assert os.getpid() not in cores
    assert all(len(affinity) == 1 for affinity in cores.values())
    engine = open_engine(backend, None, 2)
    assert engine.submit(lambda: os.sched_getaffinity(0)).result(60) == os.sched_getaffinity(0)


@pytest.mark.slow
def test_an_error_of_the_job_is_not_tried_again(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"^three is refused$"):
        run_in_workers(f"{FUNCTIONS}:refuse_three", range(6), local(backend), ignore_progress)
    assert "run again" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("function", ["die_at_three", "hang_at_three"])
def test_a_lost_worker_loses_no_result(
    backend: str, function: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished: list[int] = []
    jobs = [(number, tmp_path / "marker") for number in range(20)]
    with caplog.at_level(logging.WARNING):
        results = run_in_workers(f"{FUNCTIONS}:{function}", jobs, local(backend, timeout_seconds=4), finished.append)
    assert results == list(range(20))
    assert sum(finished) == 20
    assert "A worker died or hung near job" in caplog.text


@pytest.mark.slow
def test_a_job_that_always_kills_its_worker_is_named(backend: str) -> None:
    with pytest.raises(RuntimeError, match=r"^a worker died or hung on attempt 2 at job 3: 3$"):
        run_in_workers(f"{FUNCTIONS}:die_always_at_three", range(6), local(backend, max_attempts=2), ignore_progress)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler's address and two workers, each with its nanny a process group of its own: a machine, in small."""
    scheduler_file = tmp_path / "scheduler.json"
    shared = ["--scheduler-file", str(scheduler_file), "--host", "127.0.0.1"]
    worker = ["worker", *shared, "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]
    commands = [["scheduler", *shared, "--port", "0", "--no-dashboard"], worker, worker]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            env=environment,
            stderr=(tmp_path / f"{number}.log").open("wb"),
            start_new_session=True,
        )
        for number, command in enumerate(commands)
    ]
    deadline = time.monotonic() + 120
    while not scheduler_file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        yield json.loads(scheduler_file.read_text())["address"], processes[1:]
    finally:
        close_engine()
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_a_machine_that_is_lost_in_the_middle_loses_no_image(
    machines: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    address, workers = machines
    parallel = ParallelSettings(backend="dask", address=address)
    engine = open_engine("dask", address, parallel.worker_count)
    deadline = time.monotonic() + 120
    while engine.count_workers(120) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert engine.count_workers(120) == 2
    finished: list[int] = []

    def lose_a_machine(num_images: int) -> None:
        finished.append(num_images)
        if workers[0].poll() is None:
            os.killpg(workers[0].pid, signal.SIGKILL)
            workers[0].wait()

    assert_same_bytes(rendered(parallel, lose_a_machine), rendered(ParallelSettings(num_workers=1)))
    assert sum(finished) == len(SCENES)
    assert len(finished) > 1, "the others came after the loss"
    assert engine.count_workers(120) == 1


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_run(tmp_path: Path) -> None:
    import psutil  # comes with Dask

    script = tmp_path / "killed.py"
    script.write_text(
        "import os, psutil, signal\n"
        "from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers\n"
        "if __name__ == '__main__':\n"
        "    settings = ParallelSettings(backend='dask', num_workers=1)\n"
        "    run_in_workers('os:getpgid', [0, 0], settings, lambda _: None)\n"
        "    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False)
    children = [int(pid) for pid in killed.stdout.splitlines()[-1].split()]
    assert children
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [pid for pid in children if psutil.pid_exists(pid)]


def test_an_address_where_nothing_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from autosimulate_pipeline.workers import dask_engine

    monkeypatch.setattr(dask_engine, "CONNECT_SECONDS", 1)
    parallel = ParallelSettings(backend="dask", address="tcp://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"^parallel.address: the Dask scheduler at tcp://127.0.0.1:9 does not"):
        run_in_workers(f"{FUNCTIONS}:square", [1], parallel, ignore_progress)


def test_loky_has_no_address() -> None:
    with pytest.raises(ValidationError, match="parallel.address must be null where parallel.backend is loky, got 'x'"):
        ParallelSettings(address="x")


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    with pytest.raises(ValidationError, match=r"parallel.backend ray needs .* pip install '\.\[ray"):
        ParallelSettings(backend="ray")


def test_a_worker_with_another_version_is_refused() -> None:
    with pytest.raises(RuntimeError, match=rf"must have autosimulate-pipeline 0.0.0, got {__version__}$"):
        run_in_engine(f"{FUNCTIONS}:square", [1], 60, "0.0.0")


def test_a_worker_with_two_threads_is_refused() -> None:
    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(run_in_engine("time:sleep", [1.0], 60, __version__))
        except RuntimeError as failure:
            outcomes.append(str(failure))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told, done = outcomes  # the refused one is the first to end
    assert "must run one task at a time (dask worker --nthreads 1)" in str(told)
    assert done == [None]
