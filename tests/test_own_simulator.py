"""A user's class as a simulator: by import path or entry point, in worker processes; its mistakes told in one line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from pydantic import BaseModel

from autosimulate_pipeline.configuration import ConfigurationError, ProjectConfigLoader, check_parameters
from autosimulate_pipeline.pipelines.reference_data.nodes import ReferenceDataSettings
from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.simulators import ParallelSettings, build_simulator
from autosimulate_pipeline.simulators.base import owners_by_prefix
from autosimulate_pipeline.simulators.own import render_job
from conftest import PROJECT

TEMPLATE = PROJECT / "src/autosimulate_pipeline/simulators/templates/renderer.py"
SCENES: list[dict[str, Any]] = [{"ball_x": x, "box_x": -x, "brightness": 60.0} for x in (-0.6, -0.2, 0.2, 0.6)]

MISTAKES = """
import numpy as np
from pydantic import BaseModel, model_validator
from autosimulate_pipeline.records import AnnotatedImage
from autosimulate_pipeline.simulators.own import SceneParameters, SceneRenderer

class Right(SceneRenderer):
    categories, scene_model = ("ball",), SceneParameters
    image, mask, instances = np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=np.uint8), (1,)
    more = {}
    def render_scene(self, scene, generator):
        return AnnotatedImage(self.image, self.mask, self.instances, **self.more)

class Apart(SceneParameters):
    left: int = 0
    right: int = 1
    @model_validator(mode="after")
    def _apart(self):
        if self.left >= self.right: raise ValueError(f"left must be below right,\\n got {self.left} and {self.right}")
        return self
class Paired(Right): scene_model = Apart

class NoRenderer: pass
class NoMethod(SceneRenderer): categories, scene_model = ("ball",), SceneParameters
class NoCategories(Right): categories = ()
class OneText(Right): categories = "ball"
class Twice(Right): categories = ("ball", "ball")
class TooMany(Right): categories = tuple(map(str, range(256)))
class OtherModel(Right): scene_model = BaseModel
class Unowned(Right): owners = {"ball_x": "ball"}
class Refusing(Right):
    def __init__(self, size=1): raise OSError("no\\nmesh")

class ReturnsPixels(Right):
    def render_scene(self, scene, generator): return self.image
class Raises(Right):
    def render_scene(self, scene, generator): return {}["mesh\\nfile"]
class FloatImage(Right): image = np.zeros((4, 4, 3))
class NoArray(Right): image = [[0]]
class GreyImage(Right): image = np.zeros((4, 4), np.uint8)
class LongMask(Right): mask = np.eye(4, dtype=np.int64)
class OtherSize(Right): mask = np.eye(5, dtype=np.uint8)
class OtherCategory(Right): instances = (2,)
class CategoryZero(Right): instances = (0,)
class NumpyCategory(Right): instances = (1.0,)
class Hidden(Right): instances = (1, 1)
class Unlisted(Right): instances = ()
class Boxes(Right): more = {"instance_boxes": np.zeros((1, 4))}
class Floats(Right):
    def render_scene(self, scene, generator): return self.annotated(self.image, [("ball", np.eye(4))])
class Stranger(Right):
    def render_scene(self, scene, generator): return self.annotated(self.image, [("cat", np.eye(4) > 0)])
class Many(Right):
    def render_scene(self, scene, generator): return self.annotated(self.image, 65536 * [("ball", np.eye(4) > 0)])
"""


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of user's modules on the path."""
    folder = tmp_path_factory.mktemp("modules")
    shutil.copy(TEMPLATE, folder / "own_room.py")
    (folder / "own_mistakes.py").write_text(MISTAKES)
    (folder / "own_raising.py").write_text("raise RuntimeError('no\\nlicence')")
    (folder / "own_torn.py").write_text("class Room(")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        get_reusable_executor().shutdown()  # workers of earlier tests have an older path
        yield folder
    get_reusable_executor().shutdown()


