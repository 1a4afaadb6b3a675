"""The whole project, as a user runs it: Kedro, Blender, training, MLflow."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from pycocotools.coco import COCO
from safetensors.torch import load_file

from autosimulate_pipeline.annotations import read_coco
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.task_models import UNetSettings, build_task_model
from autosimulate_pipeline.tracking.model_from_code import table_of
from autosimulate_pipeline.tracking.tracker import COLUMNS_TAG
from conftest import Kedro
from test_configuration import PAPER

RUN = "smoke-autosimulate"

BEFORE_SEARCH = {"sample-pilot-scenes", "render-pilot-dataset", "infer-parameters", "initialise-search"}
ITERATION_NODES = {
    "sample-parameters",
    "render-dataset",
    "train-task-model",
    "evaluate-validation",
    "compute-hypergradient",
}


@pytest.fixture(scope="module")
def smoke(project: Path, kedro: Kedro) -> str:
    """What the smoke run printed."""
    finished = kedro("--env", "smoke")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def summary(smoke: str, project: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((project / "data/08_reporting" / RUN / "summary.json").read_text())
    return summary


def fingerprint(project: Path, *layers: str) -> dict[str, str]:
    """Hashes of what a run has made but for its times."""
    files = [path for layer in layers for path in sorted((project / "data" / layer / RUN).rglob("*")) if path.is_file()]
    files = [path for path in files if not path.name.startswith("stage_seconds")]
    return {str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_run_speaks_calmly_and_ends_with_what_was_gained(smoke: str) -> None:
    lines = smoke.splitlines()
    assert sum(line.startswith("iteration ") for line in lines) == 3
    assert not [line for line in lines if "arning" in line or "Traceback" in line]
    assert lines[-1].strip().endswith("summary.json")


def test_summary_has_what_is_promised(summary: dict[str, Any]) -> None:
    assert summary["method"] == "autosimulate"
    assert summary["mode"] == "recommended"
    assert (summary["iterations"], summary["images_rendered"]) == (3, 48), "24 pilot images and 3 times 8"
    assert len(summary["val_map"]) == len(summary["val_miou"]) == 3
    for metric in ("test_map", "test_miou"):
        assert all(0 <= summary[metric][where] <= 1 for where in ("pilot", "start", "learned", "own"))
    start, learned = (summary["simulator_parameters"][where] for where in ("start", "learned"))
    assert start.keys() == learned.keys()
    assert start != learned
    seconds = summary["seconds"]
    stages = ("pilot", "infer", "render", "train", "evaluate", "hypergradient", "other")
    assert sum(seconds[stage] for stage in stages) == pytest.approx(seconds["total"], abs=0.1)
    assert all(seconds[stage] > 0 for stage in stages)


def test_rendered_images_are_a_coco_folder_with_scenes_beside(smoke: str, project: Path) -> None:
    folder = project / "data/03_primary" / RUN / "rendered_dataset_001"
    coco = COCO(folder / "annotations.json")
    assert len(coco.getImgIds()) == 8
    assert all((folder / "images" / image["file_name"]).is_file() for image in coco.loadImgs(coco.getImgIds()))
    scenes = pd.read_parquet(project / "data/02_intermediate" / RUN / "scenes_iteration_001.parquet")
    assert len(scenes) == 8
    assert scenes["ambient_light"].between(0, 100).all()
    assert scenes["cube_x"].equals(scenes["cube_x.draw"].clip(-10, 10))


def test_mlflow_holds_one_point_per_iteration(smoke: str, project: Path, summary: dict[str, Any]) -> None:
    with sqlite3.connect(project / "mlflow.db") as database:
        ((run_id, status),) = database.execute("SELECT run_uuid, status FROM runs WHERE name = ?", (RUN,)).fetchall()
        metrics = database.execute("SELECT key, step, value FROM metrics WHERE run_uuid = ?", (run_id,)).fetchall()
        params = dict(database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)))
        tags = dict(database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)))
        ((view,),) = database.execute("SELECT value FROM experiment_tags WHERE key = ?", (COLUMNS_TAG,)).fetchall()
    keys = {key for key, _, _ in metrics}
    history = sorted((step, value) for key, step, value in metrics if key == "val/mIoU")
    assert history == list(enumerate(pytest.approx(value) for value in summary["val_miou"]))
    assert {"val/mAP", "val/loss", "images_rendered", "psi/cube_x", "psi/cube_material/metal"} <= keys
    assert {"seconds/render", "hypergradient/solver_steps", "test/mAP/learned"} <= keys
    shown = {column.split("`")[1] for column in json.loads(view)["selectedColumns"] if column.startswith("metrics")}
    assert shown - keys == {"grid/val_mAP"}, "the page of runs has columns for what a run tells"
    assert params["loop.num_images"] == "8"
    assert [tags[key] for key in ("method", "experiment", "mode", "seed")] == [
        "autosimulate",
        "clevr_smoke",
        "recommended",
        "0",
    ]
    assert status == "FINISHED"


def test_catalog_gives_every_iteration_to_a_notebook(smoke: str, project: Path) -> None:
    bootstrap_project(project)
    configure_project("autosimulate_pipeline")
    with KedroSession.create(project, env="smoke") as session:
        catalog = session.load_context().catalog
        assert len(catalog.load("rendered_dataset_001")) == 8
        assert catalog.load("state_003").iteration == 3
        assert catalog.load("hypergradient_report_001").solver_steps > 0
        assert catalog.load("validation_report_002").num_images == 6
        assert sum(weight.numel() for weight in catalog.load("weights_003").values()) > 1000


@pytest.mark.parametrize("name", ["__default__", "inference"])
def test_hidden_configuration_cannot_be_reached_from_inference_or_search(name: str, project: Path) -> None:
    """Only the node that makes the reference images takes it; what it hands on holds images and labels alone."""
    bootstrap_project(project)
    with KedroSession.create(project, env="smoke") as session:
        session.load_context()
        from autosimulate_pipeline.pipeline_registry import register_pipelines

        pipeline = register_pipelines()[name]
    takers = {
        node.name
        for node in pipeline.nodes
        if {"params:reference_data", "parameters"} & set(node.inputs)
        or any(name.startswith("params:reference_data") for name in node.inputs)
    }
    assert takers == {"load-reference-data"}
    search_nodes = [node for node in pipeline.nodes if (node.namespace or "").startswith("iteration_")]
    before_search = [node for node in pipeline.nodes if node.name in BEFORE_SEARCH]
    is_search = name == "__default__"
    assert {node.name.partition(".")[2] for node in search_nodes} == (ITERATION_NODES if is_search else set())
    assert {node.name for node in before_search} == BEFORE_SEARCH - (set() if is_search else {"initialise-search"})
    (reference,) = (node for node in pipeline.nodes if node.name == "load-reference-data")
    assert {"validation_set", "test_set"} <= set(reference.outputs)
    seen = {node.name: set(node.inputs) & set(reference.outputs) for node in (*before_search, *search_nodes)}
    assert seen["infer-parameters"] == {"validation_set"}
    assert not seen["sample-pilot-scenes"] | seen["render-pilot-dataset"]
    assert set.union(*seen.values()) == {"validation_set"}


def test_validation_folder_tells_nothing_but_images_and_labels(smoke: str, project: Path) -> None:
    annotations = json.loads((project / "data/01_raw" / RUN / "validation/annotations.json").read_text())
    assert annotations.keys() == {"images", "annotations", "categories"}
    assert all(image.keys() == {"id", "file_name", "width", "height"} for image in annotations["images"])


def test_second_run_has_nothing_to_do(smoke: str, project: Path, kedro: Kedro) -> None:
    before = fingerprint(project, "01_raw", "02_intermediate", "03_primary", "06_models", "07_model_output")
    again = kedro("--env", "smoke")
    assert again.returncode == 0, again.stderr
    assert "iteration " not in again.stdout
    assert fingerprint(project, "01_raw", "02_intermediate", "03_primary", "06_models", "07_model_output") == before


def test_mlflow_has_the_network_of_the_run_once(smoke: str, project: Path) -> None:
    """Whether the run has been repeated by now or not."""
    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    run_id = (project / "data/08_reporting" / RUN / "mlflow_run_id").read_text()
    experiment = mlflow.get_run(run_id).info.experiment_id
    (model,) = mlflow.search_logged_models([experiment], f"source_run_id = '{run_id}'", output_format="list")
    assert model.status == "READY"
    validation = read_coco(project / "data/01_raw" / RUN / "validation")
    found = mlflow.pyfunc.load_model(f"runs:/{run_id}/task_model").predict(validation.images[0].image[None])
    task_model = build_task_model(validation.categories, UNetSettings(input_size=32, base_channels=8))
    weights = load_file(project / "data/06_models" / RUN / "own.safetensors")
    first = AnnotatedDataset(validation.categories, validation.images[:1])
    pd.testing.assert_frame_equal(found, table_of(task_model.predict(weights, first), validation.categories))


def test_run_that_lost_its_end_goes_on_to_the_same_bytes(smoke: str, project: Path, kedro: Kedro) -> None:
    layers = ("02_intermediate", "03_primary", "06_models", "07_model_output")
    before = fingerprint(project, *layers)
    lost = [
        project / "data" / path
        for path in (f"07_model_output/{RUN}/state_003.json", f"06_models/{RUN}/weights_003.safetensors")
    ]
    for path in lost:
        path.unlink()
    resumed = kedro("--env", "smoke")
    assert resumed.returncode == 0, resumed.stderr
    assert fingerprint(project, *layers) == before
    with sqlite3.connect(project / "mlflow.db") as database:
        points = database.execute(
            "SELECT COUNT(*), COUNT(DISTINCT run_uuid) FROM metrics JOIN runs USING (run_uuid) "
            "WHERE name = ? AND key = 'val/mIoU'",
            (RUN,),
        ).fetchone()
    assert points == (3, 1), "one run, one point for each iteration"


@pytest.fixture
def small_disk(project: Path) -> Iterator[Callable[[str], None]]:
    """The images of the run `full` lie on a file system of their own, of 64 kB; called with another size it changes."""
    folder = project / "data/03_primary/full"
    folder.mkdir(parents=True)
    mounted = subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")

    def resize(size: str) -> None:
        subprocess.run(["/bin/mount", "-o", f"remount,size={size}", folder], check=True)

    yield resize
    subprocess.run(["/bin/umount", folder], check=True)


def test_full_disk_ends_in_one_line_and_loses_nothing(
    project: Path, kedro: Kedro, small_disk: Callable[[str], None]
) -> None:
    command = ("--env", "smoke", "--params", "run=full,search.start=configured")
    stopped = kedro(*command)
    told = stopped.stdout + stopped.stderr
    assert stopped.returncode == 1
    assert "Traceback" not in told
    (line,) = (line for line in told.splitlines() if line.startswith("error:"))
    assert "No space left on device" in line and "data/03_primary/full/" in line
    folders = sorted(path.name for path in (project / "data/03_primary/full").iterdir())
    assert folders and all(not name.startswith(".") for name in folders), "what is there is whole"
    small_disk("20m")
    assert kedro(*command).returncode == 0
    assert (project / "data/08_reporting/full/summary.json").exists()


@pytest.mark.parametrize("pipeline", ["frozen", "domain_randomisation"])
def test_controls_never_move(pipeline: str, project: Path, kedro: Kedro) -> None:
    overrides = "loop.num_iterations=2,search.start=configured"
    finished = kedro("--env", "smoke", "--pipeline", pipeline, "--params", overrides)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    folder = project / "data/08_reporting" / f"smoke-{pipeline}-loop.num_iterations=2-search.start=configured"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["method"] == pipeline
    run = project / "data/07_model_output" / folder.name
    start, learned = (json.loads((run / f"state_{k:03d}.json").read_text())["distribution"] for k in (0, 2))
    assert start == learned
    assert start["cube_x"]["distribution"] == ("gaussian" if pipeline == "frozen" else "uniform")


def test_paper_mode_and_early_stop_by_image_budget(project: Path, kedro: Kedro) -> None:
    overrides = "search.mode=paper,loop.max_images=20,run=budget"
    finished = kedro("--env", "smoke", "--params", overrides)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    summary = json.loads((project / "data/08_reporting/budget/summary.json").read_text())
    assert summary["mode"] == "paper"
    assert (summary["iterations"], summary["images_rendered"], len(summary["val_map"])) == (2, 16, 2)
    assert summary["stopped"].startswith("image budget")
    recorded = json.loads((project / "data/08_reporting/budget/parameters.json").read_text())
    report = (project / "data/08_reporting/budget/report.html").read_text()
    with sqlite3.connect(project / "mlflow.db") as database:
        rows = database.execute("SELECT key, value FROM params JOIN runs USING (run_uuid) WHERE name = 'budget'")
        logged = dict(rows.fetchall())
    for key, value in PAPER.items():
        assert recorded[key] == value
        assert logged[key] == str(value)
        row = f"<code>{key.rpartition('.')[2]}</code></th><td><code>{value}</code>"
        assert row in report
    refused = kedro("--env", "smoke", "--params", f"{overrides},hypergradient.solver=conjugate_gradient")
    assert refused.returncode == 1
    assert "hypergradient.solver: 'newton_cg' → 'conjugate_gradient'" in refused.stdout + refused.stderr


def test_pretrained_network_is_made_once_and_every_method_sets_out_from_it(project: Path, kedro: Kedro) -> None:
    overrides = "pretraining.enabled=true,search.start=configured,loop.num_iterations=1,task_model.frozen=[encoder_1]"
    stamps = []
    for pipeline, first, last in (
        ("frozen", "weights_000", "weights_001"),
        ("validation_only", "weights_validation_only", "weights_validation_only"),
    ):
        run = f"pretrained-{pipeline}"
        finished = kedro("--env", "smoke", "--pipeline", pipeline, "--params", f"{overrides},run={run}")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        (kept,) = (project / "data/06_models").glob("pretraining-*/weights.safetensors")
        stamps.append(kept.stat().st_mtime_ns)
        pretrained = load_file(kept)
        start, end = (load_file(project / "data/06_models" / run / f"{name}.safetensors") for name in (first, last))
        assert pretrained.keys() == end.keys()
        for name, weight in pretrained.items():
            assert torch.equal(start[name], weight) or pipeline == "validation_only"
            assert torch.equal(end[name], weight) == name.startswith("encoder_1"), name
        assert f"<title>{run}</title>" in (project / "data/08_reporting" / run / "report.html").read_text()
        seconds = json.loads((project / "data/08_reporting" / run / "stage_seconds.json").read_text())
        assert (seconds["pretrain"] > 0) == (len(stamps) == 1)
    assert stamps[0] == stamps[1]
