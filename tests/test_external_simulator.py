"""A command as a simulator: the protocol, and everything that a command can do wrong, told in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from autosimulate_pipeline.configuration import ConfigurationError, check_parameters
from autosimulate_pipeline.records import AnnotatedDataset, Progress, ignore_progress
from autosimulate_pipeline.simulators import ParallelSettings, build_simulator
from autosimulate_pipeline.simulators.external import protocol
from autosimulate_pipeline.simulators.external.command import CommandFailedError, run_command
from autosimulate_pipeline.simulators.external.protocol import RenderRequest, read_answer
from conftest import PROJECT
from test_own_simulator import parameters_with

SOURCES = PROJECT / "src/autosimulate_pipeline/simulators"
TEMPLATE = SOURCES / "templates/command.py"
SCENES: list[dict[str, Any]] = [{"ball_x": x, "box_x": -x, "brightness": 60.0} for x in (-0.6, -0.2, 0.2, 0.4, 0.6)]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where requests are written; nothing may be left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def render(
    command: list[str], scenes: list[dict[str, Any]] = SCENES, progress: Progress = ignore_progress, **parallel: Any
) -> AnnotatedDataset:
    settings = ParallelSettings(**{"num_workers": 1, "max_attempts": 1, **parallel})
    simulator = build_simulator("external", {"command": command, "categories": ["ball", "box"]}, settings)
    return simulator.render(scenes, list(range(len(scenes))), progress)


def python(code: str) -> list[str]:
    return ["python", "-c", code]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_template_renders_the_scenes_in_their_order_whatever_the_number_of_commands(temporary: Path) -> None:
    counts: list[int] = []
    together, apart = render(["python", str(TEMPLATE)]), render(["python", str(TEMPLATE)], num_workers=2)
    assert render(["python", str(TEMPLATE)], SCENES[:1], counts.append).categories == ("ball", "box")
    assert sum(counts) == 1
    for image, again in zip(together.images, apart.images, strict=True):
        assert image.image.shape == again.image.shape == (48, 48, 3)
        assert image.semantic_mask.tobytes() == again.semantic_mask.tobytes()
    balls = [np.nonzero(image.semantic_mask == 1)[1].mean() for image in together.images]
    # (x + 1)/2 of 47 pixels; a pixel for the raster
    assert balls == pytest.approx([(scene["ball_x"] + 1) / 2 * 47 for scene in SCENES], abs=1)
    assert together.images[0].image.tobytes() == apart.images[0].image.tobytes() != together.images[1].image.tobytes()
    assert not list(temporary.iterdir())
    assert render(["python", "-c", "1/0"], []).images == (), "no scenes, no command"


def test_request_is_what_its_schema_file_says() -> None:
    written = json.loads((SOURCES / "external/render_request.schema.json").read_text())
    assert written == RenderRequest.model_json_schema()


def test_request_holds_protocol_scenes_and_seeds(tmp_path: Path) -> None:
    copy = tmp_path / "request.json"
    code = f"import shutil, sys; shutil.copy(sys.argv[-1], {str(copy)!r}); sys.exit(3)"
    with pytest.raises(RuntimeError, match="exit status 3"):
        render(python(code), [{"ball_x": 0.25, "count": 3, "material": "metal"}] * 2)
    request = json.loads(copy.read_text())
    folder = Path(request.pop("output_folder"))
    assert folder.is_absolute() and folder.name == "output"
    parameters = {"ball_x": 0.25, "count": 3, "material": "metal"}
    scenes = [{"id": 1, "seed": 0, "parameters": parameters}, {"id": 2, "seed": 1, "parameters": parameters}]
    assert request == {"protocol_version": 1, "categories": ["ball", "box"], "scenes": scenes}
    with pytest.raises(ValidationError):
        RenderRequest.model_validate({**request, "output_folder": "/x", "protocol_version": 2})


def test_template_refuses_another_version_and_unknown_parameters(tmp_path: Path) -> None:
    request = {"protocol_version": 2, "output_folder": str(tmp_path), "categories": ["ball", "box"], "scenes": []}
    (tmp_path / "request.json").write_text(json.dumps(request))
    told = subprocess.run([sys.executable, TEMPLATE, tmp_path / "request.json"], capture_output=True, text=True)
    assert told.returncode == 1
    assert told.stderr.endswith("AssertionError: protocol version 1 is wanted, got 2\n")
    with pytest.raises(RuntimeError, match="exit status 1: .*other scene parameters than mine: {.*'teapot_x': 1"):
        render(["python", str(TEMPLATE)], [{**SCENES[0], "teapot_x": 1.0}])


def test_examples_of_the_documentation_are_a_request_and_an_answer(tmp_path: Path) -> None:
    text = (PROJECT / "docs/own_simulator.md").read_text()
    request, answer = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert [scene.id for scene in RenderRequest.model_validate_json(request).scenes] == [1, 2]
    (tmp_path / "annotations.json").write_text(answer)
    (tmp_path / "images").mkdir()
    for image in json.loads(answer)["images"]:
        Image.new("RGB", (image["width"], image["height"])).save(tmp_path / "images" / image["file_name"])
    first, second = read_answer(tmp_path, 2, ("ball", "box")).images
    assert (first.instance_categories, second.instance_categories) == ((2,), ())
    assert first.boxes.tolist() == [[20, 4, 3, 3]]


# What a command can do wrong


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"command": ["autosimulate-nowhere"]}, "autosimulate-nowhere is neither an executable file nor on PATH"),
        ({"command": ["plain.txt"]}, "plain.txt is neither an executable file nor on PATH"),
        ({"command": ["./plain.txt"]}, "./plain.txt must be executable: chmod +x ./plain.txt"),
        ({"command": []}, "command: tuple should have at least 1 item after validation, not 0, got []"),
        ({"command": "python room.py"}, "command: input should be a valid tuple, got 'python room.py'"),
        ({"command": ["python", 3]}, "command.1: input should be a valid string, got 3"),
        ({"categories": ["ball", "ball"]}, "categories must differ, got ball, ball"),
        ({"owners": {"ball_x": "cat"}}, "owners.ball_x must be one of ball, box, got 'cat'"),
        ({"timeout": 3}, "external has no option timeout, only command, categories, owners"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_options_are_named_before_anything_renders(
    options: dict[str, Any], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.txt").write_text("")
    simulator = {"type": "external", "options": {"command": ["python"], "categories": ["ball", "box"], **options}}
    with pytest.raises(ConfigurationError, match="^simulator.options: .*" + re.escape(complaint)) as told:
        check_parameters(parameters_with(simulator))
    assert "\n" not in str(told.value)


def test_command_that_fails_is_told_by_status_and_the_last_lines_of_its_stderr(temporary: Path) -> None:
    code = "import sys; print('fine'); print('a\\n\\nb\\nc\\x1b[31m\\nno GPU', file=sys.stderr); sys.exit(9)"
    with pytest.raises(RuntimeError, match="^python -c .*, attempt 1: exit status 9: ") as told:
        render(python(code))
    assert str(told.value).endswith("c [31m | no GPU")
    assert not list(temporary.iterdir())
    with pytest.raises(RuntimeError, match="exit status 1: only stdout$"):
        render(python("print('only stdout'); raise SystemExit(1)"))
    with pytest.raises(RuntimeError, match="ended by SIGSEGV: it printed nothing"):
        render(python("import os; os.kill(os.getpid(), 11)"))


def test_script_without_interpreter_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "room").write_text("no program\n")
    (tmp_path / "room").chmod(0o755)
    with pytest.raises(RuntimeError, match="room: .*Exec format error"):
        render([str(tmp_path / "room")])


def test_command_that_hangs_ends_with_its_children(tmp_path: Path, temporary: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time; print('loading', file=sys.stderr, flush=True);"
        f"child = subprocess.Popen(['sleep', '99']); print(os.getpid(), child.pid, file=open({str(pids)!r}, 'w'));"
        "time.sleep(99)"
    )
    with pytest.raises(RuntimeError, match="not finished after parallel.timeout_seconds = 2: loading"):
        render(python(code), timeout_seconds=2)
    assert not [pid for pid in map(int, pids.read_text().split()) if is_running(pid)]
    assert not list(temporary.iterdir())


def test_command_that_prints_much_is_never_held_up_and_its_end_is_told() -> None:
    code = (
        "import sys; [print('x' * 10**6, file=f) for f in (sys.stdout, sys.stderr) for _ in range(30)]; sys.exit('e')"
    )
    with pytest.raises(RuntimeError, match="exit status 1: x*") as told:
        render(python(code), timeout_seconds=60)
    assert str(told.value).endswith("| e")
    assert len(str(told.value)) < 1000


def test_failed_command_is_run_again_and_a_wrong_answer_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries = tmp_path / "tries"
    count = f"import runpy, sys; tries = open({str(tries)!r}, 'a+'); tries.write('x'); tries.seek(0);"
    flaky = count + f"len(tries.read()) < 3 and sys.exit('licence server'); runpy.run_path({str(TEMPLATE)!r})"
    assert len(render(python(flaky), SCENES[:1], max_attempts=3).images) == 1
    assert caplog.text.count("A render command failed and is run again: exit status 1: licence server") == 2
    with pytest.raises(RuntimeError, match=r"^python -c .*: annotations.json is missing$"):
        render(python(count), max_attempts=3)
    assert tries.read_text() == "xxxx"
    with pytest.raises(RuntimeError, match="attempt 2: exit status 1: no"):
        render(python("import sys; sys.exit('no')"), max_attempts=2)


def test_failure_of_one_command_and_ctrl_c_end_the_others_at_once(tmp_path: Path) -> None:
    hang = (
        "import json, runpy, sys, time; first = json.load(open(sys.argv[-1]))['scenes'][0]['seed'] == 0;"
        "not first and time.sleep(99);"
    )
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="exit status 1: broken"):
        render(python(hang + "sys.exit('broken')"), num_workers=2)

    def interrupt(_num_finished: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(python(hang + f"runpy.run_path({str(TEMPLATE)!r})"), progress=interrupt, num_workers=2)
    assert time.monotonic() - started < 60


def test_command_is_found_beside_this_python_and_keeps_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("AUTOSIMULATE_TEST", "kept")
    code = "import os, sys; sys.exit(f\"{sys.prefix} {os.environ['AUTOSIMULATE_TEST']} {len(sys.stdin.read())}\")"
    with pytest.raises(RuntimeError, match=re.escape(f"{sys.prefix} kept 0")):
        render(python(code))
    with pytest.raises(CommandFailedError, match="stopped"):
        stop = threading.Event()
        stop.set()
        run_command([sys.executable, "-c", "import time; time.sleep(99)"], 60, stop)


# What an answer can have wrong


@pytest.fixture(scope="module")
def good_answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the template answers to a request of two scenes."""
    folder = tmp_path_factory.mktemp("answer")
    scenes = [{"id": number, "seed": number, "parameters": SCENES[number]} for number in (1, 2)]
    request = {"protocol_version": 1, "output_folder": str(folder), "categories": ["ball", "box"], "scenes": scenes}
    path = tmp_path_factory.mktemp("request") / "request.json"
    path.write_text(json.dumps(request))
    subprocess.run([sys.executable, TEMPLATE, path], check=True)
    return folder


