"""The page of a run, and the page that compares runs: whole, self-contained, and right where it gives figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pydantic import TypeAdapter

import cases
from autosimulate_pipeline.cli import cli
from autosimulate_pipeline.distributions import ProductDistribution
from autosimulate_pipeline.evaluation.comparison import bootstrap_interval
from autosimulate_pipeline.pipelines.reporting.nodes import typed_command
from autosimulate_pipeline.provenance import Provenance
from autosimulate_pipeline.records import (
    AnnotatedDataset,
    AnnotatedImage,
    EvaluationReport,
    HypergradientReport,
    Prediction,
    StageSeconds,
)
from autosimulate_pipeline.reporting import frames, summary
from autosimulate_pipeline.reporting.report import FinishedRun, key_frames, render_report
from autosimulate_pipeline.reporting.run_comparison import grouped, network_rows, render_comparison
from autosimulate_pipeline.reporting.summary import metrics, summarise, summarise_validation_only
from autosimulate_pipeline.reporting.validation_only_report import ValidationOnlyRun, render_validation_only_report
from autosimulate_pipeline.runs.folders import read_runs
from autosimulate_pipeline.search.base import SearchState

VOID = {"meta", "img", "input", "link", "br", "hr"}
NUM_ITERATIONS = 7
PROVENANCE = (Provenance({"Python": "3.11"}, "abc123-dirty", "a processor", {"task_model.weights": "f00"}),)


class Page(HTMLParser):
    """The page's tags and attributes; refuses tags that are closed in another order than they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def annotated(shade: int) -> AnnotatedImage:
    mask = np.zeros((24, 32), dtype=np.uint8)
    mask[4:10, 5:12], mask[12:20, 15:25] = 1, 2
    return AnnotatedImage(np.full((24, 32, 3), shade, dtype=np.uint8), mask, (1, 2))


def dataset() -> AnnotatedDataset:
    return AnnotatedDataset(("cube", "<b>ball</b>"), tuple(annotated(20 * k) for k in range(9)))


def report_of(value: float, has_iou: bool = True) -> EvaluationReport:
    by_category = {"cube": value, "<b>ball</b>": value}
    return EvaluationReport(
        loss=1 - value,
        map=value / 2,
        map50=0.7 * value,
        miou=value if has_iou else 0.0,
        ap_by_category=by_category,
        iou_by_category=by_category if has_iou else {},
        num_images=5,
    )


def states() -> list[SearchState]:
    start = ProductDistribution.model_validate(cases.TOY_START)
    direction = torch.ones(start.num_parameters, dtype=torch.float64)
    moved = [start]
    for _ in range(NUM_ITERATIONS):
        moved.append(moved[-1].stepped(direction, 0.1).annealed(0.97))
    return [
        SearchState(method="autosimulate", seed=3, iteration=k, distribution=distribution, images_rendered=30 * k)
        for k, distribution in enumerate(moved)
    ]


def finished_run(has_iou: bool = True) -> FinishedRun:
    path, images = states(), dataset()
    validation = [report_of(0.1 * (k + 1), has_iou) for k in range(NUM_ITERATIONS)]
    test = {where: report_of(value, has_iou) for where, value in (("start", 0.2), ("learned", 0.7), ("own", 0.75))}
    boxes = Prediction((1,), (0.9,), instance_boxes=np.array([[2.0, 3.0, 10.0, 8.0]]))
    masks = Prediction((1,), (0.9,), semantic_mask=images.images[0].semantic_mask)
    found = [masks if has_iou else boxes] * 3
    shown = AnnotatedDataset(images.categories, images.images[:3])
    generator = torch.Generator().manual_seed(0)
    draws = [state.distribution.sample(30, generator) for state in path[:-1]]
    hypergradients = [
        HypergradientReport(gradient={"x": 0.1}, influences=tuple(range(30)), norm=0.1, solver_outcome="max_steps")
        if k
        else HypergradientReport()
        for k in range(NUM_ITERATIONS)
    ]
    return FinishedRun(
        summary=summarise(
            run="named",
            experiment="toy",
            mode="recommended",
            start=path[0],
            learned=path[-1],
            validation=validation,
            test=test,
            seconds=StageSeconds(render=60, train=30, other=5, total=95),
            provenance=PROVENANCE,
        ),
        categories=images.categories,
        settings={"task_model": {"type": "unet"}, "loop": {"num_images": 30}},
        command="kedro run --params seed=3",
        images={"loop": 210, "retraining, each": 40, "validation": 3, "test": 9},
        states=path,
        validation=validation,
        hypergradients=hypergradients,
        draws=draws,
        test=test,
        frames=[frames.frame(k, images, shown, found) for k in range(NUM_ITERATIONS)],
        validation_sheet=frames.sheet(shown),
        test_sheet=frames.sheet(shown),
        retrained={where: frames.retrained(images, shown, found) for where in ("start", "learned")},
    )


