"""Annotated images on disk."""

from autosimulate_pipeline.annotations.bop import read_bop, scene_image_ids, split_by_blocks
from autosimulate_pipeline.annotations.bop_files import read_objects
from autosimulate_pipeline.annotations.bop_writing import write_bop
from autosimulate_pipeline.annotations.coco import read_coco, write_coco

__all__ = ["read_bop", "read_coco", "read_objects", "scene_image_ids", "split_by_blocks", "write_bop", "write_coco"]
