"""Hooks around the nodes: they check parameters, keep time, log to MLflow, print progress and free memory."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from autosimulate_pipeline.configuration import Parameters, flattened, pipeline_name, run_folder, validated
from autosimulate_pipeline.pipelines.generate.pipeline import contents_name
from autosimulate_pipeline.progress import RESULTS, console, device, display, tell_files, tell_summary
from autosimulate_pipeline.records import (
    STAGES,
    AnnotatedDataset,
    EvaluationReport,
    HypergradientReport,
    StageSeconds,
)
from autosimulate_pipeline.reporting.summary import inference_metrics, metrics, test_metrics, tracked_test_metrics
from autosimulate_pipeline.runs.folders import RECORD_NAME
from autosimulate_pipeline.runs.lock import claim
from autosimulate_pipeline.runs.record import (
    PROVENANCE_NAME,
    check_generation,
    check_inputs,
    check_run,
    record_provenance,
    record_run,
)
from autosimulate_pipeline.search import SEARCH_METHODS
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.tracking.model import save_model
from autosimulate_pipeline.tracking.tracker import Tracker, TrackingSettings

if TYPE_CHECKING:
    from mlflow.models import Model

PILOT, PRETRAINED = "pilot_dataset", "pretrained_weights"
"""Datasets that runs share."""

INFERENCE = "inference"
"""The record of what was inferred, and the pipeline that stops after it."""

MADE_BY_HOOKS = {"provenance", "stage_seconds"}
"""Datasets that nodes read and no node makes."""

GENERATE = "generate"
"""The pipeline that reads a run and makes none: it leaves the run's record, clock and curves alone."""


class ValidationHook:
    """Refuses bad parameters, and other parameters for a run that exists, before any node runs; one process a run.

    Pilot images and pretrained networks are made by one process too, for which others wait that need the same.
    """

    def __init__(self) -> None:
        self._locks: list[TextIO] = []
        self._shared_locks: dict[str, TextIO] = {}

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        self._parameters = context.config_loader.checked_parameters
        self._project: Path = context.project_path
        self._reporting = run_folder(self._project, "08_reporting", self._parameters.run)

    @hook_impl(tryfirst=True)  # a run that is refused leaves no trace
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        self._pipeline = pipeline_name(run_params["pipeline_names"])
        self._check(run_params, catalog)
        check_inputs(pipeline.inputs() - MADE_BY_HOOKS, catalog, self._parameters.run)
        self._release()  # a session that was interrupted has left it to this one
        self._locks.append(claim(self._project, self._parameters.run))
        self._check(run_params, catalog)  # the run may have changed while this one waited for it
        if self._pipeline != GENERATE:
            if not (self._reporting / RECORD_NAME).exists():  # what a start that failed had read may have changed
                (self._reporting / PROVENANCE_NAME).unlink(missing_ok=True)
            record_provenance(catalog, self._parameters)
            for name, folder, layer in self._shared(run_params["pipeline_names"]):
                if not catalog.exists(name):
                    self._shared_locks[name] = claim(self._project, folder, layer)
                    if catalog.exists(name):  # by the process that this one has waited for
                        self._shared_locks.pop(name).close()

    @hook_impl
    def before_dataset_saved(self) -> None:
        if self._pipeline != GENERATE:
            record_run(self._reporting, self._pipeline, self._parameters)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        if dataset_name in self._shared_locks:
            self._shared_locks.pop(dataset_name).close()

    @hook_impl
    def after_pipeline_run(self) -> None:
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        self._release()

    def _check(self, run_params: dict[str, Any], catalog: CatalogProtocol[Any, Any]) -> None:
        if self._pipeline == GENERATE:
            check_generation(catalog, self._parameters, run_params["runtime_params"])
        else:
            check_run(self._reporting, self._pipeline, self._parameters)

    def _shared(self, pipeline_names: Sequence[str] | None) -> Iterator[tuple[str, str, str]]:
        """What runs share and this one needs: dataset, folder and layer of its lock."""
        parameters = self._parameters
        if parameters.has_pilot or pipeline_name(pipeline_names) == INFERENCE:
            yield PILOT, f"pilot-{parameters.pilot_key}", "03_primary"
        if parameters.pretraining.enabled:
            yield PRETRAINED, f"pretraining-{parameters.pretraining_key}", "06_models"

    def _release(self) -> None:
        for lock in (*self._locks, *self._shared_locks.values()):
            lock.close()
        self._locks.clear()
        self._shared_locks.clear()


