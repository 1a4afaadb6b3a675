"""Bad parameters are refused in one line that names the key, before anything renders."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from autosimulate_pipeline.configuration import (
    ConfigurationError,
    Parameters,
    ProjectConfigLoader,
    check_parameters,
    default_run_name,
    flattened,
    read_overrides,
)
from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.runs.record import check_run, record_run
from autosimulate_pipeline.search import SearchSettings
from autosimulate_pipeline.task_models import SETTINGS_BY_TYPE
from autosimulate_pipeline.task_models.training_defaults import TRAINING_DEFAULTS
from conftest import PROJECT, Kedro


@cache
def _loaded(env: str) -> dict[str, Any]:
    loader = ProjectConfigLoader(
        str(PROJECT / "conf"), env, base_env="base", default_run_env="local", merge_strategy={"parameters": "soft"}
    )
    parameters: dict[str, Any] = loader["parameters"]
    return parameters


def load(env: str) -> dict[str, Any]:
    return copy.deepcopy(_loaded(env))


def load_with(env: str, overrides: str, conf: Path = PROJECT / "conf") -> dict[str, Any]:
    """The parameters of an environment under `--params`, as `key=value,…`."""
    asked = OmegaConf.to_container(OmegaConf.from_dotlist(overrides.split(",") if overrides else []))
    assert isinstance(asked, dict)
    loader = ProjectConfigLoader(
        str(conf), env, asked, base_env="base", default_run_env="local", merge_strategy={"parameters": "soft"}
    )
    parameters: dict[str, Any] = loader["parameters"]
    return parameters


def changed(dotted_key: str, value: Any) -> dict[str, Any]:
    """The default parameters with one of another value."""
    parameters = load("local")
    block = parameters
    *path, last = dotted_key.split(".")
    for key in path:
        block = block.setdefault(key, {})
    block[last] = value
    return parameters


@pytest.mark.parametrize("env", ["local", "smoke", "paper"])
def test_every_environment_is_valid(env: str) -> None:
    assert isinstance(check_parameters(load(env)), Parameters)


PAPER = {
    "search.start": "configured",
    "search.width_decay": 1.0,
    "search.score_before_fit": False,
    "search.credit": "image",
    "search.standardised": False,
    "hypergradient.curvature": "hessian",
    "hypergradient.solver": "newton_cg",
}


def test_parameters_hold_what_the_mode_fills_in() -> None:
    """Loaded in an environment or put together in Python, and whole or block by block, as Kedro's nodes get them."""
    for raw in (load("paper"), changed("search.mode", "paper")):
        parameters = check_parameters(raw)
        logged = flattened(parameters.model_dump(mode="json"))
        assert {key: logged[key] for key in PAPER} == PAPER
        assert check_parameters(parameters.model_dump(mode="json")) == parameters
    assert SearchSettings(**load("paper")["search"]) == parameters.search
    assert HypergradientSettings(**load("paper")["hypergradient"]) == parameters.hypergradient
    default = check_parameters(load("local"))
    assert (default.hypergradient.solver, default.search.start) == ("conjugate_gradient", "inferred")


def test_steps_are_smaller_from_an_inferred_start_unless_conf_says_otherwise() -> None:
    for start, step_size in (("inferred", 0.5), ("configured", 2.0), ("uniform", 2.0)):
        raw = changed("search.start", start)
        assert check_parameters(raw).search.step_size == step_size
        raw["search"]["step_size"] = 1.5
        assert check_parameters(raw).search.step_size == 1.5


def test_value_that_conf_gives_outdoes_the_mode() -> None:
    raw = changed("hypergradient.solver", "identity")
    raw["search"] |= {"mode": "paper", "width_decay": 0.9}
    parameters = check_parameters(raw)
    assert (parameters.hypergradient.solver, parameters.search.width_decay) == ("identity", 0.9)
    assert (parameters.hypergradient.curvature, parameters.search.credit) == ("hessian", "image")


def test_run_in_mode_paper_is_not_resumed_with_another_value(tmp_path: Path) -> None:
    record_run(tmp_path, "autosimulate", check_parameters(changed("search.mode", "paper")))
    recorded = json.loads((tmp_path / "parameters.json").read_text())
    assert {key: recorded[key] for key in PAPER} == PAPER
    raw = changed("search.credit", "category")
    raw["search"]["mode"] = "paper"
    with pytest.raises(ConfigurationError, match="search.credit: 'image' → 'category'"):
        check_run(tmp_path, "autosimulate", check_parameters(raw))
    raw["search"]["credit"] = "image"
    check_run(tmp_path, "autosimulate", check_parameters(raw))


