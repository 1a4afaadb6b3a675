"""The bilevel problem seen from one batch: what the hypergradient's mathematics asks of a task model."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from autosimulate_pipeline.hypergradient.implicit import HypergradientSettings, ImplicitProblem, validation_influences
from autosimulate_pipeline.records import AnnotatedDataset
from autosimulate_pipeline.search.base import Influences
from autosimulate_pipeline.task_models import Batch, TaskModel, Weights, on_device, ravel, split_frozen, unravel


def influences_on(
    validation_set: AnnotatedDataset,
    rendered: AnnotatedDataset,
    task_model: TaskModel,
    weights: Weights,
    settings: HypergradientSettings,
) -> Influences:
    """f(s_k) = vᵀ∇_θ l(s_k; θ) of each rendered image, v = (H + λI)⁻¹∇_θ L_val(θ), by category; float64, on the CPU."""
    batch, validation = task_model.prepare(rendered), task_model.prepare(validation_set)
    trained, frozen = split_frozen(task_model, on_device(weights, batch.images.device))

    def at(theta: Tensor) -> Weights:
        return frozen | unravel(theta, trained)

    def losses_of(theta: Tensor, images: Batch) -> Tensor:
        return task_model.per_image_losses(at(theta), images)

    def outputs(theta: Tensor) -> Tensor:
        return task_model.outputs(at(theta), batch)

    def losses_of_outputs(values: Tensor) -> Tensor:
        return task_model.losses_of_outputs(values, batch)

    def validation_loss(theta: Tensor) -> Tensor:
        parts = validation.split(task_model.images_per_pass)
        if len(parts) == 1:
            return losses_of(theta, validation).mean()
        # The graph of one part at a time: each is computed again when its gradient is.
        kept = [checkpoint(losses_of, theta, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        return torch.cat(kept).mean()

    problem = ImplicitProblem(
        per_sample_losses=lambda theta: task_model.loss_parts_of_outputs(outputs(theta), batch),
        validation_loss=validation_loss,
        outputs=outputs,
        losses_of_outputs=losses_of_outputs,
    )
    values, solution, gradient_norm = validation_influences(problem, ravel(trained), settings)
    return Influences(
        parts=values.detach().cpu().double(),
        validation_gradient_norm=gradient_norm,
        solver_outcome=str(solution.outcome),
        solver_steps=solution.num_steps,
        solver_residual=solution.residual_norm,
    )
