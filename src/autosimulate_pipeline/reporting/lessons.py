"""What a run has taught, in three sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autosimulate_pipeline.distributions import Gaussian, ProductDistribution
from autosimulate_pipeline.distributions.discrete import Discrete
from autosimulate_pipeline.inference import Inference
from autosimulate_pipeline.records import STAGES
from autosimulate_pipeline.reporting.inference_words import accuracy_in_words, identified_best_first
from autosimulate_pipeline.reporting.parameter_charts import learned_names, rounded
from autosimulate_pipeline.reporting.summary import METRIC_LABELS, headline, test_metrics
from autosimulate_pipeline.reporting.svg import number

NUM_MOVES = 3

NUM_BEST, NUM_LEFT_OPEN = 3, 6
"""How many parameters a sentence about inference names."""


def lessons(
    summary: Mapping[str, Any], start: ProductDistribution, learned: ProductDistribution, num_fresh: int, num_test: int
) -> list[str]:
    """What the learned ψ is worth, what moved, and what it cost.

    Args:
        num_fresh, num_test: images that the compared networks were retrained on, and tested on.
    """
    return [_worth(summary, num_fresh, num_test), _moves(summary, start, learned), _cost(summary)]


def lessons_without_simulator(summary: Mapping[str, Any], images: Mapping[str, int]) -> list[str]:
    """What the labelled images alone are worth, and what that cost.

    Args:
        images: how many were "labelled", how many variants of them (themselves included) were "trained on", how many
            were for the "test".
    """
    (values,) = test_metrics(summary).values()
    metric = headline(values)
    others = [f"{METRIC_LABELS[other]} {value:.3f}" for other, value in values.items() if other != metric]
    return [
        f"Trained on {_count(images['labelled'], 'labelled image')} alone, in {images['trained on']} variants, the "
        f"network reaches a test {metric} of {values[metric]:.3f} ({'; '.join(others)}; {images['test']} test images).",
        "Nothing was rendered and no simulator parameter was learned: a search has to do better than this where the "
        "labelled images may be trained on.",
        f"It took {_time(summary['seconds'])}.",
    ]


def lessons_of_inference(inference: Inference) -> list[str]:
    """What the labelled images show best, what they leave open, and where no render is like them."""
    return [_identified(inference), _left_open(inference), _gap(inference)]


def _identified(inference: Inference) -> str:
    learned, answers = inference.distribution.learned, inference.parameters
    best = [
        f"{name} ({accuracy_in_words(learned[name], answers[name])})"
        for name in identified_best_first(inference)[:NUM_BEST]
    ]
    shown = f"The labelled images show {len(inference.identified)} of {_count(len(answers), 'simulator parameter')}"
    return f"{shown}, best {_listed(best)}." if best else f"{shown}."


def _left_open(inference: Inference) -> str:
    left_open = inference.unidentified
    if not left_open:
        return "They leave none open."
    named = left_open if len(left_open) <= NUM_LEFT_OPEN else [*left_open[:NUM_LEFT_OPEN], "others"]
    return f"They leave {len(left_open)} open, as wide as before: {_listed(named)}."


def _gap(inference: Inference) -> str:
    if not inference.outside:
        return "No statistic of the labelled images lies outside what the renders show."
    (statistic, share), num_outside = next(iter(inference.outside.items())), len(inference.outside)
    lie = "lies" if num_outside == 1 else "lie"
    return (
        f"{_count(num_outside, 'statistic')} of the labelled images {lie} outside what the renders show, most of all "
        f"{statistic} (in {100 * share:.0f}\u00a0% of them): the simulator does not imitate that within its ranges."
    )


def _worth(summary: Mapping[str, Any], num_fresh: int, num_test: int) -> str:
    test = test_metrics(summary)
    metric = headline(test["learned"])
    others = [
        f"{METRIC_LABELS[other]} {test['learned'][other]:.3f} against {test['start'][other]:.3f}"
        for other in test["learned"]
        if other != metric
    ]
    return (
        f"Retrained on {num_fresh} fresh images, the network reaches a test {metric} of "
        f"{test['learned'][metric]:.3f} with the learned parameters and {test['start'][metric]:.3f} with those of the "
        f"start ({'; '.join(others)}; {num_test} test images)."
    )


def largest_moves(start: ProductDistribution, learned: ProductDistribution) -> list[tuple[float, str]]:
    """How far each parameter moved, from the furthest: the share of a Gaussian's range, or of all probability."""
    moves: list[tuple[float, str]] = []
    for name in learned_names(start):
        before, after = start.parameters[name], learned.parameters[name]
        if isinstance(before, Gaussian) and isinstance(after, Gaussian):
            share = abs(after.mean - before.mean) / (before.high - before.low)
            told = f"{name} from {number(rounded(before.mean))} to {number(rounded(after.mean))}\u00a0{before.unit}"
            moves.append((share, told.strip()))
        elif isinstance(before, Discrete) and isinstance(after, Discrete):
            changes = after.weights() - before.weights()
            most = int(changes.abs().argmax())
            low, high = 100 * before.weights()[most].item(), 100 * after.weights()[most].item()
            told = f"P({name} = {before.values[most]}) from {low:.0f} to {high:.0f}\u00a0%"
            moves.append((abs(high - low) / 100, told))
    return sorted(moves, key=lambda move: -move[0])


def _moves(summary: Mapping[str, Any], start: ProductDistribution, learned: ProductDistribution) -> str:
    moves = [told for share, told in largest_moves(start, learned) if share > 0]
    stopped = f" (stopped early by its {summary['stopped']})" if summary["stopped"] else ""
    loop = f"In {_count(summary['iterations'], 'iteration')}{stopped} and {summary['images_rendered']} rendered images "
    if not moves:
        return f"{loop}no simulator parameter moved: {summary['method']} leaves them where they start."
    return f"{loop}the simulator's largest moves were {_listed(moves[:NUM_MOVES])}."


def _cost(summary: Mapping[str, Any]) -> str:
    own = test_metrics(summary)["own"]
    metric = headline(own)
    return (
        f"It took {_time(summary['seconds'])}; the run's own network, trained on all its images, reaches a test "
        f"{metric} of {own[metric]:.3f}."
    )


def _time(seconds: Mapping[str, float]) -> str:
    """`1 min 35 s in all (63 % render and 32 % train)`."""
    largest = sorted((*STAGES, "other"), key=lambda stage: -seconds[stage])[:2]
    shares = _listed([f"{100 * seconds[stage] / max(seconds['total'], 1e-9):.0f} % {stage}" for stage in largest])
    return f"{duration(seconds['total'])} in all ({shares})"


def duration(seconds: float) -> str:
    """`42 s`, `9 min 32 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _count(number_of: int, noun: str) -> str:
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) if len(words) < 2 else f"{', '.join(words[:-1])} and {words[-1]}"
