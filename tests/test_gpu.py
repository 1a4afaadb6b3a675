"""A CUDA device, where there is one, gives what the CPU gives."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch.nn.functional import cosine_similarity

from conftest import PROJECT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.mark.parametrize("number", range(3))
def test_every_kind_of_network_has_the_influences_of_the_cpu(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    gpu = importlib.import_module("gpu")
    case = list(gpu.CASES.values())[number]
    images = gpu.drawn(gpu.START, case, 0), gpu.drawn(gpu.HIDDEN, case, 1)
    on_gpu, on_cpu = (gpu.measured(device, case, *images, 1).influences for device in ("cuda", "cpu"))
    assert cosine_similarity(on_gpu, on_cpu, dim=0) > 0.999
