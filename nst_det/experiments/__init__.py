"""Experiments of many trainings: trials, and the table that their results make."""

from .common_test import CommonTest, common_test
from .results_table import ResultsTable, Row, paper_rows
from .table_picture import draw_table
from .train_and_test import Tested, ToolCalls, train_and_test
from .trial import Result, Trial
from .trial_queue import run_trials

__all__ = [
    'CommonTest',
    'Result',
    'ResultsTable',
    'Row',
    'Tested',
    'ToolCalls',
    'Trial',
    'common_test',
    'draw_table',
    'paper_rows',
    'run_trials',
    'train_and_test',
]
