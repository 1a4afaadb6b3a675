"""The contract of an engine: what the worker pool asks of Dask, of Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

START_SECONDS = 120
"""Time for workers to start: a cluster may grow on demand."""


class WorkerLostError(RuntimeError):
    """A worker died, or hung and was ended; all jobs but its own are done."""


class Engine(ABC):
    """Workers that are processes of one task at a time, and where tasks are sent to them.

    Attributes:
        losses: what a future raises whose worker has died.
    """

    losses: tuple[type[Exception], ...]

    @abstractmethod
    def count_workers(self, timeout_seconds: float) -> int:
        """How many there are now, after a wait of so long, or `START_SECONDS`, for the first.

        Raises:
            RuntimeError: if there is none.
        """

    @abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """`function(*arguments)` in a worker; `cancel` takes it back. Both travel as pickles."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the engine, and ends it where we started it."""
