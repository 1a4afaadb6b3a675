"""One mesh out of a PLY, OBJ or GLB file, which may be a stranger's.

Files that a mesh names (materials, textures) are looked for in its folder alone, and nothing comes over the network.
Colours and pictures are read; gloss, metal, transparency and bumps of materials are not.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from autosimulate_pipeline.cad_models.glb_files import read_glb
from autosimulate_pipeline.cad_models.mesh_parts import (
    GREY,
    MAX_FILE_BYTES,
    MeshError,
    MeshPart,
    RawMesh,
    join,
)
from autosimulate_pipeline.cad_models.obj_files import read_obj
from autosimulate_pipeline.cad_models.ply_files import read_ply
from autosimulate_pipeline.files.checked_files import in_one_line

READERS: dict[str, Callable[[Path], Iterator[MeshPart]]] = {".ply": read_ply, ".obj": read_obj, ".glb": read_glb}
"""By the end of a file's name."""

_MAX_FACES = 2_000_000

logger = logging.getLogger(__name__)


def load_mesh(path: Path) -> RawMesh:
    """The file's mesh, its parts as one. Not to be changed: it is kept for the next call, until the file changes.

    Faces without a colour are grey; it is logged once.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it holds no mesh, is malformed or too large, or a file that it names cannot be read.
    """
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{path} must be one of {', '.join(READERS)}, got {path.suffix!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    status = path.stat()
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} must have at most {MAX_FILE_BYTES} bytes, got {status.st_size}")
    return _load(path.resolve(), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _load(path: Path, _modified: int, _size: int) -> RawMesh:
    try:
        with np.errstate(all="ignore"):  # what is NaN or infinite is refused when the parts are joined
            mesh = join(READERS[path.suffix.lower()](path), path, _MAX_FACES)
    except MeshError:
        raise
    except LookupError as error:
        raise ValueError(f"{path} must be a readable mesh: it lacks {in_one_line(error)}") from None
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"{path} must be a readable mesh: {in_one_line(error)}") from None
    if mesh.num_grey:
        which = "has no colours" if mesh.num_grey == len(mesh.faces) else f"has {mesh.num_grey} faces without a colour"
        logger.warning("%s %s: rendered in grey, sRGB %s", path, which, GREY)
    return mesh