def same_file(answer: dict[str, Any], _folder: Path) -> None:
    answer["images"][1]["file_name"] = answer["images"][0]["file_name"]


def outside(answer: dict[str, Any], folder: Path) -> None:
    shutil.copy(folder / "images/1.png", folder.parent / "secret.png")
    answer["images"][0]["file_name"] = "../../secret.png"


def absolute(answer: dict[str, Any], folder: Path) -> None:
    shutil.copy(folder / "images/1.png", folder.parent / "secret.png")
    answer["images"][0]["file_name"] = str(folder.parent / "secret.png")


def link(_answer: dict[str, Any], folder: Path) -> None:
    shutil.move(folder / "images/1.png", folder.parent / "secret.png")
    (folder / "images/1.png").symlink_to(folder.parent / "secret.png")


def pipe(_answer: dict[str, Any], folder: Path) -> None:
    (folder / "images/1.png").unlink()
    os.mkfifo(folder / "images/1.png")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda answer, _: answer.pop("info"), "annotations.json: info: Field required"),
        (lambda answer, _: answer["info"].update(protocol_version=2), "info.protocol_version: Input should be 1"),
        (lambda answer, _: answer["images"].pop(), "image ids must be those of the scenes, 1 to 2, missing [2]"),
        (lambda answer, _: answer["images"].append({**answer["images"][0], "id": 7}), "1 to 2, got [7]"),
        (lambda answer, _: answer["images"].append(answer["images"][0]), "1 to 2, got one twice"),
        (same_file, "every image must have a file of its own"),
        (outside, "must stay inside"),
        (absolute, "must stay inside"),
        (link, "images/1.png must be a file or folder, got a link"),
        (pipe, "images/1.png is missing"),
        (lambda _, folder: (folder / "images/1.png").unlink(), "images/1.png is missing"),
        (lambda _, folder: (folder / "images/1.png").write_text("GIF89a"), "must be a PNG or JPEG image"),
        (lambda answer, _: answer["images"][0].update(width=64), "must be 64x48 as in annotations.json, got 48x48"),
        (lambda answer, _: answer["images"][0].update(width=10**6), "images.0.width"),
        (lambda answer, _: answer["annotations"][0].update(category_id=3), "category_id must be one of [1, 2], got 3"),
        (lambda answer, _: answer["annotations"][1].pop("segmentation"), "annotations.1.segmentation: Field required"),
        (lambda answer, _: answer["annotations"][0].update(segmentation=[]), "annotations.0.segmentation"),
        (lambda answer, _: answer["annotations"][0].update(bbox=[float("nan")] * 4), "bbox"),
        (lambda answer, _: answer["annotations"][0].update(bbox=[0, 0, 3, 3]), "bbox"),
        (lambda answer, _: answer["categories"].pop(), "category_id must be one of [1], got 2"),
        (lambda answer, _: answer["categories"].append({"id": 3, "name": "cat"}), "categories must be ball, box, got"),
        (lambda answer, _: answer["categories"].reverse(), None),
    ],
)
def test_wrong_answer_is_refused_in_one_line(
    damage: Callable[[dict[str, Any], Path], object], complaint: str | None, good_answer: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "output"
    shutil.copytree(good_answer, folder)
    answer = json.loads((folder / "annotations.json").read_text())
    damage(answer, folder)
    (folder / "annotations.json").write_text(json.dumps(answer))
    if complaint is None:  # the order of a list means nothing
        assert len(read_answer(folder, 2, ("ball", "box"))) == 2
        return
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(complaint)) as told:
        read_answer(folder, 2, ("ball", "box"))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{'a': 1}", b"\xff", b'{"info": '])
def test_answer_that_is_no_json_object_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_bytes(content)
    with pytest.raises(ValueError, match="annotations.json: ") as told:
        read_answer(tmp_path, 1, ("ball",))
    assert "\n" not in str(told.value)


def test_folder_that_is_a_link_or_too_large_is_refused(
    good_answer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "output").symlink_to(good_answer)
    with pytest.raises(ValueError, match="output must be a file or folder, got a link"):
        read_answer(tmp_path / "output", 2, ("ball", "box"))
    monkeypatch.setattr(protocol, "MAX_BYTES_PER_SCENE", 1000)
    with pytest.raises(ValueError, match="must hold at most 2,000 bytes for so many scenes, got "):
        read_answer(good_answer, 2, ("ball", "box"))


def test_image_without_instances_is_right(good_answer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "output"
    shutil.copytree(good_answer, folder)
    answer = json.loads((folder / "annotations.json").read_text())
    answer["annotations"] = []
    (folder / "annotations.json").write_text(json.dumps(answer))
    assert [image.instance_categories for image in read_answer(folder, 2, ("ball", "box")).images] == [(), ()]
