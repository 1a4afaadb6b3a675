"""Scenes rendered by a command of the user's: Unity, Unreal, Blender with a file of one's own, any language."""

from __future__ import annotations

import logging
import shlex
import tempfile
import textwrap
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from autosimulate_pipeline.files.user_paths import expanded
from autosimulate_pipeline.records import AnnotatedDataset, Progress, Scene
from autosimulate_pipeline.simulators.external.command import CommandFailedError, find_program, run_command
from autosimulate_pipeline.simulators.external.protocol import RenderRequest, RequestedScene, read_answer
from autosimulate_pipeline.simulators.external.settings import ExternalSettings
from autosimulate_pipeline.workers.pool import ParallelSettings

logger = logging.getLogger(__name__)


class External:
    """Renders by as many commands at a time as there are workers, each with its slice of the scenes.

    Raises:
        FileNotFoundError, PermissionError: if the program is missing or must not be executed.
    """

    object_ids = None

    def __init__(self, settings: ExternalSettings, parallel: ParallelSettings | None = None) -> None:
        self.categories = settings.categories
        self.owners = dict(settings.owners)
        self._parallel = parallel or ParallelSettings()
        program, *arguments = (str(expanded(Path(word))) if word.startswith("~") else word for word in settings.command)
        self._command = (find_program(program), *arguments)
        self._name = textwrap.shorten(shlex.join(settings.command), 100, placeholder=" …")

    def check(self, scene: Scene) -> None:
        """Nothing: only the command knows its parameters, and refuses what it cannot render by an exit status."""

    def render(self, scenes: Sequence[Scene], seeds: Sequence[int], progress: Progress) -> AnnotatedDataset:
        """One image per scene, in their order.

        Raises:
            RuntimeError: if a command fails `parallel.max_attempts` times, or its answer is wrong; in one line.
        """
        if len(scenes) != len(seeds):
            raise ValueError(f"seeds must hold one seed for each of the {len(scenes)} scenes, got {len(seeds)}")
        size = max(1, -(-len(scenes) // self._parallel.worker_count))
        slices = [slice(start, start + size) for start in range(0, len(scenes), size)]
        stop = threading.Event()
        with ThreadPoolExecutor(max(1, len(slices))) as threads:
            futures = [threads.submit(self._render_slice, scenes[part], seeds[part], stop) for part in slices]
            try:
                for done in as_completed(futures):
                    progress(len(done.result()))
            finally:
                stop.set()  # after a failure or Ctrl-C no command runs on
        images = (image for future in futures for image in future.result().images)
        return AnnotatedDataset(self.categories, tuple(images))

    def _render_slice(self, scenes: Sequence[Scene], seeds: Sequence[int], stop: threading.Event) -> AnnotatedDataset:
        for attempt in range(1, self._parallel.max_attempts + 1):
            try:
                return self._ask(scenes, seeds, stop)
            except CommandFailedError as failure:
                if stop.is_set() or attempt == self._parallel.max_attempts:
                    raise RuntimeError(f"{self._name}, attempt {attempt}: {failure}") from failure
                logger.warning("A render command failed and is run again: %s", failure)
        raise AssertionError("max_attempts is at least 1")

    def _ask(self, scenes: Sequence[Scene], seeds: Sequence[int], stop: threading.Event) -> AnnotatedDataset:
        """The command's answer; a wrong one is not asked for again, as it would be wrong again."""
        with tempfile.TemporaryDirectory(prefix="autosimulate-render-", ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            output = folder / "output"
            output.mkdir()
            request = RenderRequest(
                protocol_version=1,
                output_folder=str(output),
                categories=list(self.categories),
                scenes=[
                    RequestedScene(id=number, seed=seed, parameters=dict(scene))
                    for number, (scene, seed) in enumerate(zip(scenes, seeds, strict=True), start=1)
                ],
            )
            path = folder / "request.json"
            path.write_text(request.model_dump_json(indent=1), encoding="utf-8")
            try:
                run_command([*self._command, str(path)], self._parallel.timeout_seconds, stop)
                return read_answer(output, len(scenes), self.categories)
            except (ValueError, OSError) as failure:
                words = str(failure).replace(f"{output}/", "")
                raise RuntimeError(f"{self._name}: {words}") from failure
