"""The hypergradient: how the validation loss moves with the images that the weights were trained on.

Works on flat weight vectors and callables; knows neither task models nor distributions.
"""

from autosimulate_pipeline.hypergradient.advantages import (
    check_influences,
    leave_one_out_baseline,
    normalised_advantages,
    score_function_gradient,
)
from autosimulate_pipeline.hypergradient.implicit import (
    HypergradientSettings,
    ImplicitProblem,
    ValidationInfluences,
    validation_influences,
)

__all__ = [
    "HypergradientSettings",
    "ImplicitProblem",
    "ValidationInfluences",
    "check_influences",
    "leave_one_out_baseline",
    "normalised_advantages",
    "score_function_gradient",
    "validation_influences",
]
