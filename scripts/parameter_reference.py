"""Writes docs/reference/parameters.md: every key of conf, from the typed settings that check it.

python scripts/parameter_reference.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from autosimulate_pipeline.configuration import Parameters
from autosimulate_pipeline.distributions import DISTRIBUTIONS
from autosimulate_pipeline.grid.grids import Grid
from autosimulate_pipeline.search.settings import PAPER_HYPERGRADIENT, PAPER_SEARCH
from autosimulate_pipeline.simulators.clevr.simulator import ClevrScene
from autosimulate_pipeline.simulators.external.settings import ExternalSettings
from autosimulate_pipeline.simulators.photoreal.scene import PhotorealScene, PhotorealSettings
from autosimulate_pipeline.simulators.toy import ToyScene
from autosimulate_pipeline.task_models import SETTINGS_BY_TYPE, TrainingSettings
from autosimulate_pipeline.task_models.training_defaults import TRAINING_DEFAULTS
from autosimulate_pipeline.tracking.tracker import TrackingSettings

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT / "docs/reference/parameters.md"

HEAD = """# Parameters

`python scripts/parameter_reference.py` writes this page from the typed settings; a test fails where it is out of date.
How keys are set, environments and names of runs: [configuration](../configuration.md).

A default is that of `conf/base`; where it has no such key, that of the code, marked °, which conf may set as well. A
key without a default has to be given. Units stand behind the range.

## parameters.yml
"""

GROUPS: dict[str, tuple[str, Mapping[str, type[BaseModel]]]] = {
    "Distributions": ("Of a parameter of the simulator: `{distribution: NAME, …}`.", DISTRIBUTIONS),
    "Scene parameters": (
        "What `simulator.parameters` may give a distribution; a parameter without one has its default. Every value\n"
        "that the distribution can reach has to be in the range.",
        {"clevr scenes": ClevrScene, "photoreal scenes": PhotorealScene, "toy scenes": ToyScene},
    ),
    "Options of simulators": (
        "`simulator.options`; `clevr` and `toy` have none.",
        {"photoreal options": PhotorealSettings, "external options": ExternalSettings},
    ),
    "Other files": ("", {"mlflow.yml": TrackingSettings, "grids.yml": Grid}),
}

Schema = Mapping[str, Any]

NETWORKS_OWN = {
    key if "." in key else f"{key}.{name}"
    for trainings in TRAINING_DEFAULTS.values()
    for key, values in trainings.items()
    for name in values
}
"""Dotted keys whose default depends on the network."""


def main() -> None:
    """Write the page."""
    REFERENCE.write_text(reference(), encoding="utf-8")


def reference() -> str:
    """The page, in Markdown."""
    conf = yaml.safe_load((PROJECT / "conf/base/parameters.yml").read_text(encoding="utf-8"))
    schema = Parameters.model_json_schema()
    held = {name: field for name, field in schema["properties"].items() if name != "task_model"}
    blocks = {name: field for name, field in held.items() if _settings_in(field, schema)}
    general = {name: field for name, field in held.items() if name not in blocks}
    by_mode: dict[str, Schema] = {"search": PAPER_SEARCH, "hypergradient": PAPER_HYPERGRADIENT}
    parts = [HEAD, _table(general, schema, conf)]
    for name, field in blocks.items():
        if name == "pretraining":
            parts += _networks(conf["task_model"])
        settings = _settings_in(field, schema)
        parts += [f"### {name}\n", _summary(settings)]
        parts += [_table(settings["properties"], schema, conf.get(name, {}), by_mode.get(name, {}), name)]
    for title, (text, models) in GROUPS.items():
        parts += [f"## {title}\n", *([f"{text}\n"] if text else [])]
        for name, model in models.items():
            settings = model.model_json_schema()
            parts += [f"### {name}\n", _summary(settings), _table(settings["properties"], settings)]
    return "\n".join(parts)


def _networks(conf: Schema) -> Iterator[str]:
    """Each network's keys of task_model, and how it is trained."""
    yield "### task_model\n"
    yield "The network that is trained: `type` says which, and which keys there are; those of another are refused.\n"
    for model in dict.fromkeys(SETTINGS_BY_TYPE.values()):
        settings = model.model_json_schema()
        yield f"#### {', '.join(f'`{name}`' for name, kind in SETTINGS_BY_TYPE.items() if kind is model)}\n"
        yield _summary(settings)
        yield _table({name: field for name, field in settings["properties"].items() if name != "type"}, settings, conf)
    yield "#### Trainings\n"
    yield "What a training has where conf leaves it open: it is the network's own, and the run's record holds it.\n"
    keys = list(next(iter(TRAINING_DEFAULTS.values())))
    rows = [
        " | ".join([f"| `{name}`", *(_written(trainings[key]) for key in keys)]) + " |"
        for name, trainings in TRAINING_DEFAULTS.items()
    ]
    head = " | ".join(["| network", *(f"`{key}`" for key in keys)]) + " |"
    yield "\n".join([head, "|---" * (len(keys) + 1) + "|", *rows, ""])


