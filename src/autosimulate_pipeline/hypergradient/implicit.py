"""The influence of each training image on the validation loss, through the weights it trains.

θ*(ψ) minimises E_{s~p_ψ}[l(s; θ)] + (λ/2)‖θ‖². One Newton step around the trained θ gives

    v = (C + λI)⁻¹ ∇_θ L_val(θ),    f(s) = vᵀ ∇_θ l(s; θ),    dL_val/dψ = −E_{s~p_ψ}[f(s) ∇_ψ log p_ψ(s)].

The minus sign belongs to whoever moves ψ: L_val falls along +E[f · score]. In theory λ is the weight decay that defines
θ*; on a convex problem another one can even turn the sign. A network that is fine-tuned for a few epochs has no exact
θ*, and there λ is a damping that is tuned.

Differences from the supplement: C is the generalised Gauss-Newton matrix unless settings say the Hessian, which is
indefinite on a network that is not at its optimum; CG takes a few steps and reports negative curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import Field, field_validator
from torch import Tensor

from autosimulate_pipeline.hypergradient.influence import influences
from autosimulate_pipeline.hypergradient.jacobian import Product, gradient
from autosimulate_pipeline.hypergradient.linear_solvers import LINEAR_SOLVERS, Solution, SolverSettings
from autosimulate_pipeline.hypergradient.operators import damped, ggn_product, hessian_product


@dataclass(frozen=True, eq=False)
class ImplicitProblem:
    """Training and validation as functions of the flat weights θ, shape (num_weights,).

    Attributes:
        per_sample_losses: θ to l(s_k; θ), shape (K,), or to the parts that each is the sum of, shape (K, num_parts).
        validation_loss: θ to L_val, a scalar.
        outputs, losses_of_outputs: the same per-sample losses in two parts, θ to outputs and outputs to shape (K,),
            convex in the outputs; None for a task model that cannot be parted (then only the Hessian serves).
    """

    per_sample_losses: Callable[[Tensor], Tensor]
    validation_loss: Callable[[Tensor], Tensor]
    outputs: Callable[[Tensor], Tensor] | None = None
    losses_of_outputs: Callable[[Tensor], Tensor] | None = None


class HypergradientSettings(SolverSettings):
    """How v = (C + λI)⁻¹ ∇L_val is found."""

    curvature: Literal["ggn", "hessian"] = Field(default="ggn", description="C: generalised Gauss-Newton, or Hessian")
    solver: str = Field(
        default="conjugate_gradient",
        description="of (C + λI) v = g; identity leaves curvature out, exact forms the matrix",
        json_schema_extra={"enum": [*LINEAR_SOLVERS]},
    )
    damping: float = Field(
        default=0.1,
        allow_inf_nan=False,
        description="λ, the weight decay that defines θ*",
        json_schema_extra={"minimum": 0},
    )

    @field_validator("solver")
    @classmethod
    def _solver_is_known(cls, solver: str) -> str:
        if solver not in LINEAR_SOLVERS:
            raise ValueError(f"hypergradient.solver must be one of {', '.join(LINEAR_SOLVERS)}, got {solver}")
        return solver

    @field_validator("damping")
    @classmethod
    def _damping_is_not_negative(cls, damping: float) -> float:
        if damping < 0:
            raise ValueError(
                f"hypergradient.damping must be at least 0, got {damping:g} (GGN + damping·I must be positive definite)"
            )
        return damping


class ValidationInfluences(NamedTuple):
    """What one hypergradient needs from the task model.

    Attributes:
        influences: f(s_k), shape (K,), or that of each part, shape (K, num_parts).
        solution: v and how its solve ended.
        validation_gradient_norm: ‖∇_θ L_val‖.
    """

    influences: Tensor
    solution: Solution
    validation_gradient_norm: float


def validation_influences(
    problem: ImplicitProblem, weights: Tensor, settings: HypergradientSettings
) -> ValidationInfluences:
    """f(s_k) of every training image at `weights`, with the linear solve behind it.

    Raises:
        ValueError: if settings ask for the GGN and `problem` has no outputs.
    """
    validation_gradient = gradient(problem.validation_loss, weights)
    product = damped(_curvature_product(problem, weights, settings), settings.damping)
    solution = LINEAR_SOLVERS[settings.solver](product, validation_gradient, settings)
    values = influences(problem.per_sample_losses, weights, solution.value)
    return ValidationInfluences(values, solution, float(validation_gradient.norm()))


def _curvature_product(problem: ImplicitProblem, weights: Tensor, settings: HypergradientSettings) -> Product:
    if settings.curvature == "hessian":

        def mean_loss(point: Tensor) -> Tensor:
            losses = problem.per_sample_losses(point)
            return losses.sum() / len(losses)

        return hessian_product(mean_loss, weights)
    outputs, losses_of_outputs = problem.outputs, problem.losses_of_outputs
    if outputs is None or losses_of_outputs is None:
        raise ValueError("hypergradient.curvature must be hessian for a task model without outputs, got ggn")
    return ggn_product(outputs, lambda values: losses_of_outputs(values).mean(), weights)
