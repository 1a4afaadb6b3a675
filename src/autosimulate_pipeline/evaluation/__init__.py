"""Evaluation: how well predictions agree with labels."""

from autosimulate_pipeline.evaluation.metrics import ap_by_category, evaluation_report, iou_by_category

__all__ = ["ap_by_category", "evaluation_report", "iou_by_category"]
