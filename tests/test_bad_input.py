"""All of bad_inputs.py is refused in one line that says where, what and what is wanted, before anything is made."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.framework.cli.cli import main

import bad_inputs
from autosimulate_pipeline.annotations import read_bop, read_coco, read_objects, write_coco
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.cad_models.models import read_mesh
from autosimulate_pipeline.configuration import ConfigurationError, Parameters, check_parameters
from autosimulate_pipeline.records import AnnotatedDataset, AnnotatedImage
from conftest import copied_project
from test_configuration import changed, load
from test_photoreal_models import write_textured
from test_yolo_writing import image as yolo_image
from test_yolo_writing import write_yolo_data, write_yolo_image


def assert_refused(call: Callable[[], object], message: str) -> None:
    """The call is refused with this in its words, of one line and not too many."""
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)) as told:
        call()
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize(
    ("key", "value", "message"),
    bad_inputs.PARAMETERS,
    ids=[f"{key}={str(value)[:40]}" for key, value, _ in bad_inputs.PARAMETERS],
)
def test_bad_parameter_is_named(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)) as told:
        check_parameters(changed(key, value))
    assert all(len(line) < 700 for line in str(told.value).splitlines())
    assert len([line for line in str(told.value).splitlines() if key.split(".")[0] in line]) <= 3


@pytest.mark.parametrize(("block", "objective", "message"), bad_inputs.TASK_MODELS)
def test_parameters_that_do_not_suit_the_network_are_named_before_anything_renders(
    block: dict[str, Any], objective: str, message: str
) -> None:
    raw = load("local")
    raw["task_model"] = block
    raw["search"] |= {"trials": {"objective": objective}}
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        check_parameters(raw)


@pytest.mark.parametrize("name", bad_inputs.WEIGHTS)
def test_bad_weights_are_named_before_anything_renders(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, file, edit, message = bad_inputs.WEIGHTS[name]
    monkeypatch.chdir(tmp_path)
    edit(Path(file))
    raw = load("local")
    raw["task_model"] = {"type": network, "input_size": 64, "weights": file}
    raw["search"] |= {"trials": {"objective": "map"}}
    with pytest.raises(ConfigurationError, match="^task_model.weights.*" + re.escape(message)) as told:
        check_parameters(raw)
    assert "\n" not in str(told.value)
    assert not Path("pwned").exists(), "what was pickled was run"


def numbers_of(model: Any, path: str = "") -> Iterator[str]:
    """The dotted keys of all real numbers of conf, of which none is a simulator's own."""
    for name, field in model.model_fields.items():
        key = f"{path}{name}"
        if hasattr(field.annotation, "model_fields") and not hasattr(field.annotation, "root"):
            yield from numbers_of(field.annotation, f"{key}.")
        elif "float" in str(field.annotation):
            yield key


@pytest.mark.parametrize("key", list(numbers_of(Parameters)))
@pytest.mark.parametrize("value", [bad_inputs.NAN, bad_inputs.INFINITY])
def test_no_number_of_conf_may_be_endless_or_undefined(key: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(key)):
        check_parameters(changed(key, value))


# Folders and files


def two_images() -> AnnotatedDataset:
    """Of 31 x 20 pixels, each with a square."""
    mask = np.zeros((20, 31), dtype=np.uint8)
    mask[3:9, 4:12] = 1
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    return AnnotatedDataset(("cube", "ball"), (AnnotatedImage(pixels, mask, (1,)), AnnotatedImage(pixels, mask, (2,))))


@pytest.mark.parametrize("name", bad_inputs.COCO)
def test_bad_coco_folder_is_named(name: str, tmp_path: Path) -> None:
    edit, message = bad_inputs.COCO[name]
    write_coco(two_images(), tmp_path / "photos")
    edit(tmp_path / "photos")
    assert_refused(lambda: read_coco(tmp_path / "photos"), message)
    with pytest.raises((ValueError, FileNotFoundError)) as told:
        check_dataset(tmp_path / "photos")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", bad_inputs.YOLO)
def test_bad_yolo_folder_is_named(name: str, tmp_path: Path) -> None:
    edit, message = bad_inputs.YOLO[name]
    folder = tmp_path / "set"
    for number, split in enumerate(("train", "val")):
        write_yolo_image(yolo_image([(1, slice(0, 3), slice(0, 3))]), folder, split, number)
    write_yolo_data(("bolt", "nut"), ("train", "val"), folder)
    edit(folder)
    assert_refused(lambda: check_dataset(folder), message)


@pytest.mark.parametrize("name", bad_inputs.BOP)
def test_bad_bop_folder_is_named(name: str, tmp_path: Path) -> None:
    edit, message = bad_inputs.BOP[name]
    folder = bop_folder(tmp_path / "scene")
    edit(folder)
    assert_refused(lambda: read_bop(folder, read_objects(folder)), message)


def bop_folder(folder: Path) -> Path:
    """The two images as a BOP scene."""
    from test_own_validation import bop_scene

    return bop_scene(folder, ("ape", "can"), (1, 5), (1, 2))


@pytest.mark.parametrize("name", bad_inputs.OBJ)
def test_bad_obj_is_named(name: str, tmp_path: Path) -> None:
    edit, message = bad_inputs.OBJ[name]
    path = write_textured(tmp_path)
    edit(tmp_path)
    assert_refused(lambda: read_mesh(path, 1, "wedge", 1000), message)


@pytest.mark.parametrize("name", bad_inputs.GLB)
def test_bad_glb_is_named(name: str, tmp_path: Path) -> None:
    content, message = bad_inputs.GLB[name]
    (tmp_path / "mesh.glb").write_bytes(content)
    assert_refused(lambda: read_mesh(tmp_path / "mesh.glb", 1, "cube", 1000), message)


