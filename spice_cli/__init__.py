"""Cluster images without labels, one stage at a time."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spice_cli.api import cluster
    from spice_cli.estimator import SpiceClusterer

__version__ = "0.1.0"
__all__ = ["SpiceClusterer", "__version__", "cluster"]


def __getattr__(name: str) -> Any:
    """Import what is asked for by name, and nothing heavy before."""
    if name == "cluster":
        from spice_cli.api import cluster

        return cluster
    if name == "SpiceClusterer":
        from spice_cli.estimator import SpiceClusterer

        return SpiceClusterer
    raise AttributeError(f"module `spice_cli` has no attribute `{name}`")
