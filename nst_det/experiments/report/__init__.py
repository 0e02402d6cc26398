"""The report on trainings: one HTML file to look at and to share."""

from ..run_folder import Run, read_runs
from .contents import collect
from .page import check_packages, write_report

__all__ = ['Run', 'check_packages', 'collect', 'read_runs', 'write_report']
