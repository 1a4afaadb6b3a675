"""What inference has found: the record that the catalog keeps and that reports read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from autosimulate_pipeline.distributions import ProductDistribution


class ParameterAnswer(BaseModel):
    """What the labelled images say about one simulator parameter.

    Attributes:
        is_identified: whether the statistics identify it; otherwise it stays as wide as its range.
        measure: of a number, R² on renders that the trees have not seen; of a choice, the accuracy (the mean over its
            values).
        score: in that measure; 1 is perfect, and R² 0, or an accuracy of 1 / number of values, is guessing.
        source: what tells it best: labels alone where pixels add nothing.
        statistics: those that decided most, with their share of all decisions.
        numbers: of a number, the answer for each labelled image, in the parameter's unit.
        probabilities: of a choice, those of its values for each labelled image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_identified: bool = False
    measure: Literal["R²", "accuracy", ""] = ""
    score: float = 0.0
    source: str = ""
    statistics: dict[str, float] = {}
    numbers: tuple[float, ...] = ()
    probabilities: tuple[tuple[float, ...], ...] = ()


class Inference(BaseModel):
    """ψ as the labelled images say it.

    Attributes:
        distribution: the inferred p_ψ.
        parameters: what each learned parameter was inferred from.
        outside: statistics that no render reaches, with the share of the labelled images for which that is so: the
            reality gap. They are left out.
        num_pilot_images, num_labelled_images: renders learned from, and images asked.
        has_masks: whether masks show objects' pixels, or boxes alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    distribution: ProductDistribution
    parameters: dict[str, ParameterAnswer]
    outside: dict[str, float] = {}
    num_pilot_images: int
    num_labelled_images: int
    has_masks: bool

    @property
    def identified(self) -> list[str]:
        """The parameters that the labelled images determine."""
        return [name for name, answer in self.parameters.items() if answer.is_identified]

    @property
    def unidentified(self) -> list[str]:
        """The parameters that they leave open."""
        return [name for name, answer in self.parameters.items() if not answer.is_identified]
