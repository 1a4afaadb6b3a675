"""Products of a Jacobian with a vector, three ways, because no single way knows every operation.

PyTorch lacks forward mode for some operations (grid_sample, GroupNorm in channels_last, custom Functions) and the
second derivative of others (roi_align). Shapes are free: a direction has the point's shape, its image the value's.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Function = Callable[[Tensor], Tensor]
Product = Callable[[Tensor], Tensor]
"""v ↦ A v for a matrix that is never formed."""


def jacobian_product(function: Function, point: Tensor) -> Product:
    """v ↦ J v, J the Jacobian of `function` at `point`, by the first way that the operations support.

    Forward mode, then double backward, then central differences, which need neither.
    """
    ways = {"forward mode": forward_mode, "double backward": double_backward, "differences": central_differences}
    return first_supported({name: partial(way, function, point) for name, way in ways.items()})


def forward_mode(function: Function, point: Tensor) -> Product:
    """v ↦ J v by forward-mode differentiation; each product costs about two to three evaluations.

    `torch.func.linearize` would save the evaluation of the value, but tracing it costs more than ten products do.
    """
    point = point.detach()

    def product(direction: Tensor) -> Tensor:
        with warnings.catch_warnings():  # the first forward-mode call of a process trips over PyTorch's own deprecation
            warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
            return torch.func.jvp(function, (point,), (direction,))[1].detach()

    return product


def double_backward(function: Function, point: Tensor) -> Product:
    """v ↦ J v as the derivative of u ↦ Jᵀu, which is linear in u; the graph is built once and kept."""
    point = point.detach().requires_grad_()
    value = function(point)
    refuse_once_differentiable(value)
    cotangent = torch.zeros_like(value, requires_grad=True)
    (pulled_back,) = torch.autograd.grad(value, point, cotangent, create_graph=True, materialize_grads=True)
    return lambda direction: _grad(pulled_back, cotangent, direction)


def central_differences(function: Function, point: Tensor) -> Product:
    """v ↦ [function(x + εv) − function(x − εv)] / 2ε, with ε the cube root of the precision, relative to ‖x‖/‖v‖."""
    point = point.detach()
    relative_step = torch.finfo(point.dtype).eps ** (1 / 3) * (1 + float(point.norm()))

    def product(direction: Tensor) -> Tensor:
        length = float(direction.norm())
        step = relative_step / length if length else 1.0
        return (function(point + step * direction).detach() - function(point - step * direction).detach()) / (2 * step)

    return product


def transposed_product(value: Tensor, point: Tensor) -> Product:
    """u ↦ Jᵀ u for a `value` that was computed from `point` (which requires its gradient); the graph is kept."""
    return lambda cotangent: _grad(value, point, cotangent)


def gradient(loss: Function, point: Tensor) -> Tensor:
    """∇ of a scalar loss at `point`, detached."""
    point = point.detach().requires_grad_()
    return torch.autograd.grad(loss(point), point)[0]


def first_supported(ways: Mapping[str, Callable[[], Product]]) -> Product:
    """The product built by the first of `ways` that survives its first use; the choice is made there, then kept.

    Raises:
        RuntimeError, NotImplementedError: what the last way raised, if none works.
        torch.OutOfMemoryError: at once, whichever way meets it.
    """
    chosen: list[Product] = []

    def product(direction: Tensor) -> Tensor:
        if chosen:
            return chosen[0](direction)
        *firsts, last = ways.items()
        for name, build in firsts:
            try:
                candidate = build()
                image = candidate(direction)
            except torch.OutOfMemoryError:  # a RuntimeError, but another way would hide it
                raise
            except (NotImplementedError, RuntimeError) as error:
                logger.debug("%s does not work here: %s", name, str(error).partition("\n")[0])
            else:
                logger.debug("Products by %s", name)
                chosen.append(candidate)
                return image
        logger.debug("Products by %s", last[0])
        chosen.append(last[1]())
        return chosen[0](direction)

    return product


def refuse_once_differentiable(value: Tensor) -> None:
    """Nothing, if the graph of `value` can be differentiated twice as far as Python can tell.

    `torch.autograd.grad` takes the backward of a Function marked `once_differentiable` for a constant, without a
    word, and returns a wrong second derivative. Operations written in C++ raise by themselves.

    Raises:
        RuntimeError: naming the Function.
    """
    nodes, seen = [value.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function = getattr(node, "_forward_cls", None)
        if function is not None and hasattr(function.backward, "__wrapped__"):  # the mark is a wrapper
            raise RuntimeError(f"{function.__name__} is differentiable once only")
        nodes.extend(parent for parent, _ in node.next_functions)


def _grad(value: Tensor, point: Tensor, cotangent: Tensor) -> Tensor:
    return torch.autograd.grad(value, point, cotangent, retain_graph=True, materialize_grads=True)[0]