@pytest.fixture(scope="module")
def text() -> str:
    return render_report(finished_run())


def assert_self_contained(page: Page, text: str) -> None:
    sources = [attributes["src"] or "" for tag, attributes in page.tags if "src" in attributes]
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not page.attributes("link") and "@import" not in text and "url(" not in text
    assert not re.search(r"https?://", text)
    assert all((link["href"] or "").startswith("#") for link in page.attributes("a"))


def test_page_is_whole_and_needs_nothing_from_outside(text: str) -> None:
    page = Page(text)
    assert_self_contained(page, text)
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert set(ids.values()) == {1}
    assert {(link["href"] or "")[1:] for link in page.attributes("a")} <= ids.keys()
    assert page.attributes("img") and all(image["alt"] for image in page.attributes("img"))
    assert all(figure["aria-label"] for figure in page.attributes("svg"))
    assert "None" not in page.text and "nan" not in page.text.split()
    assert "<b>ball</b>" not in text and "<b>ball</b>" in page.text, "names are escaped"


def test_page_tells_what_was_learned_with_its_figures(text: str) -> None:
    words = " ".join(Page(text).text.split())
    assert "reaches a test mIoU of 0.700 with the learned parameters and 0.200 with those of the start" in words
    assert "In 7 iterations and 210 rendered images" in words
    assert "It took 1 min 35 s in all (63 % render and 32 % train)" in words
    assert "kedro run --params seed=3" in words
    assert "commit abc123-dirty · a processor · Python 3.11" in words and "task_model.weightsf00" in words
    charts = [label["aria-label"] for label in Page(text).attributes("svg")]
    for name in cases.TOY_START:
        assert any(chart and chart.startswith(name) for chart in charts), name


def test_slider_has_every_iteration_and_paper_a_few(text: str) -> None:
    page = Page(text)
    classes = [(attributes.get("class") or "").split() for tag, attributes in page.tags if tag == "div"]
    marked = [of_one for of_one in classes if "frame" in of_one]
    assert len(marked) == NUM_ITERATIONS
    assert [k for k, of_one in enumerate(marked) if "key-frame" in of_one] == [0, 2, 3, 4, 6]
    assert "current" in marked[-1]
    (slider,) = page.attributes("input")
    assert slider["max"] == str(NUM_ITERATIONS - 1)


