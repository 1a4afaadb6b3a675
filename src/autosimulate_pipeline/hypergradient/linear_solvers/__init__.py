"""Linear solvers by name; each returns its answer with the reason why it stopped."""

from autosimulate_pipeline.hypergradient.linear_solvers.base import LinearSolver, Outcome, Solution, SolverSettings
from autosimulate_pipeline.hypergradient.linear_solvers.conjugate_gradient import conjugate_gradient
from autosimulate_pipeline.hypergradient.linear_solvers.direct import exact, identity
from autosimulate_pipeline.hypergradient.linear_solvers.neumann import neumann
from autosimulate_pipeline.hypergradient.linear_solvers.scipy_solvers import newton_cg, scipy_cg

LINEAR_SOLVERS: dict[str, LinearSolver] = {
    "conjugate_gradient": conjugate_gradient,
    "scipy_cg": scipy_cg,
    "newton_cg": newton_cg,
    "neumann": neumann,
    "identity": identity,
    "exact": exact,
}

__all__ = ["LINEAR_SOLVERS", "LinearSolver", "Outcome", "Solution", "SolverSettings"]
