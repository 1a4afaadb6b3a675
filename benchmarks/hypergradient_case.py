"""What benchmarks/hypergradient.py measures, and curvlinops' operators on the same network and images."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from autosimulate_pipeline.configuration import Parameters
from autosimulate_pipeline.hypergradient import ImplicitProblem
from autosimulate_pipeline.hypergradient.jacobian import Product, gradient
from autosimulate_pipeline.hypergradient.operators import ggn_product, hessian_product
from autosimulate_pipeline.loop.scenes import draw_scenes
from autosimulate_pipeline.loop.simulation import SimulatorSettings, render_scenes
from autosimulate_pipeline.randomness import derive_generator, derive_seed
from autosimulate_pipeline.records import AnnotatedDataset, ignore_progress
from autosimulate_pipeline.simulators import ParallelSettings
from autosimulate_pipeline.task_models import (
    Batch,
    SegmentationModel,
    UNetSettings,
    Weights,
    build_task_model,
    fit,
    ravel,
    unravel,
)
from autosimulate_pipeline.task_models.unet import UNet

SEED = 0


@dataclass(frozen=True, eq=False)
class Case:
    """Trained weights, the K images, those of a whole training window and the validation images."""

    parameters: Parameters
    model: SegmentationModel
    weights: Weights
    batch: Batch
    window: Batch
    validation: Batch

    @cached_property
    def theta(self) -> Tensor:
        return ravel(self.weights)

    @cached_property
    def problem(self) -> ImplicitProblem:
        """As `search/problem.py` poses it."""
        return ImplicitProblem(
            per_sample_losses=lambda theta: self.model.per_image_losses(unravel(theta, self.weights), self.batch),
            validation_loss=lambda theta: self.model.per_image_losses(
                unravel(theta, self.weights), self.validation
            ).mean(),
            outputs=self.outputs,
            losses_of_outputs=lambda outputs: self.model.losses_of_outputs(outputs, self.batch),
        )

    @cached_property
    def validation_gradient(self) -> Tensor:
        return gradient(self.problem.validation_loss, self.theta)

    def outputs(self, theta: Tensor) -> Tensor:
        return self.model.outputs(unravel(theta, self.weights), self.batch)

    def loss_of_outputs(self, outputs: Tensor) -> Tensor:
        return self.model.losses_of_outputs(outputs, self.batch).mean()

    def loss(self, theta: Tensor) -> Tensor:
        return self.loss_of_outputs(self.outputs(theta))

    def curvature(self, name: str) -> Product:
        """v ↦ C v at θ, over the K images."""
        if name == "hessian":
            return hessian_product(self.loss, self.theta)
        return ggn_product(self.outputs, self.loss_of_outputs, self.theta)


def prepare(parameters: Parameters, num_images: int) -> Case:
    """Images from the start ψ and from the hidden simulator, and weights as iteration 0 leaves them."""
    simulator, training = parameters.simulator, parameters.training
    hidden = parameters.reference_data.hidden_simulator
    reality = simulator.model_copy(update={"parameters": hidden.parameters})
    rendered = render(simulator, training.window * num_images, SEED)
    validation = render(reality, hidden.num_validation_images, hidden.seed)
    model = build_task_model(rendered.categories, parameters.task_model)
    window = model.prepare(rendered)
    batch = window[:num_images]
    weights = fit(
        model,
        model.initial_weights(derive_seed(SEED, "initial weights")),
        batch,
        training.model_copy(update={"epochs": training.first_epochs}),
        derive_generator(SEED, "training"),
    )
    return Case(parameters, model, weights, batch, window, model.prepare(validation))


def render(simulator: SimulatorSettings, num_images: int, seed: int) -> AnnotatedDataset:
    scenes = draw_scenes(simulator.parameters, num_images, seed, "benchmark")
    return render_scenes(simulator, ParallelSettings(num_workers=1), scenes, ignore_progress)


# curvlinops, the reference from outside


class Loss(nn.Module):
    """The mean of the K losses, as curvlinops wants it."""

    reduction = "mean"

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def forward(self, outputs: Tensor, _targets: Tensor) -> Tensor:
        return self.case.loss_of_outputs(outputs)


class PlainGroupNorm(nn.Module):
    """GroupNorm in plain operations: the backward of PyTorch's own has no forward mode."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.num_groups, self.eps, self.weight, self.bias = norm.num_groups, norm.eps, norm.weight, norm.bias

    def forward(self, features: Tensor) -> Tensor:
        groups = features.reshape(len(features), self.num_groups, -1)
        variance, mean = torch.var_mean(groups, dim=2, correction=0, keepdim=True)
        normalised = ((groups - mean) * (variance + self.eps).rsqrt()).view_as(features)
        return torch.addcmul(self.bias[:, None, None], normalised, self.weight[:, None, None])


def network_of(case: Case) -> nn.Module:
    """The task model's network as a module that holds θ."""
    settings = case.parameters.task_model
    assert isinstance(settings, UNetSettings)
    network = UNet(len(case.model.categories) + 1, settings.base_channels)
    network.load_state_dict(case.weights)
    return network.to(case.theta.device)


def with_plain_group_norm(network: nn.Module) -> nn.Module:
    """The same network, changed in place."""
    for name, child in network.named_children():
        plain = PlainGroupNorm(child) if isinstance(child, nn.GroupNorm) else with_plain_group_norm(child)
        setattr(network, name, plain)
    return network


def curvlinops_operator(curvature: Literal["GGN", "Hessian"], case: Case, network: nn.Module) -> Any:
    """curvlinops' operator over the K images."""
    with warnings.catch_warnings():  # a package that it imports trips over PyTorch's own deprecation
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        import curvlinops
    build = getattr(curvlinops, f"{curvature}LinearOperator")
    data = [(case.batch.images, case.batch.targets)]
    return build(network, Loss(case), list(network.parameters()), data, check_deterministic=False)
