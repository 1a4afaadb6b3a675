"""`kedro new-simulator`: what it writes runs at once, and it overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from autosimulate_pipeline.cli import cli
from autosimulate_pipeline.simulators.scaffold import new_simulator
from conftest import Kedro


@pytest.mark.parametrize(
    ("name", "option", "files"),
    [
        ("own_shapes", [], ["src/own_shapes.py", "conf/own_shapes/parameters.yml"]),
        ("drawn_shapes", ["--external"], ["simulators/drawn_shapes.py", "conf/drawn_shapes/parameters.yml"]),
    ],
)
def test_new_simulator_is_learned_at_once_and_never_overwritten(
    name: str, option: list[str], files: list[str], project: Path, kedro: Kedro, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    made = CliRunner().invoke(cli, ["new-simulator", name, *option])
    assert made.output == f"wrote {' and '.join(files)}; to run it: kedro run --env {name}\n"
    contents = [Path(file).read_bytes() for file in files]

    shorter = "loop.num_iterations=3,training.first_epochs=8,final_evaluation.num_images=4"
    finished = kedro("--env", name, "--params", f"run={name},{shorter}")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    summary = json.loads(Path(f"data/08_reporting/{name}/summary.json").read_text())
    assert (summary["iterations"], summary["images_rendered"]) == (3, 76), "40 pilot images and 3 times 12"
    for when in ("start", "learned"):
        found = summary["simulator_parameters"][when]
        assert found["brightness"] == pytest.approx(60, abs=15), "configured far too dark, at 20"
        assert (found["ball_x"], found["box_x"]) == pytest.approx((-0.4, 0.4), abs=0.15), "configured at 0.5, -0.5"

    again = CliRunner().invoke(cli, ["new-simulator", name, *option])
    assert again.exit_code == 1
    assert again.output == f"Error: {files[0]} exists already, and nothing is overwritten: choose another name\n"
    assert [Path(file).read_bytes() for file in files] == contents


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("../room", "lower-case letters, digits and _"),
        ("Room", "lower-case letters, digits and _"),
        ("", "lower-case letters, digits and _"),
        ("3d", "lower-case letters, digits and _"),
        ("class", "lower-case letters, digits and _"),
        ("toy", "toy is the name of another module or simulator already"),
        ("numpy", "numpy is the name of another module or simulator already"),
        ("base", "conf/base exists already"),
        ("room", "src/room.py exists already"),
    ],
)
def test_name_that_is_no_name_or_taken_is_refused_and_nothing_is_written(
    name: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "conf/base").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/room.py").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((ValueError, FileExistsError), match=complaint):
        new_simulator(tmp_path, name, external=False)
    assert sorted(tmp_path.rglob("*")) == before
