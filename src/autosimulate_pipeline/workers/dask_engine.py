"""Workers of Dask distributed."""
# mypy: disable-error-code="no-untyped-call"
# Dask says that it is typed; most of its signatures are not.

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import dask
from distributed import Client, KilledWorker, LocalCluster

from autosimulate_pipeline.workers.engine import START_SECONDS, Engine

CONNECT_SECONDS = 30


class DaskEngine(Engine):
    """The workers of a scheduler, or of a local cluster on the loopback interface.

    Args:
        address: such as tcp://10.0.0.1:8786, or tls:// with the certificates that Dask's own configuration names.
    """

    losses = (KilledWorker,)

    def __init__(self, address: str | None, num_workers: int) -> None:
        self._cluster = None
        if address is None:
            # A local cluster drops workers that are not back from a restart in 15 s, which a busy machine exceeds.
            dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"})
            self._cluster = LocalCluster(
                n_workers=num_workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=None,  # or a worker would be killed at its share of the machine's memory
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"allowed_failures": 0},  # the caller counts; a scheduler blames queued tasks too
            )
        self._where = f"the Dask scheduler at {address or 'this machine'}"
        try:
            self._client = Client(self._cluster or address, timeout=CONNECT_SECONDS, set_as_default=False)
        except OSError as failure:
            raise ConnectionError(f"parallel.address: {self._where} does not answer: {failure}") from failure
        self._executor = self._client.get_executor(pure=False)  # pure: equal jobs would be run once

    def count_workers(self, timeout_seconds: float) -> int:
        patience = max(timeout_seconds, START_SECONDS)
        try:
            self._client.wait_for_workers(1, timeout=patience)
        except TimeoutError:
            raise RuntimeError(f"{self._where} has had no worker for {patience:g} seconds") from None
        return len(self._client.nthreads())

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._executor.submit(function, *arguments)

    def close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()
