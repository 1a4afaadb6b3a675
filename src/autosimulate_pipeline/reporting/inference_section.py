"""The part of a report that shows what was inferred from the labelled images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from autosimulate_pipeline.distributions.base import LearnableDistribution
from autosimulate_pipeline.distributions.discrete import Discrete
from autosimulate_pipeline.inference import Inference, ParameterAnswer
from autosimulate_pipeline.reporting.inference_charts import answer_chart
from autosimulate_pipeline.reporting.inference_words import decided_by, identified_best_first, quality


@dataclass(frozen=True)
class Finding:
    """One simulator parameter on the page.

    Attributes:
        chart: empty for a distribution that inference cannot read.
        quality: whether the images show it, and how accurate the answers are.
        decided_by: the statistics that decided most; empty where none did.
        range: what it was drawn from for the pilot images.
    """

    name: str
    chart: Markup
    quality: str
    decided_by: str
    range: str


@dataclass(frozen=True)
class InferenceSection:
    """What the template shows.

    Attributes:
        identified: parameters that the labelled images show, numbers before choices, each from the best shown.
        unidentified: the other learned parameters, in conf's order.
        outside: statistics that no render reaches, with the share of the labelled images for which that is so.
        num_pilot_images, num_labelled_images: as in `Inference`.
        has_masks: whether masks show objects' pixels, or boxes alone.
    """

    identified: list[Finding]
    unidentified: list[Finding]
    outside: Mapping[str, float]
    num_pilot_images: int
    num_labelled_images: int
    has_masks: bool


def inference_section(inference: Inference) -> InferenceSection:
    """The inference as the template wants it."""
    learned = inference.distribution.learned

    def finding(name: str) -> Finding:
        return _finding(name, learned[name], inference.parameters[name])

    identified = sorted(identified_best_first(inference), key=lambda name: isinstance(learned[name], Discrete))
    return InferenceSection(
        identified=[finding(name) for name in identified],
        unidentified=[finding(name) for name in inference.unidentified],
        outside=inference.outside,
        num_pilot_images=inference.num_pilot_images,
        num_labelled_images=inference.num_labelled_images,
        has_masks=inference.has_masks,
    )


def _finding(name: str, inferred: LearnableDistribution, answer: ParameterAnswer) -> Finding:
    return Finding(
        name=name,
        chart=answer_chart(name, inferred, answer),
        quality=quality(inferred, answer),
        decided_by=decided_by(answer),
        range=inferred.uniform().in_words(),
    )
