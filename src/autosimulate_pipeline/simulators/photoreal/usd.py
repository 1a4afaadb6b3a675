"""A scene as OpenUSD, for other renderers and viewers: what Blender exports, with the CAD models' own colours.

Procedural surfaces (wood, cloth) become plain colours: USD's preview surface has no noise.
"""

from __future__ import annotations

from pathlib import Path

from pxr import Usd, UsdGeom, UsdShade

from autosimulate_pipeline.records import Scene, ignore_progress
from autosimulate_pipeline.simulators.base import parse_scene
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealScene
from autosimulate_pipeline.simulators.photoreal.simulator import Photoreal
from autosimulate_pipeline.workers.pool import run_in_workers

WORKER = "autosimulate_pipeline.simulators.photoreal.worker.images:export_usd"


def export_usd(simulator: Photoreal, scene: Scene, seed: int, path: Path) -> None:
    """Writes the scene that `simulator.render([scene], [seed])` shows to `path`; its prints go to `textures` beside it.

    Metres, z up, one frame; the camera is `/room/camera`, an object `/room/<category>_<copy>`.

    Raises:
        ValueError: if the scene fails `simulator.check` or the file's name does not end in .usdc or .usda.
    """
    if path.suffix not in (".usdc", ".usda"):
        raise ValueError(f"{path} must end in .usdc or .usda")
    path.parent.mkdir(parents=True, exist_ok=True)
    [job] = simulator.jobs([parse_scene(PhotorealScene, scene)], [seed])
    run_in_workers(WORKER, [(job, str(path.resolve()))], simulator.parallel, ignore_progress)
    stage = Usd.Stage.Open(str(path))
    for prim in stage.Traverse():
        # A bound material would hide the colours of the vertices; beside a texture they matter less than it.
        is_coloured = prim.IsA(UsdGeom.Mesh) and UsdGeom.Mesh(prim).GetDisplayColorAttr().HasAuthoredValue()
        if is_coloured and not UsdGeom.PrimvarsAPI(prim).HasPrimvar("st"):
            prim.RemoveProperty(UsdShade.Tokens.materialBinding)
            prim.RemoveAPI(UsdShade.MaterialBindingAPI)
    stage.Save()
