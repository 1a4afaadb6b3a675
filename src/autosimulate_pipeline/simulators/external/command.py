"""A command run with a time limit: what it prints is drained, and no process of it stays behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_TAIL_BYTES = 4000  # kept of what the command prints
_TAIL_LINES = 3
_TAIL_CHARACTERS = 500  # shown of it
_POLL_SECONDS = 0.05


class CommandFailedError(RuntimeError):
    """The command ended with another status than 0, or had to be ended."""


def search_path() -> str:
    """PATH, the folder of this Python first: `python` is then the interpreter that has this project's packages."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def find_program(program: str) -> str:
    """Absolute path of the program.

    Raises:
        FileNotFoundError: if it is no file, nor on `search_path`.
        PermissionError: if it is a file that must not be executed.
    """
    found = shutil.which(program, path=search_path())
    if found is None:
        if os.sep in program and Path(program).is_file():
            raise PermissionError(f"{program} must be executable: chmod +x {program}")
        raise FileNotFoundError(f"{program} is neither an executable file nor on PATH")
    return str(Path(found).absolute())


def run_command(command: Sequence[str], timeout_seconds: float, stop: threading.Event) -> None:
    """Returns when the command has ended with 0. All processes of its group end with it.

    Args:
        stop: ends the command early, when set.

    Raises:
        CommandFailedError: with the status or the time limit, and the last lines on its stderr (or else stdout).
        OSError: if the command cannot be started.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PATH": search_path()},
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    outputs = [_Tail(process.stderr), _Tail(process.stdout)]
    deadline = time.monotonic() + timeout_seconds
    try:
        while not (has_ended := _has_ended(process)) and time.monotonic() < deadline and not stop.is_set():
            stop.wait(_POLL_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # not yet waited for: the number is still its own
        status = process.wait()
    said = next((text for text in (tail.text() for tail in outputs) if text), "it printed nothing")
    if stop.is_set():
        raise CommandFailedError("stopped")
    if not has_ended:
        raise CommandFailedError(f"not finished after parallel.timeout_seconds = {timeout_seconds:g}: {said}")
    if status:
        how = f"exit status {status}" if status > 0 else f"ended by {signal.Signals(-status).name}"
        raise CommandFailedError(f"{how}: {said}")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Tail:
    """The end of what comes through a pipe; the rest is read too, so that the command never waits for a reader."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._end = b""
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._end = (self._end + chunk)[-_TAIL_BYTES:]

    def text(self) -> str:
        """The last lines in one, printable characters only."""
        self._reader.join(timeout=1)  # a process that left the group may hold the pipe open
        printable = ("".join(c if c.isprintable() else " " for c in line).strip() for line in self._lines())
        return " | ".join([line for line in printable if line][-_TAIL_LINES:])[-_TAIL_CHARACTERS:]

    def _lines(self) -> list[str]:
        return self._end.decode("utf-8", errors="replace").splitlines()
