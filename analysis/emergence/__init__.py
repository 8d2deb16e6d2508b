"""Emergence: label the curves of a table, each with its threshold, width and error rates."""

from analysis.emergence.forecast import forecast_table
from analysis.emergence.label import Label
from analysis.emergence.result import curve_values, label_curve, label_table
from analysis.emergence.table import read_scores, scores_of

__all__ = ["Label", "curve_values", "forecast_table", "label_curve", "label_table", "read_scores", "scores_of"]
