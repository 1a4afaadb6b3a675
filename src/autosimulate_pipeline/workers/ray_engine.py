"""Workers of Ray."""
# mypy: disable-error-code="no-untyped-call"
# Ray says that it is typed; some of its signatures are not.

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray starts: nothing is reported to its makers
import ray
from ray.exceptions import RayError, RayTaskError

from autosimulate_pipeline.workers.engine import START_SECONDS, Engine


class RayEngine(Engine):
    """The CPUs of a Ray cluster, a worker on each, or of a local one, which listens on all interfaces.

    Args:
        address: auto or HOST:6379 on a machine of the cluster, ray://HOST:10001 from outside.
    """

    losses = (RayError,)  # a task's own exception is unwrapped below

    def __init__(self, address: str | None, num_workers: int) -> None:
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        self._where = f"the Ray cluster at {address or 'this machine'}"
        try:
            if address is None:
                paths = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}  # of users' modules
                ray.init(
                    num_cpus=num_workers,
                    include_dashboard=False,
                    runtime_env=paths,
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
            else:
                ray.init(address, **quiet)
        except ConnectionError as failure:
            raise ConnectionError(f"parallel.address: {self._where} does not answer: {failure}") from failure

    def count_workers(self, timeout_seconds: float) -> int:
        patience = max(timeout_seconds, START_SECONDS)
        deadline = time.monotonic() + patience
        while not (num_workers := int(ray.cluster_resources().get("CPU", 0))):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._where} has had no CPU for {patience:g} seconds")
            time.sleep(0.5)
        return num_workers

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        task = _remote(function).remote(*arguments)
        answer: Future[Any] = Future()

        def hand_over(done: Future[Any]) -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(done.result())
                except RayTaskError as failure:
                    answer.set_exception(failure.cause)
                except Exception as failure:
                    answer.set_exception(failure)

        task.future().add_done_callback(hand_over)
        answer.add_done_callback(lambda answer: ray.cancel(task, force=True) if answer.cancelled() else None)
        return answer

    def close(self) -> None:
        ray.shutdown()


@cache
def _remote(function: Callable[..., Any]) -> Any:
    """Once for each function: Ray would take every call's for another one, and its scheduler crawls at hundreds."""
    return ray.remote(max_retries=0)(function)  # 0: the caller counts
