"""A training set from a run's learned ψ, as a user asks for it: killed and resumed, in other formats, refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset

from autosimulate_pipeline.annotations import read_coco
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.configuration import ConfigurationError, check_parameters, flattened
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.loop.scenes import scenes_of, seeds_of
from autosimulate_pipeline.pipelines.generate.pipeline import NUM_SHARD_IMAGES, create_pipeline
from autosimulate_pipeline.pipelines.generate.plan import GenerateSettings, plan_generation
from autosimulate_pipeline.runs.record import check_generation
from autosimulate_pipeline.search.base import SearchState
from autosimulate_pipeline.simulators.toy import ToySimulator
from cases import TOY_HIDDEN, TOY_START
from conftest import Kedro
from test_configuration import load

RUN = "toy-learned"
NUM_IMAGES = 4 * NUM_SHARD_IMAGES + 30
COMMAND = ("--pipeline", "generate", "--params", f"run={RUN},generate.num_images={NUM_IMAGES}")
FOLDER = f"data/05_model_input/{RUN}/coco-{NUM_IMAGES}-val10-seed0"
MADE = ("02_intermediate", "03_primary", "05_model_input")


def recorded(simulator: str = "toy") -> dict[str, Any]:
    """What a run's record holds of the simulator: parameters by dotted key."""
    parameters = {"simulator": {"type": simulator, "parameters": TOY_START}}
    return {"pipeline": "autosimulate", "seed": 0, **flattened(parameters)}


def state(iteration: int, distribution: dict[str, Any]) -> SearchState:
    return SearchState(
        method="autosimulate",
        seed=0,
        iteration=iteration,
        images_rendered=30 * iteration,
        distribution=ProductDistribution.model_validate(distribution),
    )


@pytest.fixture(scope="module")
def toy_run(project: Path) -> Path:
    """A project with a run of the toy simulator that has learned the hidden parameters in two iterations."""
    for layer in ("07_model_output", "08_reporting"):
        (project / "data" / layer / RUN).mkdir(parents=True)
    (project / "data/08_reporting" / RUN / "parameters.json").write_text(json.dumps(recorded()))
    for learned in (state(0, TOY_START), state(2, TOY_HIDDEN)):
        path = project / "data/07_model_output" / RUN / f"state_{learned.iteration:03d}.json"
        path.write_text(learned.model_dump_json())
    return project