def test_browser_runs_the_page(text: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    (tmp_path / "report.html").write_text(text)
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command += ["--dump-dom", (tmp_path / "report.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(r'<html[^>]* class="js"', shown), "the script has run"


def test_detector_has_no_miou_anywhere() -> None:
    run = finished_run(has_iou=False)
    text = render_report(run)
    assert "mIoU" not in text and "IoU," not in text
    assert "test mAP of 0.350" in text
    assert run.summary["test_miou"] == {"start": None, "learned": None, "own": None}
    assert run.summary["val_miou"] == [None] * NUM_ITERATIONS
    assert [run.summary[key]["own"] for key in ("test_map", "test_map50", "test_miou")] == [
        0.375,
        pytest.approx(0.525),
        None,
    ]
    assert metrics(report_of(0.5, has_iou=False)) == {"mAP": 0.25, "mAP50": 0.35}
    assert summary.test_metrics(run.summary)["learned"].keys() == {"mAP", "mAP50"}


@pytest.mark.parametrize("has_iou", [True, False], ids=["segmentation", "detector"])
def test_run_on_the_labelled_images_alone_has_a_page_too(has_iou: bool) -> None:
    search, report = finished_run(has_iou), report_of(0.6, has_iou)
    seconds = StageSeconds(train=30, other=5, total=35)
    run = ValidationOnlyRun(
        summary=summarise_validation_only("alone", "toy", 3, report, seconds, PROVENANCE),
        categories=search.categories,
        settings={"task_model": {"type": "unet"}},
        command="kedro run --pipeline validation_only",
        images={"labelled": 3, "trained on": 42, "test": 9},
        test={"validation_only": report},
        test_sheet=search.test_sheet,
        retrained=search.retrained["learned"],
    )
    text = render_validation_only_report(run)
    page = Page(text)
    assert_self_contained(page, text)
    words = " ".join(page.text.split())
    metric = "mIoU of 0.600" if has_iou else "mAP of 0.300"
    assert f"Trained on 3 labelled images alone, in 42 variants, the network reaches a test {metric}" in words
    assert "It took 35 s in all (86 % train and 14 % other)." in words
    assert ("IoU" in page.text) == has_iou
    assert len(page.attributes("img")) == 2 * 8 + 3 + 3
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert (
        {(link["href"] or "")[1:] for link in page.attributes("a")} == ids == {"training", "test", "cost", "reproduce"}
    )


def test_run_without_hypergradient_or_learned_parameter_has_neither_section() -> None:
    run = finished_run()
    uniform = run.states[0].distribution.uniform()
    still = [state.model_copy(update={"distribution": uniform, "method": "frozen"}) for state in run.states]
    told = {**run.summary, "method": "frozen"}
    text = render_report(
        replace(run, states=still, summary=told, hypergradients=[HypergradientReport()] * NUM_ITERATIONS)
    )
    page = Page(text)
    assert "no simulator parameter moved" in page.text and "frozen learns no simulator parameter" in page.text
    assert "hypergradient" not in {attributes.get("id") for _, attributes in page.tags}


def test_run_that_stopped_early_shows_what_it_has() -> None:
    run = finished_run()
    num_done = 4
    stopped = run.states[num_done].model_copy(update={"stopped": "image budget: 120 of 130 images rendered"})
    path = [*run.states[:num_done], *[stopped] * (NUM_ITERATIONS + 1 - num_done)]
    shown = [frame if frame.iteration < num_done else frames.Frame(frame.iteration) for frame in run.frames]
    told = {**run.summary, "stopped": stopped.stopped, "iterations": num_done}
    text = render_report(replace(run, states=path, validation=run.validation[:num_done], frames=shown, summary=told))
    assert len(re.findall(r'class="frame\b', text)) == num_done
    assert "stopped early by its image budget" in text


@pytest.mark.parametrize(("num_frames", "shown"), [(1, {0}), (2, {0, 1}), (9, {0, 2, 4, 6, 8})])
def test_key_frames_are_evenly_spread(num_frames: int, shown: set[int]) -> None:
    assert key_frames([frames.Frame(k) for k in range(num_frames)]) == shown


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three seeds of one method, and a run of another method that has not come to its end."""
    path = states()
    for name, pipeline, seed, level in (
        ("a", "autosimulate", 0, 0.5),
        ("b", "autosimulate", 1, 0.6),
        ("c", "autosimulate", 2, 0.7),
        ("late", "frozen", 0, None),
    ):
        reporting, output = (tmp_path / "data" / layer / name for layer in ("08_reporting", "07_model_output"))
        reporting.mkdir(parents=True)
        output.mkdir(parents=True)
        settings = {"pipeline": pipeline, "run": name, "seed": seed, "loop.num_images": 30}
        (reporting / "parameters.json").write_text(json.dumps(settings))
        for k in range(3 if level is None else NUM_ITERATIONS):
            report = replace(report_of(0.1 * (k + 1)), loss=1.0)
            (output / f"validation_report_{k:03d}.json").write_bytes(TypeAdapter(EvaluationReport).dump_json(report))
            (output / f"state_{k:03d}.json").write_text(path[k].model_dump_json())
            seconds = StageSeconds(total=60.0 * (k + 1))
            (output / f"stage_seconds_{k:03d}.json").write_bytes(TypeAdapter(StageSeconds).dump_json(seconds))
        if level is not None:
            (output / f"state_{NUM_ITERATIONS:03d}.json").write_text(path[-1].model_dump_json())
            test = {where: report_of(level) for where in ("start", "learned", "own")}
            told = summarise(
                run=name,
                experiment="toy",
                mode="recommended",
                start=path[0],
                learned=path[-1],
                validation=[report_of(level)],
                test=test,
                seconds=StageSeconds(),
                provenance=PROVENANCE,
            )
            (reporting / "summary.json").write_text(json.dumps(told))
    return tmp_path / "data"


def test_runs_that_differ_by_seed_are_one_group_with_an_interval(data: Path) -> None:
    groups = grouped(read_runs(data, ["a", "late", "b", "c", "a"]))
    assert [(group.label, [run.name for run in group.runs]) for group in groups] == [
        ("autosimulate", ["a", "b", "c"]),
        ("frozen", ["late"]),
    ]
    rows = {(label, where): (count, told) for label, where, count, told in network_rows(groups)}
    count, told = rows["autosimulate", "learned"]
    assert count == 3
    assert told["mIoU"] == str(bootstrap_interval([0.5, 0.6, 0.7]))
    assert not any(label == "frozen" for label, _ in rows), "it was not tested"


def test_comparison_shows_curves_parameters_and_what_differs(data: Path) -> None:
    text = render_comparison(read_runs(data, ["a", "b", "late"]))
    page = Page(text)
    assert_self_contained(page, text)
    charts = [chart["aria-label"] or "" for chart in page.attributes("svg")]
    assert {"Validation mIoU by images", "Validation mIoU by minutes"} <= {chart.partition(":")[0] for chart in charts}
    assert "pipeline" in page.text and "loop.num_images" not in page.text
    assert "square_x" in page.text


@pytest.mark.parametrize(
    ("typed", "env", "command"),
    [
        ("kedro run --params seed=1", "", "kedro run --params seed=1"),
        ("kedro run --params seed=1", "smoke", "kedro run --env smoke --params seed=1"),
        ("kedro run -e room", "smoke", "kedro run -e room"),
        ("kedro run --env=room", "smoke", "kedro run --env=room"),
        ("bin/autosimulate-pipeline --env smoke", "", "kedro run --env smoke"),
        ("ipykernel_launcher.py", "smoke", ""),
    ],
)
def test_command_has_the_environment_wherever_it_was_named(
    typed: str, env: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", typed.split())
    monkeypatch.setenv("KEDRO_ENV", env)
    assert typed_command() == command


def test_command_writes_the_page(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    done = CliRunner().invoke(cli, ["report", "--compare", "a", "late"])
    assert (done.exit_code, done.output.strip()) == (0, "data/08_reporting/comparison.html")
    Page(Path("data/08_reporting/comparison.html").read_text())
    done = CliRunner().invoke(cli, ["report", "--compare", "a", "--output", "elsewhere/page.html"])
    assert done.exit_code == 0 and Path("elsewhere/page.html").exists()


@pytest.mark.parametrize("name", ["unknown", "../08_reporting/a", "."])
def test_unknown_run_is_refused_in_one_line_with_those_there_are(
    name: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    done = CliRunner().invoke(cli, ["report", "--compare", "a", name])
    assert done.exit_code == 1
    assert done.output == f"Error: run must be one of a, b, c, late, got '{name}'\n"


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        (
            "08_reporting/a/parameters.json",
            '{"loop":',
            "is damaged (Expecting value: line 1 column 9 (char 8)): delete it and",
        ),
        ("08_reporting/a/parameters.json", "[1]", "is damaged (wanted a JSON object, got list): delete it and"),
        ("08_reporting/a/summary.json", "{}", "is damaged ('test_map'): delete it and"),
        (
            "07_model_output/a/state_002.json",
            "{}",
            "does not fit this version of the code (method: Field required): use the version that wrote it, "
            "or delete it and",
        ),
    ],
)
def test_damaged_file_of_a_run_is_named(
    file: str, text: str, complaint: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    (data / file).write_text(text)
    done = CliRunner().invoke(cli, ["report", "--compare", "a", "b"])
    assert done.exit_code == 1
    assert done.output == f"Error: data/{file} {complaint} rerun the command to regenerate it\n"