class StageClockHook:
    """Keeps `stage_seconds` in the catalog up to date, across resumed runs too, with a copy for each iteration.

    Time spent waiting for another process does not count.
    """

    _process_start_counted = False
    _is_running = False

    @hook_impl
    def after_context_created(self) -> None:
        self._starting_up = 0.0 if StageClockHook._process_start_counted else seconds_since_process_start()
        StageClockHook._process_start_counted = True

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: CatalogProtocol[Any, Any]) -> None:
        self._is_running = pipeline_name(run_params["pipeline_names"]) != GENERATE
        if not self._is_running:
            return
        self._catalog = catalog
        before = catalog.load("stage_seconds") if catalog.exists("stage_seconds") else StageSeconds()
        self._spent = {stage: getattr(before, stage) for stage in STAGES}
        self._started = time.monotonic() - self._starting_up - before.total
        self._save()

    @hook_impl
    def before_node_run(self) -> None:
        self._node_started = time.monotonic()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        if not self._is_running:
            return
        for stage in node.tags.intersection(STAGES):
            self._spent[stage] += time.monotonic() - self._node_started
        self._save()
        if node.namespace is not None and "hypergradient" in node.tags:  # an iteration's last node
            self._save(node.namespace.replace("iteration", "stage_seconds"))

    def _save(self, name: str = "stage_seconds") -> None:
        total = time.monotonic() - self._started
        seconds = StageSeconds(**self._spent, other=total - sum(self._spent.values()), total=total)
        self._catalog.save(name, seconds)


def seconds_since_process_start() -> float:
    """How long this process has run, imports included; 0 where the system does not say."""
    try:
        start_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    return uptime - start_ticks / os.sysconf("SC_CLK_TCK")


