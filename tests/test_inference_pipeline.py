"""Inference as a user runs it: alone, as the start of a search, resumed; pilot images are rendered once."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.cli import run
from autosimulate_pipeline.configuration import check_parameters
from autosimulate_pipeline.grid.grids import load_conf
from autosimulate_pipeline.inference import Inference
from autosimulate_pipeline.search.base import SearchState
from conftest import PROJECT, copied_project

ALONE, SEARCH = "toy-inference", "searched"
NUM_PILOT_IMAGES = 20
PILOT_NODES = {"sample-pilot-scenes", "render-pilot-dataset"}


@pytest.fixture(scope="module")
def toy_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the environment `toy`, and in it a run that only infers."""
    project = copied_project(tmp_path_factory.mktemp("toy"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        parameters = importlib.import_module("kills").TOY | {
            "pilot": {"num_images": NUM_PILOT_IMAGES},
            "loop": {"num_iterations": 2, "num_images": 4},
            "generate": {"num_images": 6, "validation_share": 0.5},
        }
    (project / "conf/toy").mkdir()
    (project / "conf/toy/parameters.yml").write_text(yaml.safe_dump(parameters))
    bootstrap_project(project)
    return project


Command = Callable[..., None]


@pytest.fixture(scope="module")
def kedro_run(toy_project: Path) -> Command:
    """`kedro run --env toy` with these arguments, in this process; it must succeed."""

    def command(*arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(toy_project)
            finished = CliRunner().invoke(run, ["--env", "toy", *arguments])
        assert finished.exit_code == 0, finished.output

    return command


@pytest.fixture(scope="module")
def inferred(toy_project: Path, kedro_run: Command) -> Path:
    """What the pipeline `inference` leaves of its model."""
    kedro_run("--pipeline", "inference")
    return toy_project / "data/07_model_output" / ALONE


@pytest.fixture(scope="module")
def searched(inferred: Path, kedro_run: Command) -> Path:
    """The same of a search in the same project."""
    kedro_run("--params", f"run={SEARCH}")
    return inferred.parent / SEARCH


def pilot_stamps(project: Path) -> dict[str, int]:
    """When each file of the pilot images was written."""
    files = [path for path in (project / "data").glob("0*/pilot-*/**/*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(project)): path.stat().st_mtime_ns for path in files}


def state_of(folder: Path, iteration: int) -> SearchState:
    return SearchState.model_validate_json((folder / f"state_{iteration:03d}.json").read_text())


def inference_of(folder: Path) -> Inference:
    return Inference.model_validate_json((folder / "inference.json").read_text())


def test_inference_alone_leaves_its_answer_and_a_state_to_render_from(inferred: Path, toy_project: Path) -> None:
    answer, state = inference_of(inferred), state_of(inferred, 0)
    assert state.distribution == answer.distribution
    assert (state.method, state.iteration, state.images_rendered) == ("inference", 0, NUM_PILOT_IMAGES)
    assert (answer.num_pilot_images, answer.num_labelled_images) == (NUM_PILOT_IMAGES, 6)
    square_x = answer.distribution.entries()["square_x"]
    assert square_x == pytest.approx(-5, abs=3), "where it is hidden; it was configured at 5"
    assert not list(inferred.glob("validation_report_*")), "nothing was trained"
    assert sum(name.endswith(".png") for name in pilot_stamps(toy_project)) == NUM_PILOT_IMAGES


def test_a_training_set_is_rendered_from_what_was_inferred(
    inferred: Path, toy_project: Path, kedro_run: Command
) -> None:
    kedro_run("--pipeline", "generate", "--params", f"run={ALONE}")
    (folder,) = (toy_project / "data/05_model_input" / ALONE).glob("coco-6-*")
    assert check_dataset(folder).images == {"train": 3, "val": 3}
    plan = next((toy_project / "data").glob(f"*/{ALONE}/generation_plan*.json"))
    assert '"method":"inference"' in plan.read_text().replace(" ", "")


def test_a_search_starts_from_the_same_answer_and_the_same_pilot_images(
    inferred: Path, toy_project: Path, kedro_run: Command, request: pytest.FixtureRequest
) -> None:
    before = pilot_stamps(toy_project)
    searched = request.getfixturevalue("searched")
    assert pilot_stamps(toy_project) == before, "rendered once for both runs"
    assert inference_of(searched) == inference_of(inferred)
    start, end = state_of(searched, 0), state_of(searched, 2)
    assert start.distribution == inference_of(inferred).distribution
    assert (start.images_rendered, end.images_rendered) == (NUM_PILOT_IMAGES, NUM_PILOT_IMAGES + 8)
    weights = toy_project / "data/06_models" / SEARCH
    assert {f"{name}.safetensors" for name in ("pilot", "start", "learned", "own")} <= {
        path.name for path in weights.iterdir()
    }


def test_a_search_that_lost_its_inference_makes_it_again_without_rendering_the_pilot_again(
    searched: Path, toy_project: Path, kedro_run: Command
) -> None:
    before = pilot_stamps(toy_project)
    lost = [searched / name for name in ("inference.json", "state_000.json", "state_002.json")]
    contents = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    kedro_run("--params", f"run={SEARCH}")
    assert [path.read_bytes() for path in lost] == contents
    assert pilot_stamps(toy_project) == before


@pytest.mark.parametrize(
    ("overrides", "is_shared"),
    [
        ({"loop.num_images": 5, "task_model.base_channels": 16, "search.start": "configured"}, True),
        ({"simulator.parameters.square_x.mean": -3}, True),  # pilot images are drawn from the range
        ({"seed": 1, "pilot.seed": 0}, True),
        ({"seed": 1}, False),
        ({"pilot.num_images": 21}, False),
        ({"simulator.parameters.square_x.low": -9}, False),
    ],
    ids=str,
)
def test_runs_share_pilot_images_if_they_would_render_the_same(
    overrides: dict[str, Any], is_shared: bool, toy_project: Path
) -> None:
    def key(**changed: Any) -> str:
        return check_parameters(load_conf(toy_project, "toy", "parameters", {"run": "any", **changed})).pilot_key

    assert (key(**overrides) == key()) == is_shared


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("inferred", PILOT_NODES | {"infer-parameters", "pilot.retrain-task-model", "pilot.evaluate-test"}),
        ("configured", set()),
        ("uniform", set()),
    ],
)
def test_graph_of_a_search_has_pilot_and_inference_where_it_starts_from_them(
    start: str, expected: set[str], toy_project: Path
) -> None:
    bootstrap_project(toy_project)
    with KedroSession.create(toy_project, env="toy", runtime_params={"search": {"start": start}}) as session:
        session.load_context()
        from autosimulate_pipeline.pipeline_registry import register_pipelines

        pipelines = register_pipelines()
    names = {node.name for node in pipelines["__default__"].nodes}
    shown = {name for name in names if "pilot" in name or "infer" in name}
    assert shown == expected
    assert "own.train-own-network" in names
    assert PILOT_NODES | {"infer-parameters"} <= {node.name for node in pipelines["inference"].nodes}, "whatever starts"
