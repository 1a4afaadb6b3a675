"""Blender Cycles inside a worker process: its standing scene, its passes without files.

The one module that imports bpy (GPL-3.0); those that draw with it take it from here and run in workers alone.
A simulator's scene is built once in a process and stays; a render only changes properties. Files are left out: Cycles'
own passes are read as its render engine ends, by wrapping that engine's `render`, which takes 1 ms where a round trip
by PNG or EXR takes 10.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

try:
    import bpy
except (ImportError, OSError) as failure:
    if ".so" not in str(failure):
        raise
    raise ImportError(
        f"Blender (bpy) lacks a system library: {failure}; on Debian or Ubuntu: apt-get install "
        "libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libgl1"
    ) from None
import bmesh  # these come with bpy and exist only once it is imported
import cycles
from mathutils import Matrix, Vector

from autosimulate_pipeline.blender.colours import linear_from_srgb, srgb_from_linear

__all__ = [
    "Matrix",
    "Vector",
    "bmesh",
    "bpy",
    "ensure_built",
    "linear_from_srgb",
    "render_passes",
    "set_sampling",
    "srgb_from_linear",
]

_built_by: list[Callable[[], None]] = []  # whose scene stands now


def ensure_built(build: Callable[[], None]) -> None:
    """Lets `build` fill an empty scene, unless what it built last still stands in this process."""
    if _built_by == [build]:
        return
    _built_by.clear()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.use_persistent_data = True
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.use_compositing = scene.render.use_sequencer = False
    scene.cycles.device = "CPU"
    scene.cycles.use_adaptive_sampling = False  # or num_samples would not be the number of samples
    scene.cycles.use_denoising = False
    scene.cycles.use_light_tree = False  # 30 % slower for few lamps, at the same noise
    bpy.context.view_layer.use_pass_object_index = True
    build()
    _built_by.append(build)


def set_sampling(num_samples: int, num_bounces: int, seed: int) -> None:
    """Samples per pixel and light-path bounces of every kind for the next render."""
    settings = bpy.context.scene.cycles
    settings.samples, settings.seed = num_samples, seed
    for kind in ("max", "diffuse", "glossy", "transmission", "transparent_max"):
        setattr(settings, f"{kind}_bounces", num_bounces)
    bpy.context.scene.update_tag()  # Blender does not notice by itself: the next render would keep the old values


def render_passes() -> dict[str, NDArray[np.float32]]:
    """Renders; each pass by its name, linear, rows from the top down, shape (height, width, channels).

    Raises:
        RuntimeError: if Cycles failed; Blender itself only logs what goes wrong in a render engine.
    """
    _passes.clear()
    bpy.ops.render.render()
    if not _passes:
        raise RuntimeError("Cycles ended without handing over its passes")
    height = bpy.context.scene.render.resolution_y
    width = bpy.context.scene.render.resolution_x
    return {name: values.reshape(height, width, -1)[::-1] for name, values in _passes.items()}


_passes: dict[str, NDArray[np.float32]] = {}
_render_by_cycles = cycles.CyclesRender.render


def _render_and_keep_passes(engine: bpy.types.RenderEngine, depsgraph: bpy.types.Depsgraph) -> None:
    """Cycles' render, then its passes into `_passes`: flat, rows from the bottom up, linear."""
    _render_by_cycles(engine, depsgraph)
    for render_pass in engine.get_result().layers[0].passes:
        _passes[render_pass.name] = np.empty(len(render_pass.rect) * render_pass.channels, dtype=np.float32)
        render_pass.rect.foreach_get(_passes[render_pass.name])


cycles.CyclesRender.render = _render_and_keep_passes
