"""Experiments of many trainings: trials, and the table of their results."""

from .paper import paper_rows
from .protocol import Protocol, shared_protocol
from .read_rows import prepare_row, read_rows
from .results_table import ResultsTable, Row
from .run_table import TableRun
from .run_trials import run_trials
from .table_figure import draw_table
from .tool_calls import ToolCalls
from .train_and_test import Tested, train_and_test
from .trial import Result, Trial

__all__ = [
    'Protocol',
    'Result',
    'ResultsTable',
    'Row',
    'TableRun',
    'Tested',
    'ToolCalls',
    'Trial',
    'draw_table',
    'paper_rows',
    'prepare_row',
    'read_rows',
    'run_trials',
    'shared_protocol',
    'train_and_test',
]
