"""ψ from what the labelled images say by themselves, before any search."""

from autosimulate_pipeline.inference.infer import MIN_PILOT_IMAGES, infer
from autosimulate_pipeline.inference.records import Inference, ParameterAnswer
from autosimulate_pipeline.inference.settings import InferenceSettings

__all__ = ["MIN_PILOT_IMAGES", "Inference", "InferenceSettings", "ParameterAnswer", "infer"]
