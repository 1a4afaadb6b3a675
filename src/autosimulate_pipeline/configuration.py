"""Configuration: which run it belongs to, and every parameter checked before anything happens."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from kedro.config import OmegaConfigLoader
from kedro.framework.project import settings
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from yaml import YAMLError

from autosimulate_pipeline.distributions import DISTRIBUTIONS
from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings
from autosimulate_pipeline.inference import MIN_PILOT_IMAGES, InferenceSettings
from autosimulate_pipeline.loop.simulation import SimulatorSettings
from autosimulate_pipeline.pipelines.final_evaluation.nodes import FinalEvaluationSettings
from autosimulate_pipeline.pipelines.generate.plan import GenerateSettings
from autosimulate_pipeline.pipelines.pilot.nodes import PilotSettings
from autosimulate_pipeline.pipelines.pretraining.nodes import PretrainingSettings
from autosimulate_pipeline.pipelines.reference_data.nodes import ReferenceDataSettings, hidden_simulator
from autosimulate_pipeline.search import LoopSettings, LoopTrainingSettings, SearchSettings, hypergradient_in_mode
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.task_models import SEGMENTATION_NETWORKS, SETTINGS_BY_TYPE, AnyTaskModel, check_task_model
from autosimulate_pipeline.task_models.training_defaults import fill_in_trainings

Model = TypeVar("Model", bound=BaseModel)

MAX_RUN_NAME = 100
MAX_SHOWN = 100
"""Characters of a bad value that a complaint shows: a block in the place of a number may be long."""


class ConfigurationError(ValueError):
    """The configuration cannot be run; the message names the key, the value and what is wanted."""


class Parameters(BaseModel):
    """All of conf/*/parameters.yml, one block per stage; unknown keys are refused.

    `search` and `hypergradient` hold the values that run: what `search.mode` fills in is in them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str = Field(description="what MLflow's tag and the summary call it")
    run: str = Field(description="the run's name, and of its folders below data/; by default after what was asked for")
    seed: int = Field(ge=0, description="all randomness of the run; the hidden simulator has its own")
    simulator: SimulatorSettings
    reference_data: ReferenceDataSettings
    task_model: AnyTaskModel
    pilot: PilotSettings = PilotSettings.model_validate({})
    inference: InferenceSettings = InferenceSettings.model_validate({})
    pretraining: PretrainingSettings = PretrainingSettings.model_validate({})
    training: LoopTrainingSettings
    loop: LoopSettings
    search: SearchSettings
    hypergradient: HypergradientSettings
    final_evaluation: FinalEvaluationSettings
    generate: GenerateSettings = GenerateSettings.model_validate({})
    parallel: ParallelSettings

    @model_validator(mode="before")
    @classmethod
    def _mode_fills_in(cls, raw: Any) -> Any:
        return filled_by_mode(raw) if isinstance(raw, dict) else raw

    @model_validator(mode="after")
    def _objective_is_measured(self) -> Parameters:
        if self.search.trials.objective == "miou" and self.task_model.type not in SEGMENTATION_NETWORKS:
            raise ValueError(
                f"search.trials.objective must be map or loss for {self.task_model.type}, which finds boxes, got 'miou'"
            )
        return self

    @model_validator(mode="after")
    def _pilot_images_suffice(self) -> Parameters:
        if self.search.start == "inferred" and self.pilot.num_images < MIN_PILOT_IMAGES:
            raise ValueError(
                f"pilot.num_images must be at least {MIN_PILOT_IMAGES} for search.start inferred, got "
                f"{self.pilot.num_images}"
            )
        least = self.loop.num_images + (self.pilot.num_images if self.has_pilot else 0)
        if self.loop.max_images is not None and self.loop.max_images < least:
            raise ValueError(
                f"loop.max_images must be at least {least}, for the pilot images and an iteration, got "
                f"{self.loop.max_images}"
            )
        if self.pretraining.enabled and not self.pilot.num_images:
            raise ValueError("pilot.num_images must be at least 1 where pretraining is enabled, got 0")
        return self

    @property
    def has_pilot(self) -> bool:
        """Whether a search renders pilot images, for inference or pretraining."""
        return self.search.start == "inferred" or self.pretraining.enabled

    @property
    def pilot_key(self) -> str:
        """A hash of all that the pilot images depend on; runs with the same share them."""
        simulator, pilot = self.simulator, self.pilot
        drawn = simulator.parameters.uniform().model_dump(mode="json")
        seed = self.seed if pilot.seed is None else pilot.seed
        return _hash([simulator.type, simulator.options, drawn, pilot.num_images, seed])

    @property
    def pretraining_key(self) -> str:
        """A hash of all that a pretrained network depends on; runs with the same share it."""
        network = self.task_model.model_dump(mode="json", exclude={"device", "frozen", "allow_download"})
        training = self.pretraining.model_dump(mode="json", exclude={"enabled"})
        return _hash([self.pilot_key, network, training])


def filled_by_mode(raw: dict[str, Any]) -> dict[str, Any]:
    """conf's parameters with what `search.mode` fills in of `hypergradient`; of `search`, `SearchSettings` does."""
    search, hypergradient = raw.get("search"), raw.get("hypergradient")
    if not (isinstance(search, dict) and isinstance(hypergradient, dict)):
        return raw
    return raw | {"hypergradient": hypergradient_in_mode(search.get("mode", ""), hypergradient)}


def _hash(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader, which also names the run after what was asked for where the user named none.

    Kedro's nodes get the blocks of its `parameters` one by one: what depends on another block is filled in before.

    It hands itself to `current_parameters`, because the pipelines' structure depends on the number of iterations.
    """

    current: ProjectConfigLoader | None = None

    def __init__(
        self, conf_source: str, env: str | None = None, runtime_params: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        runtime_params = dict(runtime_params or {})
        run = runtime_params.setdefault("run", default_run_name("autosimulate", env, runtime_params))
        if not isinstance(run, str):  # YAML reads 007 as 7
            raise ConfigurationError(f"run must be text, in quotes where YAML reads a number or a date, got {run!r}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+-]*", run):
            raise ConfigurationError(f"run must be letters, digits and . _ = + - (it names a folder), got {run!r}")
        super().__init__(conf_source, env, runtime_params, **kwargs)
        ProjectConfigLoader.current = self

    @cached_property
    def checked_parameters(self) -> Parameters:
        """The parameters; checked once, for a check may read the user's files."""
        return check_parameters(self["parameters"])

    def __getitem__(self, key: str) -> Any:
        """The configuration of this kind, as Kedro reads it; refused in one line where it cannot be read.

        Parameters come with what the network and the mode of the search fill in.
        """
        try:
            found = super().__getitem__(key)
        except UnicodeDecodeError as failure:
            files = (path for path in Path(self.conf_source).rglob("*") if path.is_file())
            file = next(path for path in files if path.read_bytes() == failure.object)
            line = failure.object.count(b"\n", 0, failure.start) + 1
            byte = failure.object[failure.start]
            raise ConfigurationError(
                f"{os.path.relpath(file)} must be in UTF-8, got the byte 0x{byte:02x} in line {line}"
            ) from failure
        except (YAMLError, OmegaConfBaseException, AttributeError) as failure:
            reason = " ".join(str(failure).split())
            wanted = " must be keys and values"
            if isinstance(failure, InterpolationResolutionError):
                wanted = ""
            elif isinstance(failure, AttributeError):  # Kedro's code, of a list or of a key like 007
                wanted += ", a number as a key in quotes"
            env = self.env or self.default_run_env
            raise ConfigurationError(f"{key} of the environment {env}{wanted}: {reason}") from failure
        if key == "parameters" and isinstance(found, dict):
            fill_in_trainings(found)
            return filled_by_mode(found)
        return found

    def _merge_configs(self, config: dict[str, Any], env_config: dict[str, Any], key: str, env_path: str) -> Any:
        """Kedro's merge; but where an environment names another simulator, base's parameters and options are left out.

        They are of base's simulator: the environment would have to switch off each by its name. Where an environment
        or --params names a network, keys that it lacks are left out of the blocks below.
        """
        if key == "parameters":
            asked = OmegaConf.to_container(OmegaConf.create(self.runtime_params or {}))
            env_config = _without_keys_of_another_network(env_config, asked)
            config = _without_keys_of_another_network(config, asked, env_config)
        if key == "parameters" and _simulator_type(env_config) not in (None, _simulator_type(config)):
            config = copy.deepcopy(config)
            for block in (config["simulator"], config["reference_data"]["hidden_simulator"]):
                for key_of_the_other in ("options", "parameters"):
                    block.pop(key_of_the_other, None)
        return super()._merge_configs(config, env_config, key, env_path)


def _simulator_type(parameters: dict[str, Any]) -> str | None:
    simulator = parameters.get("simulator")
    return simulator.get("type") if isinstance(simulator, dict) else None


def _without_keys_of_another_network(parameters: dict[str, Any], *above: Any) -> dict[str, Any]:
    """`parameters` without the keys of task_model that the network lacks which the first of `above` to name one names.

    What `above` gives itself stays, and is refused later if it is wrong.
    """
    block, blocks_above = parameters.get("task_model"), [values.get("task_model") for values in above]
    named = [values for values in blocks_above if isinstance(values, dict)]
    network = next((values["type"] for values in named if "type" in values), None)
    if not isinstance(block, dict) or network not in SETTINGS_BY_TYPE:
        return parameters
    allowed = {*SETTINGS_BY_TYPE[network].model_fields, *(key for values in named for key in values)}
    return {**parameters, "task_model": {key: value for key, value in block.items() if key in allowed}}


def current_parameters() -> Parameters:
    """The checked parameters of the session that was created last; without one, those of the project's own conf.

    Raises:
        ConfigurationError: if a parameter is bad.
    """
    if ProjectConfigLoader.current is None:  # `kedro registry` lists pipelines without a session
        load_project(find_kedro_project(Path.cwd()) or Path.cwd(), os.environ.get("KEDRO_ENV"))
    assert ProjectConfigLoader.current is not None
    return ProjectConfigLoader.current.checked_parameters


def load_project(project: Path, env: str | None, runtime_params: dict[str, Any] | None = None) -> ProjectConfigLoader:
    """The loader that a session of the project gets."""
    conf = str(project / settings.CONF_SOURCE)
    return ProjectConfigLoader(conf, env, runtime_params, **settings.CONFIG_LOADER_ARGS)


def read_overrides(items: Iterable[str]) -> dict[str, Any]:
    """Parameters of `key=value` items with dotted keys, as `--params` takes them.

    A value is read as YAML, but the run's name is text: 2024_01_15, 007, 3.10 and 7e85679 stay as they are.

    Raises:
        ConfigurationError: if an item has no key, no `=`, or no value that YAML can read, or two items give one key
            two values.
    """
    texts: dict[str, str] = {}
    for item in items:
        key, equals, text = (part.strip() for part in item.partition("="))
        if not key or not equals:
            raise ConfigurationError(f"--params must be key=value, several with commas between them, got {item!r}")
        if texts.setdefault(key, text) != text:
            raise ConfigurationError(f"{key} must be given once in --params, got {texts[key]!r} and {text!r}")
    overrides = OmegaConf.create()
    for key, text in texts.items():
        try:
            overrides.merge_with_dotlist([f"{key}={text}"])
        except (YAMLError, OmegaConfBaseException) as failure:
            reason = " ".join(str(failure).split())
            raise ConfigurationError(f"{key} must be a value that YAML can read, got {text!r}: {reason}") from None
    read: dict[str, Any] = OmegaConf.to_container(overrides)  # type: ignore[assignment]  # of a dot list a dictionary
    if "run" in texts and not isinstance(read["run"], str):
        read["run"] = texts["run"]
    return read


def check_parameters(raw: dict[str, Any]) -> Parameters:
    """`raw` as typed parameters.

    Raises:
        ConfigurationError: one line for each complaint, naming the key, the value seen and what is wanted.
    """
    parameters = validated(Parameters, raw)
    try:
        simulator = parameters.simulator.check()
        parameters.inference.own_statistics()
        check_task_model(parameters.task_model, simulator.categories)
        parameters.reference_data.check()
        parameters.reference_data.check_masks(parameters.task_model)
        if parameters.reference_data.is_rendered:
            hidden_simulator(parameters.reference_data, parameters.simulator).check("reference_data.hidden_simulator")
    except (ValueError, OSError) as failure:
        raise ConfigurationError(str(failure)) from None
    return parameters


def validated(model: type[Model], raw: Any, block: str = "") -> Model:
    """`raw` as the model.

    Args:
        block: its dotted key.

    Raises:
        ConfigurationError: one line for each complaint, naming the key, the value seen and what is wanted.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as failure:
        raise ConfigurationError("\n".join(_complaint(error, block) for error in failure.errors())) from None


def _complaint(error: ErrorDetails, block: str) -> str:
    """One of pydantic's complaints in a line: the key as conf writes it, what is wrong, the value seen."""
    # the tags of unions' branches are no keys of conf
    parts = [str(part) for part in error["loc"] if part not in DISTRIBUTIONS and part not in SETTINGS_BY_TYPE]
    key = ".".join([block, *parts] if block else parts)
    if key == "task_model" and error["type"].startswith("union_tag"):
        named = error["input"].get("type") if isinstance(error["input"], dict) else None
        return f"task_model.type must be one of {', '.join(SETTINGS_BY_TYPE)}, got {named!r}"
    if error["type"] == "extra_forbidden":
        if network := next((part for part in error["loc"] if part in SETTINGS_BY_TYPE), None):
            known = ", ".join(SETTINGS_BY_TYPE[str(network)].model_fields)
            return f"{key} is not a parameter of {network}, which has {known}"
        return f"{key} is not a parameter; docs/reference/parameters.md has those there are"
    if error["type"] == "missing":
        return f"{key} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return message if message.startswith(key) else f"{key}: {message}"
    value = repr(error["input"])
    seen = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
    return f"{key}: {message[0].lower()}{message[1:]}, got {seen}"


_WITHOUT_EFFECT = ("task_model.device", "task_model.allow_download", "reference_data.allow_links")


def can_change_results(key: str) -> bool:
    """Whether a run with another value of this parameter, by dotted key, is another run."""
    return not key.startswith(("parallel.", "generate.")) and key not in _WITHOUT_EFFECT


def pipeline_name(names: Sequence[str] | None) -> str:
    """The pipeline of a run, `autosimulate` where none is named.

    Raises:
        ConfigurationError: if several are named.
    """
    named = list(dict.fromkeys(name.replace("__default__", "autosimulate") for name in names or ["autosimulate"]))
    if len(named) > 1:
        raise ConfigurationError(f"--pipeline must be one pipeline (each has its own runs), got {', '.join(named)}")
    return named[0]


def default_run_name(pipeline: str, env: str | None, runtime_params: dict[str, Any]) -> str:
    """A name that tells runs apart: `autosimulate`, `smoke-frozen`, `autosimulate-loop.num_images=8-seed=1`."""
    overrides = [f"{key}={value}" for key, value in sorted(_flattened(runtime_params)) if key != "run"]
    name = "-".join([*([env] if env and env not in ("base", "local") else []), pipeline, *overrides])
    if len(name) > MAX_RUN_NAME:  # file systems end at 255
        name = f"{name[:MAX_RUN_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return re.sub(r"[^A-Za-z0-9._=+-]", "_", name)


def _flattened(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        flat += _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return flat


def flattened(values: dict[str, Any]) -> dict[str, Any]:
    """Nested parameters by dotted key."""
    return dict(_flattened(values))


def run_folder(project: Path, layer: str, run: str) -> Path:
    """The run's folder in one of Kedro's layers, such as `08_reporting`."""
    return project / "data" / layer / run
