"""The directive ``tool-help``: the output of ``python tools/NAME.py --help`` for every tool."""

import contextlib
import io
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


class ToolHelp(SphinxDirective):
    """Writes a section for every tool, with its help."""

    def run(self) -> list[nodes.Node]:
        return [self.section(tool) for tool in sorted(TOOLS.glob('*.py'))]

    def section(self, tool: Path) -> nodes.section:
        """The section of one tool."""
        self.env.note_dependency(str(tool))
        section = nodes.section(ids=[nodes.make_id(tool.stem)], names=[tool.stem])
        section += nodes.title('', f'tools/{tool.name}')
        section += nodes.literal_block('', help_of(tool), language='none')
        return section


def help_of(tool: Path) -> str:
    """Get the help of a tool in this process, which is quicker than a process for each."""
    printed = io.StringIO()
    with (
        mock.patch.object(sys, 'argv', [tool.name, '--help']),
        mock.patch.dict(os.environ, COLUMNS='88', NO_COLOR='1'),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        runpy.run_path(str(tool))['parse_args']()
    return printed.getvalue()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive('tool-help', ToolHelp)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
