"""The tools without a checkout: ``nst_det TOOL``, or ``python -m nst_det TOOL``."""

import runpy
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from nst_det.cli import user_errors
from nst_det.errors import UserError, nearest

TOOLS = Path(__file__).with_name('.mim') / 'tools'  # a link to tools/ in a checkout
USAGE = """\
usage: nst_det TOOL …          a tool of this package (nst_det TOOL --help explains it)
       nst_det mmdet TOOL …    a tool of mmdet (nst_det mmdet lists them)
tools:"""
MMDET_USAGE = """\
usage: nst_det mmdet TOOL …    a tool that mmdet ships, with nst_det imported first
tools:"""


def main() -> None:
    """Run the tool that the first argument names, with the other arguments."""
    with user_errors():
        tools = {tool.stem: tool for tool in sorted(TOOLS.glob('*.py'))}
        name, *arguments = sys.argv[1:] or ['--help']
        if name in ('-h', '--help'):
            print(USAGE, *tools)
        elif name == 'mmdet':
            run_mmdet(arguments)
        elif name in tools:
            sys.argv = [str(tools[name]), *arguments]
            runpy.run_path(str(tools[name]), run_name='__main__')
        else:
            raise UserError(f"there is no tool '{name}': {nearest(name, [*tools, 'mmdet'])}")


def run_mmdet(arguments: Sequence[str]) -> None:
    """Run a tool that mmdet ships, in a process that has nst_det imported.

    With mmcv-lite none of them starts by itself, because mmdet imports compiled ops. Here they find
    the stand-ins, the classes and the configs of this package. The analysis tools see the student
    of a distiller, because they look into the detector.

    Args:
        arguments (Sequence[str]): The tool, such as ``'test'`` or ``'analysis_tools/get_flops'``
            (the name alone is enough), and its arguments.

    Raises:
        UserError: If there is no such tool, or what it needs cannot be imported.
    """
    folder, tools = mmdet_tools()
    name, *arguments = arguments or ['--help']
    if name in ('-h', '--help'):
        print(MMDET_USAGE, *(str(tool.relative_to(folder))[:-3] for tool in tools), sep='\n  ')
        return
    wanted = name.removesuffix('.py')
    found = [
        tool for tool in tools if wanted in (tool.stem, tool.relative_to(folder).as_posix()[:-3])
    ]
    if not found:
        raise UserError(
            f"mmdet has no tool '{name}': {nearest(wanted, {tool.stem for tool in tools})}"
        )
    from nst_det import register

    try:
        register()
    except ImportError as error:
        raise UserError(str(error)) from error
    if found[0].parent.name == 'analysis_tools':
        from nst_det.compat import mmdet_apis

        mmdet_apis.read_students()
    sys.argv = [str(found[0]), *arguments]
    sys.path.insert(0, str(folder.parent))  # some import others, as tools.analysis_tools.…
    runpy.run_path(str(found[0]), run_name='__main__')


def mmdet_tools() -> tuple[Path, list[Path]]:
    """List the tools that the installed mmdet ships.

    Returns:
        tuple[Path, list[Path]]: Their folder, and the files, those of less deep folders first.

    Raises:
        UserError: If mmdet is not installed, or came without its tools.
    """
    spec = find_spec('mmdet')
    folder = Path(spec.origin).with_name('.mim') / 'tools' if spec and spec.origin else Path()
    files = folder.rglob('*.py') if spec else ()
    tools = sorted(files, key=lambda tool: (len(tool.parts), tool))
    if not tools:
        raise UserError('mmdet is not installed here, or without its tools: pip install mmdet')
    return folder, tools


if __name__ == '__main__':
    main()
