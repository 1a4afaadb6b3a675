"""The project's own `kedro run`: runs that name themselves, go on where they ended, and fail in one line."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from rich.console import Console
from rich.markup import escape

from autosimulate_pipeline.configuration import ConfigurationError, default_run_name, run_folder
from autosimulate_pipeline.run_record import RECORD_NAME

NODE_CHOICES = ("tags", "node_names", "to_nodes", "from_nodes", "from_inputs", "to_outputs", "namespaces")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, name=__file__)
def cli() -> None:
    """Commands of this project; `kedro --help` lists them with Kedro's."""


def run_pipeline(**options: Any) -> None:
    """Run a pipeline; a run that exists already goes on where it ended.

    The run is named after the pipeline and the overrides, or by `--params run=NAME`, and lives in data/*/<run>/.
    """
    pipeline, params = options.pop("pipeline", None), dict(options["params"] or {})
    if pipeline:  # Kedro warns that --pipeline is old; here both spellings are welcome
        options["pipelines"] = [pipeline]
    name = "+".join(options["pipelines"] or ["autosimulate"]).replace("__default__", "autosimulate")
    params.setdefault("run", default_run_name(name, options["env"], params))
    options["params"] = params
    record = run_folder(Path.cwd(), "08_reporting", str(params["run"])) / RECORD_NAME
    if record.exists() and not any(options[choice] for choice in NODE_CHOICES):
        options["only_missing_outputs"] = True
    try:
        kedro_run.callback(  # type: ignore[misc]  # click knows it may be None; Kedro's is not
            pipeline="", **options
        )
    except click.ClickException:
        raise
    except KeyboardInterrupt:
        click.echo("stopped: the same command goes on from here", err=True)
        sys.exit(130)
    except Exception as error:
        fail(error, can_go_on=record.exists())


def fail(error: Exception, *, can_go_on: bool) -> None:
    """Ends the process with 1 and the error's own words; the traceback goes to a file."""
    log = Path("logs") / "last_error.txt"
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(str(error) or type(error).__name__)}", soft_wrap=True)
    if can_go_on and not isinstance(error, ConfigurationError):
        console.print("what was finished is kept: the same command goes on from there", soft_wrap=True)
    try:
        log.parent.mkdir(exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)))
        console.print(f"[dim]the traceback is in {log}[/]")
    except OSError:  # a full disk is no reason to say less
        traceback.print_exception(error)
    sys.exit(1)


run = click.Command("run", params=kedro_run.params, callback=run_pipeline, help=run_pipeline.__doc__)
cli.add_command(run)
