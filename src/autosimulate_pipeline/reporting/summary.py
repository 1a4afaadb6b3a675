"""A run in numbers: what `summary.json` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autosimulate_pipeline.distributions import Gaussian
from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.inference import Inference
from autosimulate_pipeline.provenance import History
from autosimulate_pipeline.records import EvaluationReport, StageSeconds
from autosimulate_pipeline.search.base import SearchState

METRIC_LABELS = {"mAP": "mAP", "mAP50": "mAP@.5", "mIoU": "mIoU"}
"""What people call the metrics; MLflow takes no @."""

TEST_LABELS = {
    "pilot": "trained on the pilot images alone",
    "start": "retrained at the start ψ",
    "learned": "retrained at the learned ψ",
    "own": "the run's own, trained on all its images",
    "validation_only": "trained on the validation images alone",
}
"""What people call the networks that are tested."""

_SUMMARY_KEYS = {"mAP": "test_map", "mAP50": "test_map50", "mIoU": "test_miou"}


def metrics(report: EvaluationReport) -> dict[str, float]:
    """mAP, mAP at IoU 0.5, and mIoU, which boxes have none of."""
    values = {"mAP": report.map, "mAP50": report.map50}
    return values | ({"mIoU": report.miou} if report.iou_by_category else {})


def headline(values: Mapping[str, float]) -> str:
    """The metric that stands for the others: mIoU, or mAP where it is not defined."""
    return "mIoU" if "mIoU" in values else "mAP"


def test_metrics(summary: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The test metrics of every network that a summary reports on, by its key; undefined ones left out."""
    by_network = {
        where: {metric: summary.get(key, {}).get(where) for metric, key in _SUMMARY_KEYS.items()}
        for where in summary["test_map"]
    }
    return {
        where: {metric: value for metric, value in of_network.items() if value is not None}
        for where, of_network in by_network.items()
    }


def tracked_test_metrics(tests: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """What `test_metrics` gives by the names that MLflow has for it, such as `test/mIoU/learned`."""
    return {f"test/{metric}/{where}": value for where, metrics in tests.items() for metric, value in metrics.items()}


def summarise_validation_only(
    run: str, experiment: str, seed: int, test: EvaluationReport, seconds: StageSeconds, provenance: History
) -> dict[str, Any]:
    """A run that trained on the labelled images alone: no image rendered, nothing searched."""
    on_test = metrics(test)
    return {
        "run": run,
        "method": "validation_only",
        "experiment": experiment,
        "seed": seed,
        "images_rendered": 0,
        "seconds": _rounded(seconds),
        **{key: {"validation_only": on_test.get(metric)} for metric, key in _SUMMARY_KEYS.items()},
        "provenance": [asdict(of_one) for of_one in provenance],
    }


def summarise_inference(
    run: str, experiment: str, seed: int, inference: Inference, seconds: StageSeconds, provenance: History
) -> dict[str, Any]:
    """A run that inferred ψ and searched nothing: no network was trained or tested."""
    return {
        "run": run,
        "method": "inference",
        "experiment": experiment,
        "seed": seed,
        "images_rendered": inference.num_pilot_images,
        "seconds": _rounded(seconds),
        **{key: {} for key in _SUMMARY_KEYS.values()},
        "inference": inference_summary(inference),
        "provenance": [asdict(of_one) for of_one in provenance],
    }


def inference_summary(inference: Inference) -> dict[str, Any]:
    """What was inferred, and from what, as plain JSON values; the answers for single images are left out.

    A Gaussian has its `mean`, in its own unit, and its `width`, a share of its range, as in conf; others have
    `probabilities`, or whatever their entries of ψ are, by value.
    """
    learned = inference.distribution.learned
    return {
        "num_pilot_images": inference.num_pilot_images,
        "num_labelled_images": inference.num_labelled_images,
        "has_masks": inference.has_masks,
        "parameters": {
            name: {
                "identified": answer.is_identified,
                "measure": answer.measure,
                "score": answer.score,
                "source": answer.source,
                "statistics": dict(answer.statistics),
                **_inferred(learned[name]),
            }
            for name, answer in inference.parameters.items()
        },
        "outside": dict(inference.outside),
    }


def _inferred(distribution: LearnableDistribution) -> dict[str, Any]:
    if isinstance(distribution, Gaussian):
        return {"mean": distribution.mean, "width": distribution.width}
    return {"probabilities": distribution.entries()}


def inference_metrics(inference: Inference) -> dict[str, float]:
    """What tracking shows of an inference: by parameter its score and whether it is identified; the gap as a count."""
    answers = inference.parameters
    return {
        **{f"inference/score/{name}": answer.score for name, answer in answers.items()},
        **{f"inference/identified/{name}": float(answer.is_identified) for name, answer in answers.items()},
        "inference/num_outside": float(len(inference.outside)),
    }


def summarise(
    *,
    run: str,
    experiment: str,
    mode: str,
    start: SearchState,
    learned: SearchState,
    validation: Sequence[EvaluationReport],
    test: Mapping[str, EvaluationReport],
    seconds: StageSeconds,
    provenance: History,
    inference: Inference | None = None,
) -> dict[str, Any]:
    """The run as plain JSON values; mIoU is null where it is not defined, for detectors.

    Lists go by iteration. `start` and `learned` are networks retrained from scratch on as many fresh images from the ψ
    before and after the loop; `own` is trained on all images of the run, `pilot` on the pilot images alone.

    Args:
        test: reports on the test images, for "start", "learned", "own" and, with pilot images, "pilot".
        inference: what the search started from; None: conf's ψ.
    """
    on_validation = [metrics(report) for report in validation]
    on_test = {where: metrics(report) for where, report in test.items()}
    return {
        "run": run,
        "method": learned.method,
        "experiment": experiment,
        "mode": mode,
        "seed": learned.seed,
        "iterations": learned.iteration,
        "stopped": learned.stopped,
        "images_rendered": learned.images_rendered,
        "seconds": _rounded(seconds),
        "val_map": [of_one["mAP"] for of_one in on_validation],
        "val_map50": [of_one["mAP50"] for of_one in on_validation],
        "val_miou": [of_one.get("mIoU") for of_one in on_validation],
        "val_loss": [report.loss for report in validation],
        **{
            key: {where: values.get(metric) for where, values in on_test.items()}
            for metric, key in _SUMMARY_KEYS.items()
        },
        "simulator_parameters": {
            "start": start.distribution.entries(),
            "learned": learned.distribution.entries(),
        },
        **({"inference": inference_summary(inference)} if inference is not None else {}),
        "provenance": [asdict(of_one) for of_one in provenance],
    }


def _rounded(seconds: StageSeconds) -> dict[str, float]:
    return {stage: round(value, 2) for stage, value in asdict(seconds).items()}
