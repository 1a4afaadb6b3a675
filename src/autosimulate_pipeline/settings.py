"""Kedro project settings; see docs.kedro.org. Kedro imports this file, nothing else does."""

from omegaconf.resolvers import oc

from autosimulate_pipeline.configuration import ProjectConfigLoader, current_parameters
from autosimulate_pipeline.hooks import MemoryHook, ProgressHook, StageClockHook, TrackingHook, ValidationHook

HOOKS = (ValidationHook(), StageClockHook(), TrackingHook(), ProgressHook(), MemoryHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "config_patterns": {"mlflow": ["mlflow*"]},
    "base_env": "base",
    "default_run_env": "local",
    "custom_resolvers": {
        "oc.env": oc.env,  # Kedro has it for credentials alone
        "pretraining_key": lambda: current_parameters().pretraining_key,
        "pilot_key": lambda: current_parameters().pilot_key,
    },
    "merge_strategy": {"parameters": "soft"},  # an environment overrides single keys, not whole blocks
}
