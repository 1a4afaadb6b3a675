"""The project's own commands of `kedro`: runs resume where they ended, and everything fails in one line."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import env_option
from kedro.framework.project import LOGGING
from kedro.io import DatasetError
from kedro.utils import find_kedro_project
from rich.markup import escape

from autosimulate_pipeline.annotations import check_no_links
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.configuration import (
    ConfigurationError,
    default_run_name,
    pipeline_name,
    read_overrides,
    run_folder,
)
from autosimulate_pipeline.files.atomic import DamagedFileError, replacing
from autosimulate_pipeline.files.user_paths import existing_folder, expanded
from autosimulate_pipeline.progress import be_quiet, display, errors, print_in_any_encoding
from autosimulate_pipeline.runs.folders import RECORD_NAME, read_runs

NODE_CHOICES = ("tags", "node_names", "to_nodes", "from_nodes", "from_inputs", "to_outputs", "namespaces")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, name=__file__)
def cli() -> None:
    """Commands of this project; `kedro --help` lists them with Kedro's."""


def run_pipeline(**options: Any) -> None:
    """Run a pipeline; a run that exists already resumes where it ended.

    The run is named after the pipeline and the overrides, or by `--params run=NAME`, and lives in data/*/<run>/.
    """
    if options.pop("quiet"):
        be_quiet()
    params, runner = dict(options["params"]), options["runner"] or "SequentialRunner"
    named = [*filter(None, [options.pop("pipeline", None)]), *options["pipelines"]]
    try:
        pipeline = pipeline_name(named)
        if runner.rpartition(".")[2] != "SequentialRunner":
            raise ConfigurationError(f"--runner must be SequentialRunner (parallel.num_workers renders), got {runner}")
    except ConfigurationError as failure:
        raise click.ClickException(str(failure)) from None
    options["pipelines"] = named[:1]  # Kedro warns that --pipeline is old; here both spellings are welcome
    options["env"] = options["env"] or os.environ.get("KEDRO_ENV")  # as Kedro does, so that the run is named after it
    params.setdefault("run", default_run_name(pipeline, options["env"], params))
    options["params"] = params
    record = run_folder(this_project(), "08_reporting", str(params["run"])) / RECORD_NAME
    if not any(options[choice] for choice in NODE_CHOICES):
        options["only_missing_outputs"] = True
    with failing_in_one_line(record.parent.name, record), stopped_by_sigterm():
        kedro_run.callback(  # type: ignore[misc]  # click knows it may be None; Kedro's is not
            pipeline="", **options
        )


