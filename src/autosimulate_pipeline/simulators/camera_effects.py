"""What a camera adds to an image and a path tracer leaves out: blur, a colour cast, sensor noise, JPEG.

On reference images that a simulator renders, they make a gap like that between renders and photographs: no ψ of the
training simulator, which has none of them, closes it.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import gaussian_filter

from autosimulate_pipeline.records import AnnotatedDataset

_GREY_LEVELS = 255


class CameraEffects(BaseModel):
    """How strong each is; 0 leaves it out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    blur: float = Field(
        0, ge=0, le=5, description="standard deviation of the lens's blur", json_schema_extra={"unit": "px"}
    )
    colour_cast: float = Field(0, ge=0, le=0.5, description="standard deviation of the log gain of each channel")
    noise: float = Field(
        0,
        ge=0,
        le=50,
        description="standard deviation of the noise at full light",
        json_schema_extra={"unit": "grey levels"},
    )
    jpeg_quality: int | None = Field(None, ge=1, le=95, description="as Pillow counts it; null: not compressed")

    def photographed(self, dataset: AnnotatedDataset, seed: int) -> AnnotatedDataset:
        """The images as such a camera takes them; the annotations stay. The same seed gives the same bytes."""
        generator = np.random.default_rng(seed)
        images = (dataclasses.replace(image, image=self._taken(image.image, generator)) for image in dataset.images)
        return dataclasses.replace(dataset, images=tuple(images))

    def _taken(self, image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
        light = gaussian_filter(image.astype(np.float64), (self.blur, self.blur, 0))
        light *= np.exp(generator.normal(0, self.colour_cast, 3))
        # photons come one by one: the noise goes with the square root of the light
        light += (
            self.noise * np.sqrt(np.clip(light, 0, _GREY_LEVELS) / _GREY_LEVELS) * generator.normal(size=light.shape)
        )
        taken = np.clip(np.rint(light), 0, _GREY_LEVELS).astype(np.uint8)
        if self.jpeg_quality is None:
            return taken
        file = io.BytesIO()
        Image.fromarray(taken).save(file, "jpeg", quality=self.jpeg_quality)
        return np.asarray(Image.open(file).convert("RGB"))