def made(project: Path) -> dict[str, str]:
    """A hash of every file that was made, by its path."""
    files = [path for layer in MADE for path in (project / "data" / layer / RUN).rglob("*") if path.is_file()]
    return {str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


@pytest.fixture(scope="module")
def whole(toy_run: Path, kedro: Kedro) -> dict[str, str]:
    """What an uninterrupted generation makes; the files themselves are there too."""
    finished = kedro(*COMMAND)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.splitlines()[-1].strip() == FOLDER
    assert not [line for line in (finished.stdout + finished.stderr).splitlines() if "arning" in line]
    return made(toy_run)


def test_the_set_is_what_was_asked_for(whole: dict[str, str], toy_run: Path) -> None:
    folder = toy_run / FOLDER
    contents = check_dataset(folder)
    assert contents.images == {"train": NUM_IMAGES - 43, "val": 43}
    assert contents.instances.keys() == {"square", "disc", "triangle"}
    card = (folder / "README.md").read_text()
    assert "| 60 ± 5, within 0 to 100 |" in card and "after 2 iterations and 60 images" in card
    total = contents.instances["disc"]
    assert f"| disc | {total['train']} | {total['val']} |" in card
    assert (folder / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def test_images_are_those_of_scenes_drawn_from_the_learned_distribution(whole: dict[str, str], toy_run: Path) -> None:
    tables = sorted((toy_run / "data/02_intermediate" / RUN).glob("scenes_*.parquet"))
    scenes = pd.concat([pd.read_parquet(path) for path in tables], ignore_index=True)
    assert len(scenes) == NUM_IMAGES and scenes["seed"].is_unique
    assert abs(scenes["square_x"].mean() + 5) < 4 * 2 / NUM_IMAGES**0.5  # mean −5, σ 2: four standard errors
    validation = read_coco(toy_run / FOLDER / "val")
    content = json.loads((toy_run / FOLDER / "val/annotations.json").read_text())
    numbers = [int(Path(image["file_name"]).stem) for image in content["images"]]
    rendered = ToySimulator().render(scenes_of(scenes.iloc[numbers]), seeds_of(scenes.iloc[numbers]))
    for image, again in zip(validation.images, rendered.images, strict=True):
        assert (image.image == again.image).all() and (image.instance_mask == again.instance_mask).all()


def killed(project: Path, moment: Callable[[], bool]) -> None:
    """Starts the generation and kills it with SIGKILL as soon as `moment` has come."""
    command = [sys.executable, "-m", "kedro", "run", *COMMAND]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not moment():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_killed_again_and_again_it_ends_with_the_same_bytes_and_renders_no_shard_twice(
    whole: dict[str, str], toy_run: Path, kedro: Kedro
) -> None:
    for layer in MADE:
        shutil.rmtree(toy_run / "data" / layer / RUN)
    rendered, written = (toy_run / "data" / layer / RUN for layer in ("03_primary", "05_model_input"))
    moments: list[Callable[[], bool]] = [
        lambda: len(list(rendered.glob("shard_0_*/annotations.json"))) >= 2,
        lambda: any(written.glob(".*.part/train/images/0001*.png")),
    ]
    stamps: dict[Path, int] = {}
    for moment in moments:
        killed(toy_run, moment)
        assert not (toy_run / FOLDER).exists()
        shards = {path: path.stat().st_mtime_ns for path in rendered.glob("shard_0_*/annotations.json")}
        stamps = {path: stamp for path, stamp in shards.items() if path not in stamps} | stamps
    finished = kedro(*COMMAND)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert made(toy_run) == whole
    assert len(stamps) == 5
    again = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert len(again) <= 1, "at most the shard that was being kept when the process died"


def test_another_format_of_the_same_run_renders_nothing(whole: dict[str, str], toy_run: Path) -> None:
    shards = [path for path in whole if "03_primary" in path]
    before = {path: (toy_run / path).stat().st_mtime_ns for path in shards}
    bootstrap_project(toy_run)
    overrides = {"run": RUN, "generate": {"num_images": NUM_IMAGES, "format": "yolo"}, "parallel": {"num_workers": 1}}
    with KedroSession.create(toy_run, runtime_params=overrides) as session:
        session.run(pipeline_names=["generate"], only_missing_outputs=True)
    contents = check_dataset(toy_run / f"data/05_model_input/{RUN}/yolo-{NUM_IMAGES}-val10-seed0")
    assert (contents.format, contents.images["val"]) == ("yolo", 43)
    assert {path: (toy_run / path).stat().st_mtime_ns for path in shards} == before
    run = toy_run / "data/08_reporting" / RUN
    assert not any((run / name).exists() for name in ("stage_seconds.json", "mlflow_run_id")), "the run is only read"
    assert json.loads((run / "parameters.json").read_text()) == recorded()


def catalog(**datasets: Any) -> DataCatalog:
    return DataCatalog({name: MemoryDataset(data, copy_mode="assign") for name, data in datasets.items()})


def check(datasets: DataCatalog, **overrides: Any) -> None:
    raw = load("local") | {"run": RUN}
    generate = {**raw["generate"], **overrides.pop("generate", {})}
    check_generation(datasets, check_parameters(raw | {"generate": generate}), {"run": RUN, **overrides})


RECORDS = {
    name: lambda state=learned: state
    for name, learned in {"state_000": state(0, TOY_START), "state_002": state(2, TOY_HIDDEN)}.items()
}


def test_a_generation_that_cannot_be_is_refused_in_one_line_before_anything_renders() -> None:
    exists = catalog(run_parameters=recorded(), search_records=RECORDS)
    check(exists)
    with pytest.raises(ConfigurationError, match="run must be one that exists .* got 'toy-learned'"):
        check(catalog())
    with pytest.raises(ConfigurationError, match="must have searched"):
        check(catalog(run_parameters=recorded(), search_records={"test_report_validation_only": dict}))
    with pytest.raises(ConfigurationError, match="record of run 'toy-learned' must have .* simulator.type") as refusal:
        check(catalog(run_parameters=recorded("unity"), search_records=RECORDS))
    assert "\n" not in str(refusal.value)
    with pytest.raises(ConfigurationError, match="format must be coco or yolo for toy, which has no poses, got 'bop'"):
        check(exists, generate={"format": "bop"})
    with pytest.raises(ConfigurationError, match="the rest is the run's; got simulator.type"):
        check(exists, simulator={"type": "clevr"})
    with pytest.raises(ConfigurationError, match="run 'toy-learned': simulator.parameters: scene parameter"):
        check(catalog(run_parameters=recorded("clevr"), search_records=RECORDS))


def test_images_of_an_earlier_state_of_the_run_are_not_gone_on_with() -> None:
    before = plan_generation(RUN, recorded(), {"state_000": RECORDS["state_000"]}, GenerateSettings())
    datasets = catalog(run_parameters=recorded(), search_records=RECORDS, generation_plan_0=before)
    with pytest.raises(ConfigurationError, match="after iteration 0, .* it has now .iteration 2.; choose another"):
        check(datasets)
    check(datasets, generate={"seed": 1})


def test_names_of_scene_parameters_may_have_dots() -> None:
    """What is wrong with one is said of its whole name, so it was read as one."""
    dotted = {key.replace("parameters.square_x", "parameters.square.x"): value for key, value in recorded().items()}
    simulator = {
        "simulator.type": "external",
        "simulator.options.command": ["true"],
        "simulator.options.categories": ["a"],
    }
    plan = plan_generation(RUN, dotted | simulator, RECORDS, GenerateSettings())
    assert plan.simulator.options == {"command": ["true"], "categories": ["a"]}
    wrong = dotted | simulator | {"simulator.parameters.square.x.low": 99}
    with pytest.raises(ValueError, match=r"got simulator\.parameters\.square\.x\.gaussian: .* low must be below high"):
        plan_generation(RUN, wrong, RECORDS, GenerateSettings())


def test_shards_are_a_hundred_images_whatever_the_size_of_the_set() -> None:
    small, large = (create_pipeline(GenerateSettings(num_images=number)) for number in (230, 10_000))
    shards = {name for name in large.datasets() if name.startswith("shard_0") and "." not in name}
    assert len(shards) == 100
    assert {name for name in small.datasets() if name.startswith("shard_0") and "." not in name} - shards == {
        "shard_0_000200_30"
    }
