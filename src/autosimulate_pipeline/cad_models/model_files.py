"""CAD models from a folder of OBJ, PLY and GLB files, one object a file.

They become models as BOP has them: millimetres, z up, the origin in the middle of the bounding box. Poses in labels are
those of the models in these coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from autosimulate_pipeline.cad_models.creases import with_sharp_edges
from autosimulate_pipeline.cad_models.mesh_files import READERS, load_mesh
from autosimulate_pipeline.cad_models.models import MAX_SIZE_MM, MIN_SIZE_MM, CadModel, read_models, to_model
from autosimulate_pipeline.cad_models.settings import ModelFileSettings, Unit
from autosimulate_pipeline.files.checked_files import check_file, is_name

MILLIMETRES: dict[Unit, float] = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}
_KEY = "simulator.options.model_files"
_TO_Z_UP = {  # the axes that become x, y and z: turns, no mirrors
    "x": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "y": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "z": np.eye(3),
}


def list_model_files(folder: Path) -> list[Path]:
    """The OBJ, PLY and GLB files of the folder in the order of their names; hidden files are left out."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in READERS and not path.name.startswith(".")]
    return sorted(files, key=lambda path: path.name)


def read_folder(folder: Path, objects: Mapping[int, str], files: ModelFileSettings | None) -> tuple[CadModel, ...]:
    """The models of a BOP folder, those of `objects`; or, where `files` is given, of a folder of files of one's own.

    Raises:
        FileNotFoundError, ValueError: as `read_models` and `read_model_files`.
    """
    return read_models(folder, objects) if files is None else read_model_files(folder, files)


def read_model_files(folder: Path, settings: ModelFileSettings) -> tuple[CadModel, ...]:
    """The models of a folder's files in the order of their names, their object ids from 1.

    Raises:
        FileNotFoundError: if a link leads nowhere, or a file that a mesh names is missing.
        ValueError: if there is no file, two have one name, a name is of no file, or a mesh cannot be read or has no
            sensible size.
    """
    files = list_model_files(folder)
    if not files:
        others = sorted({path.suffix for path in folder.iterdir() if path.suffix})
        raise ValueError(
            f"{folder} must hold OBJ, PLY or GLB files, or BOP models (models_info.json, obj_000001.ply, …), got "
            + (f"files in {', '.join(others[:5])}" if others else "none")
        )
    by_stem: dict[str, Path] = {}
    for path in files:
        if (other := by_stem.setdefault(path.stem, path)) is not path:
            raise ValueError(f"{folder} must hold one file of the name {path.stem}, got {other.name} and {path.name}")
    if strangers := sorted(set(settings.names) - set(by_stem)):
        raise ValueError(f"{_KEY}.names must name files of {folder}, such as {files[0].stem}, got {strangers[0]}")
    categories = {stem: settings.names.get(stem, stem) for stem in by_stem}
    for stem, category in categories.items():
        if not is_name(category):
            raise ValueError(
                f"{_KEY}.names must name the file {stem!r}: a category is one line without control characters"
            )
        first = next(other for other, name in categories.items() if name == category)
        if first != stem:
            raise ValueError(f"{_KEY}.names must give each file another name, got {category} for {first} and {stem}")
    return tuple(
        _read(path, folder, object_id, categories[path.stem], settings) for object_id, path in enumerate(files, start=1)
    )


def _read(path: Path, folder: Path, object_id: int, name: str, settings: ModelFileSettings) -> CadModel:
    check_file(path, folder)
    mesh = load_mesh(path)
    is_glb = path.suffix.lower() == ".glb"
    unit: Unit = settings.unit or ("m" if is_glb else "mm")
    used = mesh.vertices[np.unique(mesh.faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    _check_size(float((high - low).max()), unit, path)
    turn = _TO_Z_UP[settings.up_axis or ("y" if is_glb else "z")]
    vertices = (mesh.vertices - (low + high) / 2) @ turn.T * MILLIMETRES[unit]
    return with_sharp_edges(to_model(replace(mesh, vertices=vertices), path, object_id, name))


def _check_size(length: float, unit: Unit, path: Path) -> None:
    """Refuses what is too small or too large in its unit, and says in which others it would not be."""
    fitting = [name for name, scale in MILLIMETRES.items() if MIN_SIZE_MM <= length * scale <= MAX_SIZE_MM]
    if unit not in fitting:
        advice = f"set {_KEY}.unit: {' or '.join(fitting)} would fit" if fitting else "no unit fits: scale the model"
        raise ValueError(
            f"{path} must be {MIN_SIZE_MM:g} to {MAX_SIZE_MM:g} mm long, got {length * MILLIMETRES[unit]:.6g} mm "
            f"(its {length:.6g} read as {unit}); {advice}"
        )
