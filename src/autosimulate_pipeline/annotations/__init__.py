"""Annotated images on disk."""

from autosimulate_pipeline.annotations.coco import read_coco, write_coco

__all__ = ["read_coco", "write_coco"]
