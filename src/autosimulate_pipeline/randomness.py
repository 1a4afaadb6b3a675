"""Seeds for every purpose of a run, derived from the run's one seed."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2³¹) for one purpose, such as `derive_seed(0, "scenes", 3)`: equal on every machine and process."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def derive_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator seeded with `derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))