def test_the_cube_and_the_wedge_are_right_before_they_are_made_wrong(tmp_path: Path) -> None:
    (tmp_path / "mesh.glb").write_bytes(bad_inputs.glb(lambda header: None))
    assert read_mesh(tmp_path / "mesh.glb", 1, "cube", 1000).faces.shape == (12, 3)
    assert read_mesh(write_textured(tmp_path), 1, "wedge", 1000).texture is not None
    assert len(read_bop(bop_folder(tmp_path / "scene"), {1: "ape", 5: "can"})) == 1


# The command


COMMANDS: list[tuple[list[str], str]] = [
    (["run", "--params", "loop.num_images=1"], "error: loop.num_images: input should be greater than or equal to 2"),
    (
        ["run", "--params", "loop.num_imagse=8"],
        "error: loop.num_imagse is not a parameter; docs/reference/parameters.md",
    ),
    (["run", "--params", "run=../up"], "run must be letters, digits and . _ = + - (it names a folder), got '../up'"),
    (
        [
            "run",
            "--params",
            "search.trials.objective=map,task_model.type=yolov3_spp,task_model.input_size=64,task_model.weights=x.weights",
        ],
        "x.weights, which is missing",
    ),
    (["run", "--pipeline", "autosimulat"], "autosimulat"),
    (["run", "--env", "nowhere"], "conf/nowhere"),
    (["run", "--env", "torn"], "conf/torn/parameters.yml"),
    (
        ["run", "--env", "builds"],
        "parameters of the environment builds must be keys and values: could not determine a constructor",
    ),
    (["run", "--env", "listed"], "parameters of the environment listed must be keys and values"),
    (
        ["run", "--env", "environment"],
        "parameters of the environment environment: KeyError raised while resolving interpolation: "
        "\"Environment variable 'NOWHERE' not found\" full_key: experiment",
    ),
    (
        ["run", "--env", "latin"],
        "error: conf/latin/parameters.yml must be in UTF-8, got the byte 0xe9 in line 2",
    ),
    (["run", "--env", "unnamed"], "error: mlflow.experiment: string should have at least 1 character, got ''"),
    (
        ["run", "--env", "filed"],
        "error: mlflow.tracking_uri: must be a database or a server, such as sqlite",
    ),
    (
        ["run", "--pipelines", "autosimulate,frozen"],
        "Error: --pipeline must be one pipeline (each has its own runs), got auto",
    ),
    (
        ["run", "--pipelines", "frozen", "--pipeline", "lts"],
        "--pipeline must be one pipeline (each has its own runs), got lts",
    ),
    (
        ["run", "--params", "seed=1", "--params", "seed=2"],
        "seed must be given once in --params, got '1' and '2'",
    ),
    (["run", "--params", "loop.num_images=[1"], "loop.num_images must be a value that YAML can read, got '[1'"),
    (["run", "--params", "seed"], "Error: --params must be key=value, several with commas between them, got 'seed'"),
    (["run", "--runner", "ParallelRunner"], "Error: --runner must be SequentialRunner (parallel.num_workers renders)"),
    (
        ["grid-search", "tiny", "--env", "numbered"],
        "numbered must be keys and values, a number as a key in quotes",
    ),
    (
        ["run", "--env", "tracked"],
        "error: mlflow.experimnt is not a parameter; docs/reference/parameters.md has those there are",
    ),
    (["run", "--pipeline", "generate", "--params", "run=none"], "run must be one that exists (--params run=NAME, in"),
    (["grid-search", "papre"], "error: grid must be one of paper, lts, recommended (conf/base/grids.yml), got 'papre'"),
    (["report", "--compare", "none"], "Error: run must be one of none so far, got 'none'"),
    (["validate-dataset", "conf"], "Error: conf must hold annotations.json or train/annotations.json (COCO)"),
    (["new-simulator", "../room"], "Error: the name must be lower-case letters, digits and _, as a module's, got"),
]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with malformed environments, to run in."""
    copied_project(tmp_path)
    for env, text in {
        "torn": "loop: {num_images: 8",
        "builds": "loop: !!python/object/apply:os.mkdir [pwned]",
        "listed": "[loop, 8]",
        "environment": "experiment: ${oc.env:NOWHERE}",
    }.items():
        (tmp_path / "conf" / env).mkdir()
        (tmp_path / "conf" / env / "parameters.yml").write_text(text)
    for file, text in {
        "tracked/mlflow.yml": "experimnt: mine",
        "unnamed/mlflow.yml": "experiment: ''",
        "filed/mlflow.yml": "tracking_uri: mlruns",
        "latin/parameters.yml": "seed: 1\nexperiment: été",
        "numbered/grids.yml": "007: {grid: {seed: [1]}}",
    }.items():
        (tmp_path / "conf" / file).parent.mkdir()
        (tmp_path / "conf" / file).write_bytes(text.encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), COMMANDS, ids=[" ".join(words)[:60] for words, _ in COMMANDS])
def test_command_says_it_in_a_line_without_a_traceback(
    arguments: list[str], message: str, clone: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["kedro", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capfd.readouterr()
    assert ended.value.code not in (None, 0)
    assert message in " ".join((told.out + told.err).split()), told
    assert "Traceback" not in told.out + told.err and len((told.out + told.err).strip().splitlines()) <= 3
    made = {path.name for path in clone.iterdir()} - {"conf", "pyproject.toml", ".telemetry", "src", "logs"}
    assert not made, "nothing may be left behind"
