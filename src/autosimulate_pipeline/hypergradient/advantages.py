"""From the influences of images to what multiplies their scores: baselines and normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

CLAMP = 2.5
"""Advantages beyond this many standard deviations are cut: one odd image must not decide a step."""


def check_influences(influences: Tensor) -> None:
    """Refuses what no step of ψ may come from.

    Raises:
        ValueError: if K < 2 or an influence is not finite.
    """
    if len(influences) < 2:
        raise ValueError(f"influences must come from at least 2 images, got {len(influences)}")
    if not influences.isfinite().all():
        num_bad = int((~influences.isfinite()).sum())
        raise ValueError(f"influences must be finite, got {num_bad} of {len(influences)} that are not")


def leave_one_out_baseline(influences: Tensor) -> Tensor:
    """b_k = mean of the influences of the other images, shape (K,).

    It is independent of s_k, so that subtracting it leaves the estimate unbiased.

    Raises:
        ValueError: if K < 2 or an influence is not finite.
    """
    check_influences(influences)
    return (influences.sum() - influences) / (len(influences) - 1)


def normalised_advantages(influences: Tensor) -> Tensor:
    """a_k = (f_k − b_k) / std f, with the leave-one-out baseline b_k, clamped to ±2.5, shape (K,).

    0 where all influences are the same. std is that of f − b, which makes a the same as (f_k − mean f) / std f.

    Raises:
        ValueError: if K < 2 or an influence is not finite.
    """
    centred = influences - leave_one_out_baseline(influences)
    deviation = centred.square().mean().sqrt()
    return scaled(centred, deviation, influences)


def scaled(centred: Tensor, deviation: Tensor, values: Tensor) -> Tensor:
    """`centred` over `deviation`, clamped to ±2.5; 0 where the deviation of `values` is rounding alone."""
    rounding = 8 * torch.finfo(values.dtype).eps * values.abs().max()
    return torch.zeros_like(values) if deviation <= rounding else (centred / deviation).clamp(-CLAMP, CLAMP)


def score_function_gradient(score_values: Tensor, influences: Tensor, baseline: Tensor) -> Tensor:
    """Monte-Carlo gradient of E_{s~p_ψ}[f(s)] with respect to ψ, shape (num_parameters,).

    (1/K) Σ_k (f(s_k) − b_k) ∇_ψ log p_ψ(s_k), equation (1) of the AutoSimulate supplement with a control variate.

    Args:
        score_values: ∇_ψ log p_ψ(s_k), shape (K, num_parameters).
        influences: f(s_k), shape (K,).
        baseline: b_k, shape (K,); independent of s_k, or the estimate is biased.

    Raises:
        ValueError: if K < 2 or an influence is not finite.
    """
    check_influences(influences)
    return ((influences - baseline).unsqueeze(1) * score_values).mean(dim=0)
