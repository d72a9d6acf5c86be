"""Cluster images without labels, one stage at a time."""

__version__ = "0.1.0"