def lmo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The parameters of --env lmo, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return load("lmo")


def test_photorealistic_environment_learns_scenes_lights_and_camera_and_names_missing_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parameters = lmo(monkeypatch, tmp_path)
    assert {"scene", "surface", "window_light", "camera_distance"} <= parameters["simulator"]["parameters"].keys()
    with pytest.raises(ConfigurationError, match="^simulator.options: data/01_raw/lmo/models is missing; wanted CAD"):
        check_parameters(parameters)


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("image_width", "wide", "simulator.options: image_width: input should be a valid integer"),
        ("image_width", 28, "simulator.options: image_width: input should be greater than or equal to 32, got 28"),
        ("objects", {1: "ape", 5: "ape"}, "simulator.options: objects: every object needs a name of its own"),
        ("depth", 1, "simulator.options: photoreal has no option depth, only models_folder, objects"),
    ],
)
def test_wrong_options_of_a_simulator_are_named(
    option: str, value: Any, complaint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parameters = lmo(monkeypatch, tmp_path)
    parameters["simulator"]["options"][option] = value
    with pytest.raises(ConfigurationError, match=re.escape(complaint)):
        check_parameters(parameters)


def test_paper_environment_has_the_19_numbers_of_table_1() -> None:
    assert len(check_parameters(load("paper")).simulator.parameters.entries()) == 19


def test_default_environment_learns_both_ground_coordinates_and_no_colour() -> None:
    entries = check_parameters(load("local")).simulator.parameters.entries()
    assert {f"{shape}_{axis}" for shape in ("cube", "sphere", "cylinder") for axis in "xy"} <= entries.keys()
    assert not [name for name in entries if "colour" in name]


def test_trainings_are_those_that_suit_the_network_where_conf_leaves_them_open() -> None:
    yolo = "search.trials.objective=map,task_model.type=yolov3_spp,task_model.input_size=64"
    unet, detector = (check_parameters(load_with("local", overrides)) for overrides in ("", yolo))
    assert (unet.training.first_epochs, unet.training.epochs, unet.training.learning_rate) == (40, 12, 3e-3)
    assert unet.final_evaluation.own_network.epochs == 30
    assert (detector.training.epochs, detector.training.num_variants, detector.training.learning_rate) == (4, 4, 1e-3)
    assert detector.pretraining.training.learning_rate == 3e-3
    assert detector.task_model.model_dump().keys().isdisjoint({"base_channels"})
    lite = "task_model.type=faster_rcnn_efficientnet_lite0_fpn,task_model.weights=none,training.epochs=7"
    parameters = load_with(
        "local", f"search.trials.objective=map,{lite},final_evaluation.own_network.learning_rate=0.001"
    )
    checked = check_parameters(parameters)
    assert (checked.training.epochs, checked.training.learning_rate) == (7, 5e-4)
    assert (checked.final_evaluation.own_network.learning_rate, checked.final_evaluation.own_network.epochs) == (
        1e-3,
        3,
    )
    assert TRAINING_DEFAULTS.keys() == SETTINGS_BY_TYPE.keys()


def test_keys_of_the_network_below_are_left_out_where_another_is_named_and_wrong_ones_are_refused() -> None:
    asked = "search.trials.objective=map,task_model.type=yolov3_spp,task_model.input_size=64"
    assert check_parameters(load_with("smoke", asked)).task_model.type == "yolov3_spp"  # smoke has base_channels
    with pytest.raises(
        ConfigurationError, match="^task_model.base_channels is not a parameter of yolov3_spp, which has"
    ):
        check_parameters(load_with("smoke", f"{asked},task_model.base_channels=8"))
    back = load_with("photoreal", "task_model.type=unet,task_model.input_size=64")  # photoreal has yolov3_spp's width
    assert back["task_model"] == {"type": "unet", "input_size": 64, "device": "auto"}
    with pytest.raises(ConfigurationError, match="^task_model.width is not a parameter of unet, which has"):
        check_parameters(load_with("local", "task_model.width=0.5"))


def test_missing_block_is_named() -> None:
    parameters = load("local")
    del parameters["loop"]
    with pytest.raises(ConfigurationError, match="^loop is missing$"):
        check_parameters(parameters)


def test_run_is_named_after_what_was_asked_for() -> None:
    assert default_run_name("autosimulate", None, {}) == "autosimulate"
    overrides = {"seed": 1, "loop": {"num_images": 8}, "run": "ignored"}
    assert default_run_name("frozen", "smoke", overrides) == "smoke-frozen-loop.num_images=8-seed=1"
    assert default_run_name("autosimulate", None, {"x": "../../etc"}) == "autosimulate-x=.._.._etc"
    long_names = {default_run_name("autosimulate", None, {"folder": "photos" * 50, "seed": seed}) for seed in range(3)}
    assert len(long_names) == 3
    assert max(map(len, long_names)) < 120


@pytest.mark.parametrize("run", ["../elsewhere", "a/b", "", ".hidden"])
def test_run_name_cannot_leave_its_folder(run: str) -> None:
    with pytest.raises(ConfigurationError, match="run must be letters"):
        ProjectConfigLoader(str(PROJECT / "conf"), None, {"run": run}, base_env="base", default_run_env="local")


@pytest.mark.parametrize("run", ["2024_01_15", "2024-01-15", "007", "3.10", "7e85679", "1e3", "true", "null", "mine"])
def test_run_names_stay_text(run: str) -> None:
    assert read_overrides(["seed=007", f"run={run}", "x.y=1e-3"]) == {"seed": 7, "run": run, "x": {"y": 1e-3}}
    loader = ProjectConfigLoader(str(PROJECT / "conf"), None, {"run": run}, base_env="base", default_run_env="local")
    assert loader["parameters"]["run"] == run


def test_a_run_name_that_yaml_has_made_a_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="run must be text, in quotes .* got 7$"):
        ProjectConfigLoader(str(PROJECT / "conf"), None, {"run": 7}, base_env="base", default_run_env="local")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("run", "output"),
    [
        ("007", "deleted data/01_raw/007\ndeleted data/08_reporting/007\n"),
        ("7", "nothing to delete: there is no folder data/*/7\n"),
        ("..", "RUN must be a run's name, letters, digits and . _ = + -: make clean-run RUN=autosimulate\n"),
    ],
)
def test_clean_run_says_what_it_deletes(run: str, output: str, tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for folder in ("01_raw/007", "08_reporting/007", "08_reporting/70"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    command = ["/usr/bin/make", "-s", "clean-run", f"RUN={run}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == output
    assert len(list(tmp_path.glob("data/*/*"))) == (1 if run == "007" else 3)


def test_run_is_not_gone_on_with_under_other_settings(tmp_path: Path) -> None:
    parameters = check_parameters(load("local"))
    check_run(tmp_path, "autosimulate", parameters)
    record_run(tmp_path, "autosimulate", parameters)
    check_run(tmp_path, "autosimulate", parameters)
    others = check_parameters(changed("loop.num_images", 8))
    with pytest.raises(ConfigurationError, match=re.escape("loop.num_images: 30 → 8")):
        check_run(tmp_path, "autosimulate", others)
    with pytest.raises(ConfigurationError, match="pipeline: 'autosimulate' → 'frozen'"):
        check_run(tmp_path, "frozen", parameters)
    check_run(tmp_path, "autosimulate", check_parameters(changed("parallel.num_workers", 1)))


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (None, "annotations.json is missing"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cube"}]}',
            "images must hold at least 1 image, got 0",
        ),
    ],
)
def test_bad_validation_folder_is_named_before_anything_renders(
    annotations: str | None, message: str, project: Path, kedro: Kedro, tmp_path: Path
) -> None:
    for name in ("validation", "test"):
        (tmp_path / name).mkdir()
        if annotations is not None:
            (tmp_path / name / "annotations.json").write_text(annotations)
    folders = [f"reference_data.{name}_folder={tmp_path / name}" for name in ("validation", "test")]
    refused = kedro("--params", ",".join([*folders, "run=photos"]))
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list((project / "data").glob("03_primary/photos"))


def test_base_configuration_has_no_key_that_is_ignored() -> None:
    """Every key of parameters.yml is a field of the typed parameters, so that none is set in vain."""
    raw = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf/base/parameters.yml"), resolve=False)
    assert isinstance(raw, dict)
    assert raw.keys() == Parameters.model_fields.keys()
