"""Annotated images on disk."""

from autosimulate_pipeline.annotations.bop import read_bop, scene_image_ids, split_by_blocks
from autosimulate_pipeline.annotations.bop_files import read_objects
from autosimulate_pipeline.annotations.bop_writing import write_bop
from autosimulate_pipeline.annotations.coco import OtherCategories, read_coco
from autosimulate_pipeline.annotations.coco_writing import write_coco
from autosimulate_pipeline.annotations.labelled_folder import (
    check_disjoint,
    check_no_links,
    lack_of_masks,
    read_labelled_folder,
    unlabelled_categories,
)

__all__ = [
    "OtherCategories",
    "check_disjoint",
    "check_no_links",
    "lack_of_masks",
    "read_bop",
    "read_coco",
    "read_labelled_folder",
    "read_objects",
    "scene_image_ids",
    "split_by_blocks",
    "unlabelled_categories",
    "write_bop",
    "write_coco",
]
