"""First files of a simulator of the user's own, which run at once."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template

from autosimulate_pipeline.simulators import SIMULATORS

_TEMPLATES = Path(__file__).parent / "templates"

_CLASS = "  type: {name}:{class_name}"
_COMMAND = """\
  type: external
  options:
    command: [python, {file}] # any program; it gets the path of the request as its last argument
    categories: [ball, box]
    owners: {{ball_x: ball, box_x: box}}"""


def new_simulator(project: Path, name: str, *, external: bool) -> list[Path]:
    """Writes a class to src/NAME.py, or a script to simulators/NAME.py, and conf/NAME/parameters.yml; their paths.

    Raises:
        ValueError: if the name is no name for a module and an environment.
        FileExistsError: if one of the files is there already; then nothing is written.
    """
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(f"the name must be lower-case letters, digits and _, as a module's, got {name!r}")
    file, conf = Path("simulators" if external else "src") / f"{name}.py", Path("conf") / name / "parameters.yml"
    for path in (file, conf.parent):
        if (project / path).exists() or (project / path).is_symlink():
            raise FileExistsError(f"{path} exists already, and nothing is overwritten: choose another name")
    if name in SIMULATORS or find_spec(name) is not None:
        raise ValueError(f"{name} is the name of another module or simulator already: choose another name")
    class_name = "".join(word.capitalize() for word in name.split("_")) + "Simulator"
    simulator = (_COMMAND if external else _CLASS).format(name=name, class_name=class_name, file=file)
    code = (_TEMPLATES / ("command.py" if external else "renderer.py")).read_text(encoding="utf-8")
    parameters = Template((_TEMPLATES / "parameters.yml").read_text(encoding="utf-8"))
    for path, content in (
        (file, code.replace("NewSimulator", class_name)),
        (conf, parameters.substitute(name=name, file=file, simulator=simulator)),
    ):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        with (project / path).open("x", encoding="utf-8") as new:
            new.write(content)
    return [file, conf]
