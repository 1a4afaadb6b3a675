"""Files changed at random are read, or refused by their reader in one line: no other error, no crash, no long wait.

AUTOSIMULATE_FUZZ_EXAMPLES says how many changes are tried of each kind of file; by default few.
"""

from __future__ import annotations

import copy
import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError
from PIL import Image
from pycocotools import mask as coco_mask

from autosimulate_pipeline.annotations import read_bop, read_coco, read_objects, write_coco
from autosimulate_pipeline.annotations.checking import check_dataset
from autosimulate_pipeline.cad_models.models import read_mesh, read_models, write_models
from autosimulate_pipeline.datasets import RecordDataset
from autosimulate_pipeline.files.checked_files import read_pixels
from autosimulate_pipeline.simulators.external.protocol import read_answer
from autosimulate_pipeline.task_models.darknet_weights import load_darknet_weights
from autosimulate_pipeline.task_models.yolov3_spp import Convolution
from bad_inputs import DEEP, LAUGHS, box_glb, glb
from cases import TOY_START
from test_bad_input import bop_folder, two_images
from test_photoreal_models import box_model, write_textured
from test_yolo_writing import image as yolo_image
from test_yolo_writing import write_yolo_data, write_yolo_image

NUM_EXAMPLES = int(os.environ.get("AUTOSIMULATE_FUZZ_EXAMPLES", "15"))
MAX_SECONDS = 5  # of processor time; the files are a few kilobytes
MAX_NEW_BYTES = 4 * 2**30

