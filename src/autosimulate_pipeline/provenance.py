"""What results came from: software, the code's commit, the machine, and hashes of the files that were read.

Nothing of the environment, no user's or host's name.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("autosimulate-pipeline", "torch", "torchvision", "bpy", "sapien", "numpy", "pillow", "kedro", "mlflow")
"""What results depend on."""


@dataclass(frozen=True)
class Provenance:
    """What a run, or a part of it, was made by and from.

    Attributes:
        versions: of Python and of `PACKAGES`.
        commit: see `source_commit`.
        machine: what the last bits of sums depend on: processor, threads of PyTorch, GPU.
        inputs: SHA-256 of the user's files and folders by the parameter that names them, as they were at the start.
    """

    versions: dict[str, str]
    commit: str | None
    machine: str
    inputs: dict[str, str]

    def tags(self) -> dict[str, str]:
        """All of it as texts by name."""
        versions = {f"version/{name}": number for name, number in self.versions.items()}
        inputs = {f"sha256/{key}": digest for key, digest in self.inputs.items()}
        return {"commit": self.commit or "unknown", "machine": self.machine} | versions | inputs


History = tuple[Provenance, ...]
"""Of a run that went on by other software or on another machine, an entry for each."""


def provenance_of(inputs: Mapping[str, str]) -> Provenance:
    """This process's, with these hashes of inputs."""
    versions = {"Python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    return Provenance(versions, source_commit(), _machine(), dict(inputs))


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, of the names and contents of all files in it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = hashlib.sha256()
    for file_path in sorted(path.rglob("*")):
        if file_path.is_file():
            content.update(f"{file_path.relative_to(path).as_posix()}\0{digest(file_path)}\n".encode())
    return content.hexdigest()


@cache
def source_commit() -> str | None:
    """The git commit of this code, with `-dirty` behind it if files have changed; None where git does not keep it.

    As it is when the process first asks: git is started twice for it, and the code that runs is then loaded.
    """
    git, file = shutil.which("git"), Path(__file__)

    def ask(*arguments: str) -> str | None:
        answer = subprocess.run([str(git), *arguments], cwd=file.parent, capture_output=True, text=True, check=False)
        return None if answer.returncode else answer.stdout.strip()

    if git is None or ask("ls-files", "--error-unmatch", file.name) is None:
        return None
    return ask("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _machine() -> str:
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    num_threads = torch.get_num_threads()
    return f"{_processor()}, {num_threads} thread{'s' if num_threads > 1 else ''}{gpu}"


def _processor() -> str:
    """The processor's name as Linux has it, elsewhere its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
