"""AutoSimulate: learn a simulator's parameters so that networks trained on its images do best on real ones."""

__version__ = "0.1.0"
