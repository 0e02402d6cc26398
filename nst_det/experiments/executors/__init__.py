"""Where the trials of a table run: on this machine, on a Ray cluster, or as jobs of Slurm."""

from .executor import Executor
from .open_executor import open_executor

__all__ = ['Executor', 'open_executor']
