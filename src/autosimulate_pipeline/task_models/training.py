"""Training of a task model's weights: θ*(ψ), approximately.

AdamW (Loshchilov and Hutter 2019, algorithm 2) is written out on the flat θ: the first `torch.optim` optimizer of a
process imports PyTorch's compiler, which takes longer than a fine-tuning does.
"""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.records import Progress, ignore_progress
from autosimulate_pipeline.task_models.base import (
    Batch,
    TaskModel,
    Weights,
    on_device,
    ravel,
    split_frozen,
    unravel,
)

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class TrainingSettings(BaseModel):
    """AdamW with a learning rate that falls along a cosine, from `learning_rate` to a fraction of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=8, ge=1, description="passes over the images")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="AdamW's step size at the start")
    final_learning_rate_fraction: float = Field(
        default=0.05, ge=0, le=1, description="learning rate at the end, as a fraction of the one at the start"
    )
    batch_size: int = Field(default=5, ge=1, description="images a step")
    num_variants: int = Field(
        default=1, ge=1, description="of every image: itself, and so many less one mirrored, cropped and recoloured"
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        allow_inf_nan=False,
        description="AdamW's decoupled decay of the weights; near, but not equal to, the λ of (λ/2)‖θ‖², because "
        "AdamW rescales the gradient and not the decay",
    )

    def learning_rate_at(self, fraction: float) -> float:
        """The learning rate when that fraction of the steps is done, on the cosine."""
        final = self.final_learning_rate_fraction
        return self.learning_rate * (final + (1 - final) * (1 + math.cos(math.pi * fraction)) / 2)


def shrunk_and_perturbed(weights: Weights, fresh: Weights, retained: float) -> Weights:
    """retained · weights + (1 − retained) · fresh, a start between going on and starting anew (Ash and Adams 2020).

    A network that goes on from what it learned under earlier ψ remembers scenes that the present ψ no longer draws, and
    is then no θ*(ψ): where it does well by memory, the hypergradient has nothing to say.
    """
    return {
        name: retained * weight + (1 - retained) * fresh[name].to(weight.device) for name, weight in weights.items()
    }


def fit(
    task_model: TaskModel,
    weights: Weights,
    batch: Batch,
    settings: TrainingSettings,
    generator: torch.Generator,
    progress: Progress = ignore_progress,
) -> Weights:
    """New weights, trained from `weights` (which stay as they are) on the mean of the per-image losses.

    On a CPU the same inputs and generator state give the same bytes.

    Args:
        generator: a CPU generator, which shuffles the images before each epoch.
        progress: told of each finished epoch.

    Raises:
        ValueError: if the batch is empty.
        FloatingPointError: if a weight stops being finite.
    """
    if not len(batch):
        raise ValueError("batch must have at least one image to train on, got 0")
    # Convolutions in channels-last order train the U-Net a sixth faster, but forward mode lacks it: so only here.
    batch = Batch(batch.images.contiguous(memory_format=torch.channels_last), batch.targets)
    trained, frozen = split_frozen(task_model, on_device(weights, batch.images.device))
    theta = ravel(trained).detach()
    first_moment, second_moment = torch.zeros_like(theta), torch.zeros_like(theta)
    num_steps, step = settings.epochs * math.ceil(len(batch) / settings.batch_size), 0
    for epoch in range(1, settings.epochs + 1):
        for indices in torch.split(torch.randperm(len(batch), generator=generator), settings.batch_size):
            theta.requires_grad_()
            current = frozen | unravel(theta, trained)
            losses = task_model.per_image_losses(current, batch[indices.to(batch.targets.device)])
            (gradient,) = torch.autograd.grad(losses.mean(), theta)
            theta = theta.detach()
            learning_rate = settings.learning_rate_at(step / num_steps)
            step += 1
            first_moment.lerp_(gradient, 1 - _BETA_1)
            second_moment.lerp_(gradient.square_(), 1 - _BETA_2)
            scale = (second_moment / (1 - _BETA_2**step)).sqrt_().add_(_EPSILON)
            theta.mul_(1 - learning_rate * settings.weight_decay)
            theta.addcdiv_(first_moment, scale, value=-learning_rate / (1 - _BETA_1**step))
        # One look an epoch is enough: a weight that is not finite never becomes finite again.
        if not bool(theta.isfinite().all()):
            raise FloatingPointError(
                f"the weights are no longer finite after epoch {epoch} of {settings.epochs}: "
                f"this training's learning_rate must be lower, got {settings.learning_rate}"
            )
        progress(1)
    result = frozen | unravel(theta, trained)
    return {name: result[name].clone() for name in weights}