class ParamsOption(click.Option):
    """`--params`, which may be given several times; from a file of `--config` it comes as a dictionary."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        items = (item.strip() for text in super().type_cast_value(ctx, value) for item in text.split(","))
        try:
            return read_overrides(filter(None, items))
        except ConfigurationError as failure:
            raise click.ClickException(str(failure)) from None


quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print errors and, at the end, the files; no more.")


@cli.command("grid-search")
@click.argument("name")
@click.option("--jobs", type=click.IntRange(min=1), help="Trials at a time; by default as many as there are cores.")
@quiet_option
@env_option
def grid_search(name: str, jobs: int | None, quiet: bool, env: str | None) -> None:
    """Run the grid NAME of conf/base/grids.yml, and its best trial on the test images.

    Each trial is a run of its own. Rerun the command to run the trials that are missing.
    """
    from autosimulate_pipeline.grid.command import run_grid  # scikit-learn is slow to import

    if quiet:
        be_quiet()
    env = env or os.environ.get("KEDRO_ENV")  # as `kedro run` does: the trials inherit it
    project = this_project()
    with failing_in_one_line(f"grid-{name}", project / "data"), stopped_by_sigterm():
        sys.exit(not run_grid(project, name, env, jobs or len(os.sched_getaffinity(0))))


@cli.command("new-simulator")
@click.argument("name")
@click.option("--external", is_flag=True, help="A script that runs as a command, in place of a Python class.")
def new_simulator(name: str, external: bool) -> None:
    """Write the first files of a simulator of your own, NAME, and an environment that runs it.

    Nothing is overwritten. docs/own_simulator.md describes the next steps.
    """
    from autosimulate_pipeline.simulators.scaffold import new_simulator as write_files

    try:
        written = write_files(this_project(), name, external=external)
    except (ValueError, OSError) as failure:
        raise click.ClickException(str(failure)) from None
    click.echo(f"wrote {' and '.join(map(str, written))}; to run it: kedro run --env {name}")


@cli.command("validate-dataset")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--no-links", is_flag=True, help="Refuse links out of FOLDER, as reference_data.allow_links=false does.")
def validate_dataset(folder: Path, no_links: bool) -> None:
    """Check that FOLDER keeps the rules of its format (COCO, YOLO or BOP), and tell what it holds."""
    try:
        if no_links:
            check_no_links(existing_folder(folder))
        click.echo(str(check_dataset(folder)))
    except (ValueError, OSError) as failure:
        raise click.ClickException(str(failure)) from None


@cli.command("report")
@click.option(
    "--compare", is_flag=True, required=True, expose_value=False, help="Write one page about all the runs named."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page; by default data/08_reporting/comparison.html.",
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
def report(output: Path | None, runs: tuple[str, ...]) -> None:
    """Compare runs on one page: curves, test results, parameters at the end, settings that differ.

    A single run has its report in data/08_reporting/RUN/report.html.
    """
    from autosimulate_pipeline.reporting.run_comparison import render_comparison  # jinja2 is slow to import

    data = this_project() / "data"
    page = expanded(output) if output else data / "08_reporting/comparison.html"
    try:
        finished = read_runs(data, runs)
        with replacing(page) as draft:
            draft.write_text(render_comparison(finished), encoding="utf-8")
    except (ValueError, OSError, DatasetError) as failure:
        raise click.ClickException(_words_of(failure)) from None
    click.echo(os.path.relpath(page))


def this_project() -> Path:
    """The project that the current folder is in, as Kedro finds it; the folder itself where it is in none."""
    return find_kedro_project(Path.cwd()) or Path.cwd()


@contextmanager
def failing_in_one_line(name: str, record: Path) -> Iterator[None]:
    """Errors end the process with a line for people; a run that has its `record` can be resumed."""
    try:
        with closing(display):
            yield
    except click.ClickException:
        raise
    except KeyboardInterrupt:
        click.echo("stopped; rerun the command to resume", err=True)
        sys.exit(130)
    except Exception as error:
        fail(error, name, can_resume=record.exists())


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM, which schedulers and containers send, acts as Ctrl-C: workers end, and MLflow's run is closed."""
    if threading.current_thread() is not threading.main_thread():  # no other may handle signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def fail(error: Exception, name: str, *, can_resume: bool) -> None:
    """End the process with 1 and the error's own words; the traceback goes to a file of that name."""
    log = this_project() / "logs" / f"{name}.txt"
    errors.print(f"[bold red]error:[/] {escape(_words_of(error))}", soft_wrap=True)
    if can_resume and not isinstance(error, ConfigurationError):
        errors.print("finished work is kept; rerun the command to resume", soft_wrap=True)
    try:
        with replacing(log) as draft:
            draft.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        errors.print(f"[dim]the traceback is in {escape(os.path.relpath(log))}[/]", soft_wrap=True)
    except OSError:  # a full disk is no reason to say less
        traceback.print_exception(error)
    sys.exit(1)


def _words_of(error: Exception) -> str:
    """What went wrong; where the system would not write or read a dataset, its file and the system's reason."""
    cause: BaseException | None = error
    while isinstance(cause, DatasetError):
        cause = cause.__cause__
    if isinstance(cause, DamagedFileError):
        return str(cause)
    path = re.search(r"filepath='([^']*)'", str(error))
    if isinstance(cause, OSError) and cause.strerror and path:
        return f"{os.path.relpath(path[1])}: {cause.strerror}"
    return str(error) or type(error).__name__


def _log_as_the_project_says() -> None:
    """Kedro looks for conf/logging.yml in the current folder alone, and logs every dataset without it."""
    project = this_project()
    file = project / "conf/logging.yml"
    if project != Path.cwd() and "KEDRO_LOGGING_CONFIG" not in os.environ and file.is_file():
        LOGGING.configure(yaml.safe_load(file.read_text(encoding="utf-8")))


def _run_options() -> list[click.Parameter]:
    """Kedro's, but --params."""
    ours = ParamsOption(
        ["--params"],
        multiple=True,
        metavar="KEY=VALUE,...",
        help="Parameters to override, by dotted key: --params loop.num_images=8,run=mine; may be given several times.",
    )
    return [ours if option.name == "params" else option for option in kedro_run.params]


_log_as_the_project_says()
print_in_any_encoding()
run = quiet_option(click.Command("run", params=_run_options(), callback=run_pipeline, help=run_pipeline.__doc__))
cli.add_command(run)
