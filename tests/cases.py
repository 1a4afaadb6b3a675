"""Configurations that several test files share."""

from __future__ import annotations

from typing import Any

TOY_START: dict[str, Any] = {
    "ambient_light": {"distribution": "gaussian", "low": 0, "high": 100, "mean": 15},
    "num_samples": {"distribution": "categorical", "values": [1, 8, 64], "probabilities": [0.8, 0.1, 0.1]},
    "square_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": 5},
    "disc_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": -5},
    "disc_material": {"distribution": "bernoulli", "values": ["rubber", "metal"], "probability": 0.8},
    "triangle_y": {"distribution": "gaussian", "low": -10, "high": 10, "mean": 6},
}

TOY_HIDDEN: dict[str, Any] = {
    "ambient_light": {"distribution": "gaussian", "low": 0, "high": 100, "mean": 60, "width": 0.05},
    "num_samples": {"distribution": "categorical", "values": [1, 8, 64], "probabilities": [0, 0, 1]},
    "square_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": -5, "width": 0.1},
    "disc_x": {"distribution": "gaussian", "low": -10, "high": 10, "mean": 2, "width": 0.1},
    "disc_material": {"distribution": "bernoulli", "values": ["rubber", "metal"], "probability": 0.1},
    "triangle_y": {"distribution": "gaussian", "low": -10, "high": 10, "mean": -2, "width": 0.1},
}