def parameters_with(simulator: dict[str, Any], name: str = "brightness") -> dict[str, Any]:
    """Those of conf/base with another simulator, one of whose parameters has a distribution."""
    parameters = load(PROJECT / "conf", "base")
    distributions = {name: {"distribution": "gaussian", "low": 0, "high": 90, "mean": 20}}
    parameters["simulator"] = {"parameters": distributions, **simulator}
    parameters["reference_data"]["hidden_simulator"]["parameters"] = distributions
    return parameters


def load(conf: Path, env: str) -> dict[str, Any]:
    loader = ProjectConfigLoader(
        str(conf), env, base_env="base", default_run_env="local", merge_strategy={"parameters": "soft"}
    )
    parameters: dict[str, Any] = loader["parameters"]
    return parameters


def test_owner_of_a_parameter_is_the_category_with_the_longest_name_that_fits() -> None:
    class Toys(BaseModel):
        toy_x: float = 0
        toy_car_x: float = 0

    for categories in (("toy", "toy_car"), ("toy_car", "toy")):
        assert owners_by_prefix(Toys, categories) == {"toy_x": "toy", "toy_car_x": "toy_car"}


def test_template_renders_in_workers_what_it_renders_here_in_the_order_of_the_scenes() -> None:
    simulator = build_simulator("own_room:NewSimulator", {"image_size": 32}, ParallelSettings(num_workers=1))
    counts: list[int] = []
    dataset = simulator.render(SCENES, [1, 2, 3, 4], counts.append)
    assert sum(counts) == 4 and dataset.categories == simulator.categories == ("ball", "box")
    assert simulator.owners == {"ball_x": "ball", "box_x": "box"}
    jobs = [("own_room:NewSimulator", {"image_size": 32}, scene, seed) for seed, scene in enumerate(SCENES, start=1)]
    for image, again in zip(dataset.images, map(render_job, jobs), strict=True):
        assert image.image.tobytes() == again.image.tobytes()
        assert image.semantic_mask.tobytes() == again.semantic_mask.tobytes()
    balls = [np.nonzero(image.semantic_mask == 1)[1].mean() for image in dataset.images]
    # (x + 1)/2 of 31 pixels; the box hides none of the ball's centre, a pixel for the raster
    assert balls == pytest.approx([(scene["ball_x"] + 1) / 2 * 31 for scene in SCENES], abs=1)


def test_failure_in_a_worker_is_one_line_with_class_seed_and_scene() -> None:
    simulator = build_simulator("own_mistakes:Raises", {}, ParallelSettings(num_workers=1))
    with pytest.raises(RuntimeError, match="own_mistakes:Raises: render_scene, with seed 7 and {}: KeyError") as told:
        simulator.render([{}], [7], ignore_progress)
    assert "\n" not in str(told.value)


