"""Weights from files that PyTorch users have; those of Darknet are in darknet_weights.py."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from autosimulate_pipeline.task_models.base import Weights


def read_state_dict(file: Path) -> Weights:
    """Tensors by name from a .safetensors file, or from one that `torch.save` wrote, of which no code is run.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it cannot be read as that, or a number in it is not finite.
    """
    if not file.is_file():
        raise FileNotFoundError(f"task_model.weights must be a file, got {file}, which is missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of what is refused below
            state: Any = (
                load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
            )
    except Exception as error:  # each of the two formats fails in many ways
        reason = str(error).partition("\n")[0]
        raise ValueError(f"task_model.weights must be a file with a state_dict, got {file}: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"task_model.weights must be a file with tensors by name, got another thing in {file}")
    if not all(value.isfinite().all() for value in state.values()):
        raise ValueError(f"task_model.weights must be a file with finite weights, got others in {file}")
    return {name: value.contiguous() for name, value in state.items()}  # safetensors writes no other layout
