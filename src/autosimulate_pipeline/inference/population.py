"""From answers for single images to a distribution: what ψ they were drawn from.

The spread of the answers is not the spread of the scenes: answers shrink towards the middle of the range where the
statistics tell little, and scatter by their own error. Both are known from the renders, whose scenes are known.

Photographs differ from renders in ways that no parameter explains, and all of them alike: what tells a parameter
weakly among renders is easily misled there, for all images at once. So the evidence of the images is raised to a power
below 1, the square of the skill on renders (coarsened posteriors: Miller and Dunson, JASA 2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

UNIFORM_VARIANCE = 1 / 12
"""Of a number uniform in the unit range: what is known before any image."""

_NUM_MEANS, _NUM_WIDTHS = 101, 40
_NARROWEST = 0.02

_ROUNDING = 1e-6
_NUM_BURNT, _NUM_SWEEPS = 100, 2000


def normal_population(answers: Matrix, variances: Matrix, skill: float) -> tuple[float, float]:
    """Mean and width (both in the unit range) of the normal distribution that the images' numbers come from.

    With r = 1 − variance/(1/12), the local R², an answer under a uniform prior is m = ½ + r(y − ½) + e with
    Var e = r · variance; for y ~ N(μ, τ²) this is N(½ + r(μ − ½), r²τ² + r · variance). The posterior of (μ, τ) under
    flat priors on a grid gives the predictive distribution's mean and width, never wider than the uniform's: where r
    is 0 it stays the uniform's.

    Args:
        answers: E[y | image], shape (num_images,).
        variances: their mean squared errors, shape (num_images,).
        skill: out-of-bag R² on renders, in [0, 1].
    """
    means = np.linspace(0, 1, _NUM_MEANS)[:, None, None]
    widths = np.linspace(_NARROWEST, np.sqrt(UNIFORM_VARIANCE), _NUM_WIDTHS)[None, :, None]
    reliability = np.clip(1 - variances / UNIFORM_VARIANCE, 0, 1)
    expected = 0.5 + reliability * (means - 0.5)
    spread = reliability**2 * widths**2 + reliability * variances + _ROUNDING
    log_likelihood = (-0.5 * ((answers - expected) ** 2 / spread + np.log(spread))).sum(axis=2)
    posterior = np.exp(skill**2 * (log_likelihood - log_likelihood.max()))
    posterior /= posterior.sum()
    mean = float((posterior * means[..., 0]).sum())
    variance = float((posterior * ((means[..., 0] - mean) ** 2 + widths[..., 0] ** 2)).sum())
    return mean, float(np.sqrt(min(variance, UNIFORM_VARIANCE)))


def choice_population(posteriors: Matrix, skill: float, seed: int) -> Matrix:
    """Probability of each value in the distribution that the images' choices come from, shape (num_values,).

    The posterior mean under a flat Dirichlet prior, by Gibbs sampling: label shift with uncertainty kept (Saerens et
    al., Neural Computation 2002, have its maximum). Where the posteriors say nothing, all values stay alike.

    Args:
        posteriors: of each image's value, under equal prior probabilities, shape (num_images, num_values).
        skill: how far the accuracy on renders is from chance (0) towards certainty (1).
    """
    generator = np.random.default_rng(seed)
    num_values = posteriors.shape[1]
    shares, total = np.full(num_values, 1 / num_values), np.zeros(num_values)
    for sweep in range(_NUM_SWEEPS + _NUM_BURNT):
        reached = (posteriors * shares).cumsum(axis=1)
        chosen = (reached > generator.random(len(posteriors))[:, None] * reached[:, -1:]).argmax(axis=1)
        shares = generator.dirichlet(1 + skill**2 * np.bincount(chosen, minlength=num_values))
        if sweep >= _NUM_BURNT:
            total += shares
    return total / _NUM_SWEEPS
