"""Figures, summary and report of a run; plain matplotlib and Jinja2."""
