"""Evaluation: how well predictions agree with labels."""

from autosimulate_pipeline.evaluation.metrics import evaluation_report, iou_by_category, precisions_by_category

__all__ = ["evaluation_report", "iou_by_category", "precisions_by_category"]
