"""AutoSimulate: ψ moves along the hypergradient through one Newton step of the task model's training.

`mode: paper` is the AutoSimulate supplement's: the Hessian, scipy's fmin_ncg, f on the images just trained on, and
plain gradient descent on ψ (`search.settings` has its values). `mode: recommended` differs in five ways:

- curvature: the generalised Gauss-Newton matrix, which stays positive definite away from the optimum, by CG;
- order: each batch is scored with the weights of the iterations before, for samples trained on give a shrunken f;
- credit: the parameters of an object are moved by f without the pixels of other objects. E[f · score] is a sum over
  pixels, and what a parameter has no part in adds noise alone to its estimate (as long as objects hide, shade and
  mirror each other little);
- step: advantages (f − mean f) / std f times the standardised score, a step in units of the distribution's own width;
- annealing: step size and width decay, or the end of the search is a random walk.
"""

from __future__ import annotations

import math

import torch

from autosimulate_pipeline.hypergradient import (
    check_influences,
    leave_one_out_baseline,
    normalised_advantages,
    score_function_gradient,
)
from autosimulate_pipeline.records import HypergradientReport
from autosimulate_pipeline.search.base import Observation, SearchMethod, SearchState, advanced


class AutoSimulate(SearchMethod):
    """The method of the paper; see the module's text for the two modes."""

    name = "autosimulate"

    def update(self, state: SearchState, observation: Observation) -> tuple[SearchState, HypergradientReport]:
        """ψ one step along +E[f · ∇_ψ log p_ψ] = −dL_val/dψ, equations (1) to (4) of the AutoSimulate supplement.

        With f scored before the fit, iteration 0 has no trained weights to score with: ψ stays, the report is empty.
        """
        next_state = advanced(state, observation, self.loop)
        search = self.search
        before_fit = search.score_before_fit
        if before_fit and state.iteration == 0:
            return next_state, HypergradientReport()
        influences = observation.influences(before_fit, self.hypergradient)
        values, draws, distribution = influences.values, observation.draws, state.distribution
        check_influences(values)
        owners = observation.owners if search.credit == "category" else {}
        credited = [influences.credited_to(owners.get(name)) for name in distribution.parameters]
        if search.standardised:
            gradient = score_function_gradient(distribution.score(draws), values, leave_one_out_baseline(values))
            advantages = torch.stack([normalised_advantages(credit) for credit in credited], dim=1)
            direction = distribution.standardised_gradient(advantages, draws).clamp(-1, 1)
            num_steps_taken = state.iteration - int(before_fit)
            moved = distribution.stepped(direction, search.step_size * search.step_decay**num_steps_taken)
        else:
            gradient = distribution.expectation_gradient(values.unsqueeze(1).expand_as(draws), draws)
            direction = distribution.expectation_gradient(torch.stack(credited, dim=1), draws)
            moved = distribution.ascended(direction, search.learning_rate)
        report = HypergradientReport(
            gradient=dict(zip(distribution.learned_entries(), gradient.tolist(), strict=True)),
            influences=tuple(values.tolist()),
            validation_gradient_norm=influences.validation_gradient_norm,
            norm=math.hypot(*gradient.tolist()),
            solver_outcome=influences.solver_outcome,
            solver_steps=influences.solver_steps,
            solver_residual=influences.solver_residual,
        )
        return next_state.model_copy(update={"distribution": moved.annealed(search.width_decay)}), report