def _summary(settings: Schema) -> str:
    """The first paragraph of the model's docstring."""
    return settings["description"].partition("\n\n")[0].replace("\n", " ") + "\n"


def _table(
    fields: Schema, schema: Schema, conf: Schema | None = None, paper: Schema | None = None, block: str = ""
) -> str:
    rows = _rows(fields, schema, conf, paper or {}, block)
    return "\n".join(["| key | default | range | meaning |", "|---|---|---|---|", *rows, ""])


def _rows(
    fields: Schema, schema: Schema, conf: Schema | None, paper: Schema, block: str, prefix: str = ""
) -> Iterator[str]:
    """A row for each key; those of a block within the block have its name in front of theirs."""
    for name, field in fields.items():
        if name == "distribution":  # the tag by which they are told apart
            continue
        within = _settings_in(field, schema)
        if within and within["title"] != TrainingSettings.__name__:
            inner = (conf or {}).get(name, {}) if conf is not None else None
            yield from _rows(within["properties"], schema, inner, paper, block, f"{prefix}{name}.")
            continue
        default = _default(name, field, conf)
        if f"{block}.{name}" in NETWORKS_OWN:
            default = "[the network's](#trainings)"
        if name in paper:
            default += f"; `mode: paper`: {_written(paper[name])}"
        yield f"| `{prefix}{name}` | {default} | {_range(field, schema)} | {field.get('description', '')} |"


def _settings_in(field: Schema, schema: Schema) -> Schema:
    """The schema of the model that a field holds; empty where it holds none."""
    for option in field.get("anyOf", [field]):
        if "$ref" in option:
            target: Schema = schema["$defs"][option["$ref"].rpartition("/")[2]]
            return target if "properties" in target else {}
    return {}


def _default(name: str, field: Schema, conf: Schema | None) -> str:
    if conf and name in conf:
        return "see the file" if isinstance(conf[name], dict) and len(conf[name]) > 1 else _written(conf[name])
    if "default" not in field:
        return ""
    default = field["default"]
    if isinstance(default, dict) and "epochs" in default:  # training: what differs from its own defaults
        default = {key: value for key, value in default.items() if value != TrainingSettings.model_fields[key].default}
    return _written(default) + ("" if conf is None else "°")


def _written(value: Any) -> str:
    """As YAML has it, in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True, sort_keys=False)
    return f"`{text.splitlines()[0]}`"


def _range(field: Schema, schema: Schema) -> str:
    """The values allowed, in words, with their unit."""
    if "anyOf" in field:
        unit = {"unit": field.get("unit", "")}
        return " or ".join(_range(unit | option, schema) for option in field["anyOf"])
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        links = {
            "ProductDistribution": "name: [distribution](#distributions)",
            "TrainingSettings": "[keys](#training) of a training",
        }
        return links.get(name, "[distribution](#distributions)")
    if "const" in field or "enum" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    kinds = {"string": "text", "boolean": "`true`, `false`", "array": "list", "object": "mapping", "null": "`null`"}
    kind = "path" if field.get("format") == "path" else kinds.get(field.get("type", ""), field.get("type", "any"))
    bounds = _bounds(field)
    if kind == "number" and bounds:
        kind = ""
    unit = "" if kind == "`null`" else field.get("unit", "")
    multiple = f"in steps of {field['multipleOf']}" if "multipleOf" in field else ""
    return " ".join(word for word in (kind, bounds, unit, multiple) if word).replace(" °", "°")


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}".replace("-", "−")
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field)


if __name__ == "__main__":
    main()
