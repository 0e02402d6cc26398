"""The tools without a checkout: ``nst_det TOOL``, or ``python -m nst_det TOOL``."""

import runpy
import sys
from pathlib import Path

from nst_det.cli import user_errors
from nst_det.errors import UserError, nearest

TOOLS = Path(__file__).with_name('.mim') / 'tools'  # a link to tools/ in a checkout


def main() -> None:
    """Run the tool that the first argument names, with the other arguments."""
    with user_errors():
        tools = {tool.stem: tool for tool in sorted(TOOLS.glob('*.py'))}
        name, *arguments = sys.argv[1:] or ['--help']
        if name in ('-h', '--help'):
            print('usage: nst_det TOOL …    (nst_det TOOL --help explains a tool)\ntools:', *tools)
            return
        if name not in tools:
            raise UserError(f"there is no tool '{name}': {nearest(name, tools)}")
        sys.argv = [str(tools[name]), *arguments]
        runpy.run_path(str(tools[name]), run_name='__main__')


if __name__ == '__main__':
    main()
