"""Bad parameters are refused in one line that names the key, before anything renders."""

from __future__ import annotations

import copy
import re
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
)
from autosimulate_pipeline.run_record import check_run, record_run
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


def lmo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The parameters of --env lmo, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return load("lmo")


def test_photorealistic_environment_learns_scenes_lights_and_camera_and_names_missing_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parameters = lmo(monkeypatch, tmp_path)
    assert {"scene", "surface", "window_light", "camera_distance"} <= parameters["simulator"]["parameters"].keys()
    with pytest.raises(ConfigurationError, match="^simulator.options: data/01_raw/lmo/models is no folder"):
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
    assert unet.final_evaluation.polish.epochs == 20
    assert (detector.training.epochs, detector.training.num_variants, detector.training.learning_rate) == (4, 4, 1e-3)
    assert detector.pretraining.training.learning_rate == 3e-3
    assert detector.task_model.model_dump().keys().isdisjoint({"base_channels"})
    lite = "task_model.type=faster_rcnn_efficientnet_lite0_fpn,task_model.weights=none,training.epochs=7"
    parameters = load_with("local", f"search.trials.objective=map,{lite},final_evaluation.polish.learning_rate=0.001")
    checked = check_parameters(parameters)
    assert (checked.training.epochs, checked.training.learning_rate) == (7, 5e-4)
    assert (checked.final_evaluation.polish.learning_rate, checked.final_evaluation.polish.epochs) == (1e-3, 3)
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
