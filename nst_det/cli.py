"""What the command-line tools share: errors in one line, and the options of mmdet's tools."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config, DictAction

from nst_det.compat.cpu_distributed import use_cpus
from nst_det.config.load import load_config
from nst_det.config.options import check_hooks
from nst_det.config.settings import change, check_kinds
from nst_det.errors import UserError, nearest
from nst_det.fileio.checkpoint import TRUST_OPTION, trust


def run(main: Callable[[], None]) -> None:
    """Run a tool: a user's mistake is printed as one line, and the tool exits with 2.

    Args:
        main (Callable): The tool.
    """
    try:
        main()
    except UserError as error:
        _fail(error)
    except (KeyError, TypeError) as error:
        mistake = _config_mistake(str(error))
        if mistake is None:
            raise
        _fail(mistake)
    except AssertionError as error:  # how mmengine and mmdet refuse what a config says
        if not str(error):
            raise
        _fail(' '.join(str(error).split()))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f'{error.filename}: {error.strerror}')
    except KeyboardInterrupt:
        sys.exit(130)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of mmdet's tools that say which config, and how it is changed.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
    """
    parser.add_argument('config', help='config file, or package::name')
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        TRUST_OPTION,
        metavar='FILE',
        action='append',
        default=[],
        help='DANGEROUS: run whatever code this checkpoint file holds; for each one that is meant. '
        'Without it a checkpoint runs nothing, wherever it comes from',
    )
    add_changes(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torchrun passes this to every process.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, for :func:`change`.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        type=_assignment,
        action=DictAction,
        default={},
        help='settings to change in the config, as key=value; a list as key="[a,b]" or key=a,b',
    )


def add_shape(parser: argparse.ArgumentParser, purpose: str = '') -> None:
    """Add ``--shape``, the size of an image.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
        purpose (str): What the image is for, as the help says it. Defaults to nothing.
    """
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=[600, 1000],
        metavar=('HEIGHT', 'WIDTH'),
        help=f'size of the image{purpose}, in pixels (600 1000)',
    )


def check_shape(parser: argparse.ArgumentParser, shape: list[int]) -> None:
    """End the tool where ``--shape`` is no size.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
        shape (list[int]): What was given.
    """
    if min(shape) < 1:
        parser.error(f'--shape is {shape}, expected two sizes of at least 1')


def config_from(args: argparse.Namespace) -> Config:
    """Read the config that a tool was given, with its changes.

    Args:
        args (argparse.Namespace): What :func:`add_config_options` parsed.

    Returns:
        Config: The config, its work_dir set: the option, else the config's, else
        ``work_dirs/<name of the config>``.
    """
    trust(args.trust_pickled_checkpoint)
    cfg = load_config(args.config)
    cfg.launcher = args.launcher
    if args.launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError(
            '--launcher pytorch is for processes that torchrun starts: use tools/dist_train.sh'
        )
    change(cfg, args.cfg_options)
    if 'runner_type' not in cfg:
        check_kinds(cfg)
    use_cpus(cfg)
    check_hooks(cfg.get('custom_hooks'))
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        if loader.get('num_workers') == 0:
            loader['persistent_workers'] = False  # there is none to persist
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config.split('::')[-1]).stem)
    return cfg


def _fail(error: object) -> None:
    # An error out of a data worker carries that worker's traceback: its last line is the message.
    line = (str(error).strip().splitlines() or [''])[-1]
    line = re.sub(r'^[\w.]+Error: ', '', line)
    print(f'error: {line}', file=sys.stderr)
    sys.exit(2)


def _assignment(text: str) -> str:
    if '=' not in text.strip('='):
        raise argparse.ArgumentTypeError(f"'{text}' is no key=value")
    return text


def _config_mistake(error: str) -> str | None:
    """Say which of a config's names a registry or a class did not know, if that was the error."""
    unknown = re.search(r'(\S+) is not in the (\S+)::(.+?) registry', error)
    if unknown is not None:
        return _unknown_type(*unknown.groups())
    untyped = re.search(r'must contain the key "type", but got (.+?)(\\n|$)', error)
    if untyped is not None:
        return f'a part of the config has no type: {untyped[1]:.80}'.replace("\\'", "'")
    surplus = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", error)
    if surplus is not None:
        return f"the config gives {surplus[1]} the option '{surplus[2]}', which it does not have"
    lacking = re.search(r'(\w+)\.__init__\(\) missing \d+ required \S+ arguments?: (.+)', error)
    if lacking is not None:
        return f'the config does not give {lacking[1]} its {lacking[2]}'
    return None


def _unknown_type(name: str, scope: str, registry: str) -> str:
    from mmdet import registry as registries

    name = name.strip('\'"')
    known = next(
        (
            one
            for one in vars(registries).values()
            if (getattr(one, 'scope', None), getattr(one, 'name', None)) == (scope, registry)
        ),
        None,
    )
    hint = f': {nearest(name, known.module_dict)}' if known is not None else ''
    return f"the config names '{name}', which is no {registry} of {scope}{hint}"
