"""What SECURITY.md promises of whole runs and of the code; what it promises of files is in test_bad_input.py."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from conftest import PROJECT

TINY = (
    "pilot.num_images=20,loop.num_iterations=1,loop.num_images=2,training.first_epochs=1,final_evaluation.num_images=2,"
    "final_evaluation.retraining.epochs=1,final_evaluation.own_network.epochs=1,"
    "reference_data.hidden_simulator.num_validation_images=2,reference_data.hidden_simulator.num_test_images=2"
)
PRIVATE = "correct-horse-battery"
WATCH = """
import os, sys
def watch(event, arguments):
    is_address = event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple)
    if is_address or event == "socket.getaddrinfo":
        with open(os.environ["SEEN_ON_THE_NETWORK"], "a") as file:
            print(event, arguments, file=file)
sys.addaudithook(watch)
"""
"""As sitecustomize.py: in every Python process, workers included, tells of addresses that are not local sockets."""


def tiny_run(
    project: Path, run: str, *prefix: str, workers: int = 1, choices: Sequence[str] = (), **environment: str
) -> str:
    """What `kedro run` of the smallest search in Blender printed; `prefix` is the command that starts it."""
    params = f"{TINY},run={run},parallel.num_workers={workers}"
    command = [*prefix, sys.executable, "-m", "kedro", "run", "--env", "smoke", "--params", params, *choices]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def offline(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a run prints that is cut off from every network, if the system allows that, and watched in any case."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "sitecustomize.py").write_text(WATCH)
    (folder / "seen").touch()
    unshare = ["unshare", "--map-root-user", "--net"]
    can_cut = shutil.which("unshare") and not subprocess.run([*unshare, "true"], check=False).returncode
    told = tiny_run(
        project,
        "offline",
        *(unshare if can_cut else []),
        PYTHONPATH=str(folder),
        SEEN_ON_THE_NETWORK=str(folder / "seen"),
        AUTOSIMULATE_TEST_KEY=PRIVATE,
    )
    assert (folder / "seen").read_text() == "", "no process asked for an address"
    yield told


def test_a_run_needs_no_network(offline: str, project: Path) -> None:
    assert (project / "data/08_reporting/offline/report.html").is_file()
    assert "arning" not in offline


def test_the_watcher_sees_who_asks_for_an_address(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "SEEN_ON_THE_NETWORK": str(tmp_path / "seen")}
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert (tmp_path / "seen").read_text().startswith("socket.sendto")


def test_nothing_of_the_environment_is_kept(offline: str, project: Path) -> None:
    folders = [*(project / "data").glob("*/offline"), project / "mlartifacts", project / "logs"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()] + [project / "mlflow.db"]
    assert len(files) > 20
    assert not [path for path in files if PRIVATE.encode() in path.read_bytes()]
    assert PRIVATE not in offline


def test_one_worker_and_two_give_the_same_bytes(offline: str, project: Path) -> None:
    tiny_run(project, "paired", workers=2, choices=["--to-outputs", "validation_report_000,state_001"])

    def kept(run: str) -> dict[str, bytes]:
        layers = ("01_raw", "02_intermediate", "03_primary", "06_models", "07_model_output")
        folders = [project / "data" / layer / run for layer in layers]
        files = [(path, folder) for folder in folders for path in folder.rglob("*") if path.is_file()]
        files = [(path, folder) for path, folder in files if not path.name.startswith("stage_seconds")]
        return {f"{folder.parent.name}/{path.relative_to(folder)}": path.read_bytes() for path, folder in files}

    alone, paired = kept("offline"), kept("paired")
    assert {"06_models/weights_001.safetensors", "07_model_output/state_001.json"} <= paired.keys()
    assert sum(name.endswith(".png") for name in paired) == 6, "validation, test and rendered images"
    assert not [name for name in paired if alone[name] != paired[name]]


def test_a_run_says_what_it_was_made_by(offline: str, project: Path) -> None:
    (made_by,) = json.loads((project / "data/08_reporting/offline/summary.json").read_text())["provenance"]
    assert made_by == json.loads((project / "data/08_reporting/offline/provenance.json").read_text())[0]
    assert {"Python", "torch", "bpy"} <= made_by["versions"].keys()
    report = (project / "data/08_reporting/offline/report.html").read_text()
    assert made_by["machine"] in report and f"bpy {made_by['versions']['bpy']}" in report
    with sqlite3.connect(project / "mlflow.db") as database:
        rows = database.execute("SELECT key, value FROM tags JOIN runs USING (run_uuid) WHERE name = 'offline'")
        tags = dict(rows.fetchall())
    assert tags["machine"] == made_by["machine"] and tags["version/torch"] == made_by["versions"]["torch"]


# The code


def calls(source: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every call in a module: the dotted name, and the keyword arguments as they are written."""
    for found in ast.walk(ast.parse(source)):
        if isinstance(found, ast.Call):
            yield ast.unparse(found.func), {str(word.arg): ast.unparse(word.value) for word in found.keywords}


FORBIDDEN = r"(c?pickle|dill|cloudpickle|marshal|shelve|joblib|jsonpickle)\.(load|loads|open|Unpickler|decode)"
FORBIDDEN += r"|(pd|pandas)\.read_pickle|yaml\.(load|unsafe_load|full_load)|eval|exec|os\.(system|popen)"
ASKED_FOR = {  # what these must be called with
    "torch.load": ("weights_only", "True"),
    "np.load": ("allow_pickle", "False"),
    "trimesh.load_scene": ("allow_remote", "False"),
}


def unsafe(source: str) -> list[str]:
    """Calls that unpickle, run text as code or as a shell's, or may use the network."""
    found = [
        name for name, words in calls(source) if re.fullmatch(FORBIDDEN, name) or words.get("shell", "False") != "False"
    ]
    for name, words in calls(source):
        key, value = ASKED_FOR.get(name, ("", ""))
        if key and words.get(key) != value:
            found.append(f"{name} without {key}={value}")
    return found


def test_no_module_unpickles_a_file_or_runs_text() -> None:
    sources = sorted((PROJECT / "src").rglob("*.py"))
    assert len(sources) > 150
    assert {path.name: unsafe(path.read_text()) for path in sources if unsafe(path.read_text())} == {}


@pytest.mark.parametrize(
    "source",
    [
        "pickle.load(file)",
        "torch.load(file)",
        "np.load(file, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "subprocess.run(text, shell=True)",
        "trimesh.load_scene(file)",
        "eval(text)",
    ],
)
def test_what_is_forbidden_would_be_found(source: str) -> None:
    assert len(unsafe(source)) == 1


def test_servers_of_the_makefile_are_for_this_machine_alone() -> None:
    for target in ("viz", "mlflow"):
        command = ["make", "--dry-run", "--always-make", target]
        told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
        assert re.search(r"(viz run|mlflow ui).* --host 127\.0\.0\.1( |$)", told, re.MULTILINE), told
