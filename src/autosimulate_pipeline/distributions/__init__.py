"""Distributions over simulator parameters: p_ψ, its draws, its scores and the steps of ψ."""

from autosimulate_pipeline.distributions.base import Distribution
from autosimulate_pipeline.distributions.bernoulli import Bernoulli
from autosimulate_pipeline.distributions.categorical import Categorical
from autosimulate_pipeline.distributions.gaussian import Gaussian
from autosimulate_pipeline.distributions.product import DISTRIBUTIONS, ProductDistribution
from autosimulate_pipeline.distributions.uniform import Uniform

__all__ = [
    "DISTRIBUTIONS",
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Gaussian",
    "ProductDistribution",
    "Uniform",
]
