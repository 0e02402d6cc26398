"""The start of every command-line tool: it answers ``--help`` and mistakes without torch.

``import nst_det`` imports torch and mmdet and registers the parts of the package, which takes
seconds. A tool starts here instead: it reads its arguments, then registers, then does its work.
"""

import sys
from argparse import Namespace
from collections.abc import Callable

# If this is true, ``import nst_det`` leaves the registration to nst_det.register(): in a process of
# a tool, and while ``python -m nst_det`` imports the package to find its __main__.
registers_later = sys.argv[0] == '-m' and sys.orig_argv[-len(sys.argv)] == 'nst_det'


def run(
    parse_args: Callable[[], Namespace],
    main: Callable[[Namespace], None],
    needs_mmdet: Callable[[Namespace], bool] = lambda args: True,
) -> None:
    """Run a tool.

    A tool calls this under ``if __name__ == '__main__'``. A process that it spawns imports its file
    as well, but under another name: there ``import nst_det`` registers at once.

    Args:
        parse_args (Callable): Reads the arguments and checks the files that they name. It may
            import only modules of nst_det that import neither torch nor mmdet.
        main (Callable): Does the work, with everything registered.
        needs_mmdet (Callable): Tells whether the work needs torch and mmdet. Defaults to always;
            a tool that works without them registers nothing.
    """
    global registers_later
    registers_later = True
    from nst_det import cli, errors, register

    with cli.user_errors():
        args = parse_args()
        if needs_mmdet(args):
            try:
                register()
            except ImportError as error:
                raise errors.UserError(str(error)) from error
        main(args)


def main() -> None:
    """Run the tool that the first argument names: the command ``nst_det TOOL``."""
    global registers_later
    registers_later = True
    from nst_det import __main__

    __main__.main()


# In a process that multiprocessing did not fork, such as a data worker with the start method spawn,
# the file of the tool has this name. The task that follows may be made of mmdet's parts alone.
if getattr(sys.modules.get('__mp_main__'), '__name__', None) == '__mp_main__':
    import nst_det  # noqa: F401
