"""Tensors of a file by the names of a Faster R-CNN network: a whole detector's, or its body's alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autosimulate_pipeline.task_models.base import Weights
from autosimulate_pipeline.task_models.faster_rcnn_networks import BuildNetwork, build

PREDICTOR = "roi_heads.box_predictor."
_BODY = "backbone.body."
_HEADS = ("backbone.fpn.", "rpn.", "roi_heads.")


def matched(build_network: BuildNetwork, state: Mapping[str, Tensor]) -> Weights:
    """The tensors of `state` by the network's own names; what is not among them starts fresh.

    - A whole detector: all, except the predictor if it is for other categories. Older versions of torchvision wrote
      other names, which are understood.
    - A body alone, such as a classifier's: its tensors by name, whether or not `features.` or `backbone.body.` stands
      in front; by order, if the names are another library's and every kind and shape agrees. What follows the body
      (a classifier) is left out.

    Raises:
        ValueError: if `state` is not empty and of neither kind.
    """
    if not state:
        return {}
    with torch.device("meta"):
        network = build(build_network, state)
    own = network.state_dict()
    used = {name: value.float() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    if not any(name.startswith(_HEADS) for name in used):
        return _body(used, {name: value for name, value in own.items() if name.startswith(_BODY)})
    scores = f"{PREDICTOR}cls_score.weight"
    other_categories = scores in used and used[scores].shape != own[scores].shape
    fresh = {name for name in own if other_categories and name.startswith(PREDICTOR)}
    try:
        missing, unexpected = network.load_state_dict(
            {name: value for name, value in used.items() if name not in fresh}, strict=False, assign=True
        )
    except RuntimeError as error:  # a shape differs
        reason = str(error).splitlines()[1].strip()
        raise ValueError(f"task_model.weights must be of this network, but {reason}") from error
    missing = [name for name in missing if name not in fresh]
    if missing or unexpected:
        raise ValueError(
            f"task_model.weights must be of this network, but it lacks {len(missing)} of its tensors"
            f"{_such_as(missing)} and has {len(unexpected)} others{_such_as(unexpected)}"
        )
    return {name: value for name, value in network.state_dict().items() if name not in fresh}


def is_body_alone(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights by the network's names are of its body and nothing else."""
    return all(name.startswith(_BODY) for name in weights)


def _body(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Weights:
    by_name = {_BODY + name.removeprefix(_BODY).removeprefix("features."): value for name, value in state.items()}
    if own.keys() <= by_name.keys():
        pairs = {name: (name, by_name[name]) for name in own}
    else:
        pairs = dict(zip(own, state.items(), strict=False))
    for name, wanted in own.items():
        theirs, value = pairs.get(name, ("nothing", torch.empty(0)))
        if value.shape != wanted.shape or theirs.rpartition(".")[2] != name.rpartition(".")[2]:
            raise ValueError(
                f"task_model.weights must be of this network or its body, but {name} {tuple(wanted.shape)} meets "
                f"{theirs} {tuple(value.shape)}"
            )
    return {name: value for name, (_, value) in pairs.items()}


def _such_as(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""