class _LoopHook:
    """Calls `on_iteration` when an iteration's last output is saved."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        self._context = context
        self._parameters: Parameters = context.config_loader.checked_parameters
        self._reporting = run_folder(context.project_path, "08_reporting", self._parameters.run)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: CatalogProtocol[Any, Any]) -> None:
        self._catalog = catalog
        self.on_start(pipeline_name(run_params["pipeline_names"]))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        if isinstance(data, SearchState) and node.namespace is not None:
            iteration = node.namespace.removeprefix("iteration_")
            report = self._catalog.load(f"validation_report_{iteration}")
            if report.num_images:
                self.on_iteration(data, report, self._catalog.load(f"hypergradient_report_{iteration}"))

    def on_start(self, pipeline: str) -> None: ...

    def on_iteration(self, state: SearchState, validation: Any, hypergradient: Any) -> None: ...


class TrackingHook(_LoopHook):
    """Logs to MLflow whatever it lacks, also what a killed process or an unreachable MLflow left out."""

    _tracker: Tracker | None = None

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        super().after_context_created(context)
        self._settings = validated(TrackingSettings, context.config_loader["mlflow"], "mlflow")

    def on_start(self, pipeline: str) -> None:
        self._finish("KILLED")  # a session that was interrupted has left its run to this one
        if not self._settings.enabled or pipeline == GENERATE:
            return
        atexit.register(self._finish, "KILLED")  # Ctrl-C is no Exception, and Kedro calls its hooks for those alone
        parameters, project = self._parameters, self._context.project_path
        tags = {"method": pipeline, "mode": parameters.search.mode, "experiment": parameters.experiment}
        tags["seed"] = str(parameters.seed)
        tags |= record_provenance(self._catalog, parameters).tags()
        logged = flattened(parameters.model_dump(mode="json", exclude={"run", "generate"}))
        noted = self._reporting / "mlflow_run_id"
        self._tracker = Tracker(self._settings, project, parameters.run, noted, logged, tags)

    def on_iteration(self, state: SearchState, validation: Any, hypergradient: Any) -> None:
        self._log_iterations(state.iteration)

    def _log_iterations(self, num_iterations: int) -> None:
        if self._tracker is None:
            return
        for step in self._tracker.missing_steps(num_iterations):
            if not self._tracker.log_metrics(self._metrics_of(step), step):
                break

    def _metrics_of(self, step: int) -> dict[str, float]:
        """The metrics of an iteration, counted from 0."""
        state: SearchState = self._catalog.load(f"state_{step + 1:03d}")
        validation: EvaluationReport = self._catalog.load(f"validation_report_{step:03d}")
        hypergradient: HypergradientReport = self._catalog.load(f"hypergradient_report_{step:03d}")
        seconds: StageSeconds = self._catalog.load(f"stage_seconds_{step:03d}")
        logged = {f"val/{name}": value for name, value in metrics(validation).items()}
        logged |= {"val/loss": validation.loss, "images_rendered": float(state.images_rendered)}
        logged |= {f"psi/{name}": value for name, value in state.distribution.entries().items()}
        logged |= {f"seconds/{stage}": getattr(seconds, stage) for stage in (*STAGES, "other", "total")}
        if hypergradient.influences:
            logged |= {
                "hypergradient/norm": hypergradient.norm,
                "hypergradient/solver_steps": float(hypergradient.solver_steps),
                "hypergradient/solver_residual": hypergradient.solver_residual,
                f"hypergradient/outcome/{hypergradient.solver_outcome}": 1.0,
            }
        return logged

    @hook_impl
    def after_pipeline_run(self) -> None:
        if self._tracker is None:
            return
        last_state = f"state_{self._parameters.loop.num_iterations:03d}"
        if self._catalog.exists(last_state):
            self._log_iterations(self._catalog.load(last_state).iteration)
        if self._catalog.exists("summary"):
            summary = self._catalog.load("summary")
            tested = tracked_test_metrics(test_metrics(summary))
            if self._catalog.exists(INFERENCE):
                tested |= inference_metrics(self._catalog.load(INFERENCE))
            weights = run_folder(self._context.project_path, "06_models", self._parameters.run)
            for own in (weights / f"{name}.safetensors" for name in ("own", "weights_validation_only")):
                if own.exists():
                    self._tracker.log_model(partial(self._save_model, own))
            artifacts = [self._reporting / name for name in RESULTS]
            self._tracker.log_summary(tested, [path for path in artifacts if path.exists()])
        self._finish("FINISHED")

    def _save_model(self, weights: Path, folder: Path, mlflow_model: Model) -> None:
        validation: AnnotatedDataset = self._catalog.load("validation_set")
        task_model, example = self._parameters.task_model, validation.images[0].image
        save_model(folder, mlflow_model, task_model, validation.categories, weights, example)

    @hook_impl
    def on_pipeline_error(self) -> None:
        self._finish("FAILED")

    def _finish(self, status: str) -> None:
        if self._tracker is not None:
            self._tracker.finish(status)
            self._tracker = None
            atexit.unregister(self._finish)


class MemoryHook(_LoopHook):
    """Frees what an iteration leaves in reference cycles; otherwise a run of 100 grows by hundreds of MiB."""

    def on_iteration(self, state: SearchState, validation: Any, hypergradient: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            gc.collect()
            return
        interrupts: list[int] = []  # raised in the callback of a freed object, they would be lost
        stops = (signal.SIGINT, signal.SIGTERM)
        handlers = [signal.signal(stop, lambda number, _: interrupts.append(number)) for stop in stops]
        try:
            gc.collect()
        finally:
            for stop, handler in zip(stops, handlers, strict=True):
                signal.signal(stop, handler)
        if interrupts:
            signal.raise_signal(interrupts[0])


class ProgressHook(_LoopHook):
    """Prints progress and results."""

    def on_start(self, pipeline: str) -> None:
        self._pipeline = pipeline
        run, loop, generate = self._parameters.run, self._parameters.loop, self._parameters.generate
        where = device(uses_cuda=self._parameters.task_model.uses_cuda)
        if pipeline == GENERATE:
            what = f"{generate.num_images} images as {generate.format} from its learned parameters"
        elif pipeline in SEARCH_METHODS:
            what = f"{pipeline}, {loop.num_iterations} iterations of {loop.num_images} images, on {where}"
        else:
            what = f"{pipeline}, on {where}"
        num_iterations = loop.num_iterations if pipeline in SEARCH_METHODS else 0
        display.start(f"[bold]{run}[/]: {what}", num_iterations, list(self._earlier(num_iterations)))

    def on_iteration(self, state: SearchState, validation: Any, hypergradient: Any) -> None:
        display.iteration(state, validation)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        display.node(node.name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        display.close()
        if self._pipeline == GENERATE:
            settings = self._parameters.generate
            if self._catalog.exists(contents_name(settings)):
                console.print(str(self._catalog.load(contents_name(settings))), soft_wrap=True, markup=False)
                layer = run_folder(self._context.project_path, "05_model_input", self._parameters.run)
                tell_files([layer / settings.name])
        elif self._catalog.exists("summary"):
            tell_summary(self._catalog.load("summary"), self._reporting)

    def _earlier(self, num_iterations: int) -> Iterator[tuple[SearchState, EvaluationReport]]:
        """State and validation report of each iteration that an earlier session finished."""
        for k in range(num_iterations):
            names = f"state_{k + 1:03d}", f"validation_report_{k:03d}"
            if not all(map(self._catalog.exists, names)):
                return
            state, validation = map(self._catalog.load, names)
            if validation.num_images:
                yield state, validation