few = settings(
    max_examples=NUM_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """A file that makes its reader take gigabytes fails its test, and not the machine."""
    num_pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (num_pages * resource.getpagesize() + MAX_NEW_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def files_of(write: Callable[[Path], object]) -> dict[str, bytes]:
    """What `write` writes to a folder, by path."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "written"
        write(folder)
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_yolo(folder: Path) -> None:
    for number, split in enumerate(("train", "val")):
        write_yolo_image(yolo_image([(1, slice(0, 3), slice(0, 3))]), folder, split, number)
    write_yolo_data(("bolt", "nut"), ("train", "val"), folder)


COCO = files_of(lambda folder: write_coco(two_images(), folder))
BOP = files_of(bop_folder)
YOLO = files_of(write_yolo)
MODELS = files_of(lambda folder: write_models([box_model()], folder))
OBJ = files_of(write_textured)
PLY = bytes(trimesh.creation.box((50, 50, 50)).export(file_type="ply"))
ASCII_PLY = bytes(trimesh.creation.box((50, 50, 50)).export(file_type="ply", encoding="ascii"))
GLB = glb(lambda header: None)
STATE = {
    "method": "autosimulate",
    "seed": 0,
    "distribution": TOY_START,
    "validation_losses": [1.5, 0.5],
    "trials": [{"point": [0.5], "reward": None}],
}
LAYERS = (Convolution(4, 3), Convolution(None, 1))
DARKNET = np.array([0, 2, 0, 0, 0], dtype="<i4").tobytes() + np.ones(16 + 4 * 27 + 255 * 5, dtype="<f4").tobytes()

TOKENS = [
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"[",
    b"{",
    b'"',
    b"\\u0000",
    b"\n",
    b"\xff\xfe",
    b"9" * 30,
    b"\0" * 4,
    b"\xff" * 4,
]
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1, 255, 256, 2**31, 2**63, 10**400]),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(-3, 40), max_size=12),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


@st.composite
def changed_bytes(draw: Any, content: bytes) -> bytes:
    """The content with a few pieces taken out, overwritten or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        num_lost = draw(st.sampled_from([0, 1, 4, len(content) // 2]))
        content = content[:start] + draw(st.binary(max_size=8) | st.sampled_from(TOKENS)) + content[start + num_lost :]
    return content


@st.composite
def changed_json(draw: Any, content: bytes) -> bytes:
    """JSON with a few of its values taken out, doubled or replaced."""
    values = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(values))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["replaced", "replaced", "taken out", "doubled"]))
        if what == "replaced":
            holder[key] = draw(HOSTILE)
        elif what == "taken out":
            del holder[key]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[draw(st.text(max_size=5))] = copy.deepcopy(holder[key])
    return json.dumps(values).encode()


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in the nested values, as what holds it and the key."""
    keys = list(values) if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    for key in keys:
        yield values, key
        yield from _places(values[key])


def json_or_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    return changed_json(content) | changed_bytes(content)


def with_header(text: bytes) -> bytes:
    """The cube as GLB, with this header."""
    return glb(lambda header: (header.clear(), header.update(json.loads(text))))


def restore(folder: Path, files: dict[str, bytes], name: str, content: bytes) -> None:
    """The folder with these files, one of another content."""
    for path, right in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if path == name else right)


def reads_or_refuses(read: Callable[[], object]) -> bool:
    """Whether it is read; it may be refused in one line, soon."""
    started = time.process_time()
    try:
        read()
    except (ValueError, FileNotFoundError) as refusal:
        assert str(refusal) and "\n" not in str(refusal) and len(str(refusal)) < 1000
        return False
    finally:
        assert time.process_time() - started < MAX_SECONDS
    return True


@few
@example(DEEP.encode())
@example(COCO["annotations.json"])
@given(json_or_bytes(COCO["annotations.json"]))
def test_coco(tmp_path: Path, content: bytes) -> None:
    restore(tmp_path, COCO, "annotations.json", content)
    reads_or_refuses(lambda: read_coco(tmp_path))
    reads_or_refuses(lambda: check_dataset(tmp_path))


def _runs(draw_counts: Any) -> bytes:
    values = json.loads(COCO["annotations.json"])
    values["annotations"] = values["annotations"][:1]
    values["annotations"][0] |= {"segmentation": {"size": [20, 31], "counts": draw_counts}, "bbox": [4, 3, 8, 6]}
    return json.dumps(values).encode()


RLE = json.loads(COCO["annotations.json"])["annotations"][0]["segmentation"]["counts"]


@few
@example(RLE)
@example([10**400, 1])
@example([2**62, 2**62, 2**62, 2**62, 620])
@example("o" * 5 + "0")
@given(
    st.lists(st.integers(-2, 90) | st.integers(), max_size=40)
    | st.text(alphabet=[chr(code) for code in range(48, 112)], max_size=40)
    | changed_bytes(RLE.encode()).map(lambda text: text.decode("latin-1"))
)
def test_run_lengths_are_refused_or_what_pycocotools_reads(tmp_path: Path, counts: str | list[int]) -> None:
    restore(tmp_path, COCO, "annotations.json", _runs(counts))
    if reads_or_refuses(lambda: read_coco(tmp_path)):
        rle: Any = {"size": [20, 31], "counts": counts}
        theirs = coco_mask.decode(coco_mask.frPyObjects(rle, 20, 31) if isinstance(counts, list) else rle)
        np.testing.assert_array_equal(read_coco(tmp_path).images[0].instance_mask, theirs)


@few
@given(changed_bytes(COCO["images/000000.png"]))
def test_png(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image").write_bytes(content)
    reads_or_refuses(lambda: read_pixels(tmp_path / "image", "RGB", turned=True))


def _jpeg() -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(two_images().images[0].image).save(file, "JPEG", exif=exif)
    return file.getvalue()


@few
@given(changed_bytes(_jpeg()))
def test_jpeg_with_exif(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image").write_bytes(content)
    reads_or_refuses(lambda: read_pixels(tmp_path / "image", "RGB", turned=True))


@pytest.mark.parametrize("name", [name for name in BOP if name.endswith(".json")])
@few
@given(data=st.data())
def test_bop(tmp_path: Path, name: str, data: st.DataObject) -> None:
    restore(tmp_path, BOP, name, data.draw(json_or_bytes(BOP[name])))
    reads_or_refuses(lambda: read_bop(tmp_path, read_objects(tmp_path)))
    reads_or_refuses(lambda: check_dataset(tmp_path))


@few
@example(LAUGHS.encode())
@example(b"[" * 1100)
@given(changed_bytes(YOLO["data.yaml"]))
def test_yolo_data(tmp_path: Path, content: bytes) -> None:
    restore(tmp_path, YOLO, "data.yaml", content)
    reads_or_refuses(lambda: check_dataset(tmp_path))


@few
@given(changed_bytes(YOLO["labels/train/000000.txt"]))
def test_yolo_labels(tmp_path: Path, content: bytes) -> None:
    restore(tmp_path, YOLO, "labels/train/000000.txt", content)
    reads_or_refuses(lambda: check_dataset(tmp_path))


@few
@given(changed_bytes(PLY) | changed_bytes(ASCII_PLY))
def test_ply(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mesh.ply").write_bytes(content)
    reads_or_refuses(lambda: read_mesh(tmp_path / "mesh.ply", 1, "box", 1))


@pytest.mark.parametrize("name", ["mesh.obj", "mesh.mtl"])
@few
@given(data=st.data())
def test_obj(tmp_path: Path, name: str, data: st.DataObject) -> None:
    restore(tmp_path, OBJ, name, data.draw(changed_bytes(OBJ[name])))
    reads_or_refuses(lambda: read_mesh(tmp_path / "mesh.obj", 1, "wedge", 1000))


@few
@given(changed_bytes(GLB) | changed_json(json.dumps(box_glb()[0]).encode()).map(with_header))
def test_glb(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mesh.glb").write_bytes(content)
    reads_or_refuses(lambda: read_mesh(tmp_path / "mesh.glb", 1, "cube", 1000))


@few
@given(json_or_bytes(MODELS["models_info.json"]))
def test_models(tmp_path: Path, content: bytes) -> None:
    restore(tmp_path, MODELS, "models_info.json", content)
    reads_or_refuses(lambda: read_models(tmp_path, {1: "box"}))


@few
@example(DARKNET)
@given(changed_bytes(DARKNET))
def test_darknet_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.weights").write_bytes(content)
    reads_or_refuses(lambda: load_darknet_weights(tmp_path / "a.weights", LAYERS, 80))


@few
@example(json.dumps(STATE).encode())
@example(DEEP.encode())
@given(json_or_bytes(json.dumps(STATE).encode()))
def test_state_of_a_search(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    record = RecordDataset(str(tmp_path / "state.json"), "autosimulate_pipeline.search.base.SearchState")

    def load() -> None:
        try:
            record.load()
        except DatasetError as wrapped:  # Kedro's, around the dataset's own
            assert wrapped.__cause__ is not None
            raise wrapped.__cause__ from None

    reads_or_refuses(load)


ANSWER = json.dumps(json.loads(COCO["annotations.json"]) | {"info": {"protocol_version": 1}}).encode()


@few
@given(json_or_bytes(ANSWER))
def test_answer_of_an_external_simulator(tmp_path: Path, content: bytes) -> None:
    restore(tmp_path, COCO, "annotations.json", content)
    reads_or_refuses(lambda: read_answer(tmp_path, 2, ("cube", "ball")))
