"""The pictures inside a report, small enough to travel in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autosimulate_pipeline.records import AnnotatedDataset, Prediction
from autosimulate_pipeline.reporting.pictures import data_uri, labelled, predicted

NUM_SAMPLES = 6
"""Images of the simulator in a frame."""

NUM_SHEET_IMAGES = 8
"""Images of a sheet before and after the loop."""


@dataclass(frozen=True)
class Frame:
    """One iteration on the slider; pictures are data URIs.

    Attributes:
        iteration: from 0.
        samples: what its ψ rendered; none where the search had stopped.
        predictions: what the network then made of the shown validation images.
    """

    iteration: int
    samples: tuple[str, ...] = ()
    predictions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """Images above what is to be found in them, or what is found; pictures are data URIs."""

    images: tuple[str, ...]
    annotated: tuple[str, ...]


@dataclass(frozen=True)
class Retrained:
    """One side of before and after; pictures are data URIs.

    Attributes:
        fresh: fresh images of a ψ with their labels.
        predictions: what the network trained on such images finds in the first test images.
    """

    fresh: Sheet
    predictions: tuple[str, ...]


def frame(
    iteration: int, rendered: AnnotatedDataset, shown: AnnotatedDataset, predictions: Sequence[Prediction]
) -> Frame:
    """The frame of an iteration.

    Args:
        rendered: the images of its ψ.
        shown, predictions: a few validation images, and what the network makes of each.
    """
    samples = tuple(data_uri(image.image) for image in rendered.images[:NUM_SAMPLES])
    return Frame(iteration, samples, _found(shown, predictions))


def sheet(dataset: AnnotatedDataset) -> Sheet:
    """The first images of a dataset with their labels."""
    images = dataset.images[:NUM_SHEET_IMAGES]
    return Sheet(tuple(data_uri(image.image) for image in images), tuple(data_uri(labelled(image)) for image in images))


def retrained(fresh: AnnotatedDataset, shown: AnnotatedDataset, predictions: Sequence[Prediction]) -> Retrained:
    """Fresh images, and what was found in the shown test images."""
    return Retrained(sheet(fresh), _found(shown, predictions))


def _found(shown: AnnotatedDataset, predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """Each image with what was found in it."""
    pairs = zip(shown.images, predictions, strict=True)
    return tuple(data_uri(predicted(image.image, prediction)) for image, prediction in pairs)