def test_no_scene_renders_nothing_and_wrong_scenes_are_refused_before_anything_renders() -> None:
    simulator = build_simulator("own_room:NewSimulator", {}, ParallelSettings(num_workers=1))
    assert simulator.render([], [], ignore_progress).images == ()
    with pytest.raises(ValueError, match="seeds"):
        simulator.render([{}], [], ignore_progress)
    for scene in ({"ball_z": 0.0}, {"ball_x": 2.0}, {"ball_x": float("nan")}):
        with pytest.raises(ValueError, match="scene parameter 'ball"):
            simulator.render([scene], [0], ignore_progress)
    paired = build_simulator("own_mistakes:Paired", {}, ParallelSettings())
    with pytest.raises(ValueError, match=r"^left must be below right, got 2 and 1$"):
        paired.check({"left": 2})


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("ReturnsPixels", "must return an AnnotatedImage, as self.annotated(…) does, got ndarray"),
        ("FloatImage", "image must be a uint8 array of shape (height, width, 3), got float64 of shape (4, 4, 3)"),
        ("NoArray", "image must be a uint8 array of shape (height, width, 3), got list"),
        ("GreyImage", "image must be a uint8 array of shape (height, width, 3), got uint8 of shape (4, 4)"),
        ("LongMask", "instance_mask must be a uint8 array of shape (height, width), got int64"),
        ("OtherSize", "image must have shape (5, 5, 3), as instance_mask has it, got (4, 4, 3)"),
        ("OtherCategory", "instance_categories must be whole numbers from 1 to 1, got (2,)"),
        ("CategoryZero", "instance_categories must be whole numbers from 1 to 1, got (0,)"),
        ("NumpyCategory", "instance_categories must be whole numbers from 1 to 1, got (1.0,)"),
        ("Hidden", "instance_mask must show every instance, 1 to 2, and no other, got [1]"),
        ("Unlisted", "instance_mask must show every instance, 1 to 0, and no other, got [1]"),
        ("Boxes", "instance_boxes must be None"),
        ("Floats", "the mask of ball must be bool of shape (4, 4), got float64"),
        ("Stranger", "an instance's category must be one of ball, got 'cat'"),
        ("Many", "an image must have at most 65535 instances, got 65536"),
    ],
)
def test_malformed_image_is_refused_in_one_line(kind: str, complaint: str) -> None:
    with pytest.raises(RuntimeError, match=re.escape(complaint)) as told:
        render_job((f"own_mistakes:{kind}", {}, {}, 0))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("simulator", "complaint"),
    [
        ({"type": "own_nowhere:Room"}, "simulator.type: own_nowhere:Room cannot be imported: ModuleNotFoundError"),
        ({"type": "own_room:Hall"}, "simulator.type: own_room:Hall cannot be imported: AttributeError"),
        ({"type": "own_raising:Room"}, "simulator.type: own_raising:Room cannot be imported: RuntimeError: no licence"),
        ({"type": "own_torn:Room"}, "simulator.type: own_torn:Room cannot be imported: SyntaxError"),
        ({"type": ":Room"}, "simulator.type: :Room cannot be imported: ValueError"),
        ({"type": "own_room"}, "simulator.type: must be one of clevr, external, photoreal, toy"),
        ({"type": "own_mistakes:NoRenderer"}, "simulator.type: own_mistakes:NoRenderer must be a class derived from"),
        ({"type": "own_mistakes:MISTAKES"}, "simulator.type: own_mistakes:MISTAKES cannot be imported"),
        ({"type": "own_mistakes:np"}, "simulator.type: own_mistakes:np must be a class derived from SceneRenderer"),
        ({"type": "own_mistakes:NoMethod"}, "simulator.type: own_mistakes:NoMethod must define render_scene"),
        ({"type": "own_mistakes:NoCategories"}, "simulator.type: own_mistakes:NoCategories: categories must be"),
        ({"type": "own_mistakes:OneText"}, "simulator.type: own_mistakes:OneText: categories must be"),
        ({"type": "own_mistakes:Twice"}, "simulator.type: own_mistakes:Twice: categories must be"),
        ({"type": "own_mistakes:TooMany"}, "simulator.type: own_mistakes:TooMany: categories must be at most 255"),
        ({"type": "own_mistakes:OtherModel"}, "simulator.type: own_mistakes:OtherModel: scene_model must be a class"),
        ({"type": "own_mistakes:Unowned"}, "simulator.type: own_mistakes:Unowned: owners must pair a scene parameter"),
        ({"type": "own_mistakes:Refusing"}, "simulator.options: own_mistakes:Refusing: OSError: no mesh"),
        (
            {"type": "own_room:NewSimulator", "options": {"width": 3}},
            "simulator.options: own_room:NewSimulator: TypeError: got an unexpected keyword argument 'width'",
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_malformed_class_is_refused_in_one_line_before_anything_renders(
    simulator: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match="^" + re.escape(complaint)) as told:
        check_parameters(parameters_with(simulator))
    assert "\n" not in str(told.value)


def test_unknown_scene_parameter_is_named() -> None:
    with pytest.raises(ConfigurationError, match="^simulator.parameters: scene parameter 'teapot_x' is unknown"):
        check_parameters(parameters_with({"type": "own_room:NewSimulator"}, "teapot_x"))


def test_installed_package_names_its_simulator_by_an_entry_point(modules: Path) -> None:
    metadata = modules / "rooms-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rooms\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[autosimulate.simulators]\nroom = own_room:NewSimulator\n")
    try:
        assert check_parameters(parameters_with({"type": "room"})).simulator.owners(("ball", "box")) == {}
        assert build_simulator("room", {}, ParallelSettings()).categories == ("ball", "box")
        with pytest.raises(ConfigurationError, match="must be one of clevr, external, photoreal, toy, room, a name of"):
            check_parameters(parameters_with({"type": "hall"}))
    finally:
        shutil.rmtree(metadata)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A conf/ with one environment, `own`, still to be written."""
    shutil.copytree(PROJECT / "conf/base", tmp_path / "conf/base")
    (tmp_path / "conf/own").mkdir()
    return tmp_path / "conf"


def test_environment_with_another_simulator_has_none_of_the_parameters_of_base(conf: Path) -> None:
    (conf / "own/parameters.yml").write_text("""
simulator:
  type: own_room:NewSimulator
  options: {image_size: 24}
  parameters: {ball_x: {distribution: gaussian, low: -1, high: 1, mean: 0}}
reference_data:
  hidden_simulator:
    num_test_images: 7
    parameters: {box_x: {distribution: gaussian, low: -1, high: 1, mean: 0}}
""")
    parameters = load(conf, "own")
    assert parameters["simulator"]["parameters"].keys() == {"ball_x"}
    assert parameters["reference_data"]["hidden_simulator"]["parameters"].keys() == {"box_x"}
    base = load(conf, "base")
    assert parameters["reference_data"]["hidden_simulator"]["num_test_images"] == 7
    assert (
        parameters["reference_data"]["hidden_simulator"]["seed"] == base["reference_data"]["hidden_simulator"]["seed"]
    )
    assert parameters["loop"] == base["loop"]
    checked = check_parameters(parameters)
    assert checked.simulator.owners(("ball", "box")) == {"ball_x": 1}


def test_environment_with_the_same_simulator_overrides_single_keys(conf: Path) -> None:
    for simulator in ("{type: clevr, parameters: {cube_x: null}}", "{parameters: {cube_x: null}}"):
        (conf / "own/parameters.yml").write_text(f"simulator: {simulator}")
        parameters, base = load(conf, "own")["simulator"]["parameters"], load(conf, "base")["simulator"]["parameters"]
        assert parameters == base | {"cube_x": None}


def test_hidden_parameters_of_another_simulator_are_asked_for_not_inherited(conf: Path) -> None:
    """Unless there are labelled images, which need none."""
    (conf / "own/parameters.yml").write_text("""
simulator:
  type: own_room:NewSimulator
  parameters: {ball_x: {distribution: gaussian, low: -1, high: 1, mean: 0}}
""")
    parameters = load(conf, "own")
    with pytest.raises(
        ConfigurationError, match=r"^reference_data.hidden_simulator.parameters is missing, and there are"
    ):
        check_parameters(parameters)
    own_images = {"validation_folder": "photos/validation", "test_folder": "photos/test"}
    reference_data = ReferenceDataSettings.model_validate(parameters["reference_data"] | own_images)
    assert reference_data.hidden_simulator.parameters is None and not reference_data.is_rendered


def test_environment_whose_simulator_is_no_block_is_refused_in_one_line(conf: Path) -> None:
    (conf / "own/parameters.yml").write_text("simulator: toy\n")
    with pytest.raises(ConfigurationError, match=r"^simulator: input should be a valid dictionary"):
        check_parameters(load(conf, "own"))
