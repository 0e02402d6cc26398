"""Options, checks and one-line errors that the command-line tools share.

It imports neither torch nor mmdet, so that a tool answers ``--help`` and mistakes at once. The
functions that need them import them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nst_det.config.find import find_config
from nst_det.errors import UserError, last_line, nearest, one_line
from nst_det.fileio.find import check_checkpoint
from nst_det.fileio.trusted import TRUST_OPTION, trust

if TYPE_CHECKING:
    from mmengine.config import Config

KERNELS: dict[str, dict[str, Any]] = {
    'poly': dict(type='PolynomialKernel', degree=2, offset=0.0),
    'linear': dict(type='LinearKernel'),
    'gaussian': dict(type='GaussianKernel', sigma_squared=None),
}


@contextmanager
def user_errors() -> Iterator[None]:
    """Print an error that the user can correct as one line, and exit with 2."""
    try:
        yield
    except UserError as error:
        _fail(error)
    except (KeyError, TypeError) as error:
        mistake = _config_mistake(str(error))
        if mistake is None:
            raise
        _fail(mistake)
    except AssertionError as error:  # mmengine and mmdet refuse some options of a config so
        if not str(error):
            raise
        _fail(one_line(error, with_type=False))
    except BrokenPipeError:  # the program that reads the output, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f'{error.filename}: {error.strerror}')
    except KeyboardInterrupt:
        sys.exit(130)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of mmdet's own tools: the config, changes to it, and how to run it.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
    """
    parser.add_argument('config', help='config file, or package::name')
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints (default: work_dirs/NAME_OF_CONFIG)'
    )
    parser.add_argument(
        TRUST_OPTION,
        metavar='FILE',
        action='append',
        default=[],
        help='DANGEROUS: let this checkpoint file run any code that it holds; may be given several '
        'times. Without this option no checkpoint runs code, wherever it comes from',
    )
    add_changes(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes of a distributed run (default: none)',
    )
    # torchrun passes this to every process.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def check_config_options(args: argparse.Namespace) -> None:
    """Check the options of :func:`add_config_options` that can be checked without torch.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Raises:
        UserError: If there is no such config or trusted file, or the launcher is not the one that
            started this process.
    """
    find_config(args.config)
    trust(args.trust_pickled_checkpoint)
    if args.launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError(
            '--launcher pytorch is for processes that torchrun starts: use tools/dist_train.sh'
        )
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, for :func:`nst_det.config.settings.change`.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        type=_assignment,
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings to change in the config; a list as key="[a,b]" or key=a,b',
    )


def add_addition(parser: argparse.ArgumentParser) -> None:
    """Add the options of a config with NST: the student, its teacher, the layers and the loss.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
    """
    parser.add_argument('student', help="the student's config file, or package::name")
    parser.add_argument(
        '--teacher', required=True, help="the teacher's config file, or package::name"
    )
    parser.add_argument(
        '--teacher-checkpoint', required=True, help="path or URL of the teacher's checkpoint"
    )
    parser.add_argument(
        '--teacher-prefix',
        metavar='PREFIX',
        help="what the names of the teacher's weights begin with in that checkpoint, if it holds "
        'several detectors, as in teacher. (default: found)',
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        default=[],
        metavar='LAYER[=TEACHER_LAYER]',
        help='layers of the student, each with the layer of the teacher that it learns from if '
        'that has another name; tools/list_layers.py lists layers (default: proposed by this tool)',
    )
    parser.add_argument(
        '--kernel',
        default='poly',
        help=f'{", ".join(KERNELS)} or the name of a class (default: poly)',
    )
    parser.add_argument(
        '--weight',
        type=_number_or_text,
        default='auto',
        help='lambda, the sum over the layers; or auto, with which the training measures that of '
        'each layer at its start, or auto:5 for another gradient ratio than 20 (default: auto)',
    )
    parser.add_argument(
        '--batches',
        type=int,
        default=5,
        help='batches of the training data to try the layers on; 0 for none (default: 5)',
    )


def check_addition(args: argparse.Namespace) -> None:
    """Check the options of :func:`add_addition` that can be checked without torch.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Raises:
        UserError: If there is no such config or checkpoint, or a number is impossible.
    """
    find_config(args.student)
    find_config(args.teacher)
    if args.teacher_checkpoint != 'random':
        check_checkpoint(args.teacher_checkpoint)
    if args.batches < 0:
        raise UserError(f'--batches is {args.batches}, expected at least 0')


def addition_options(args: argparse.Namespace) -> dict[str, Any]:
    """Collect the arguments of :class:`nst_det.apis.add_nst.Addition`.

    Args:
        args (argparse.Namespace): The parsed arguments, see :func:`add_addition`.

    Returns:
        dict: The arguments.
    """
    return dict(
        student=args.student,
        teacher=args.teacher,
        checkpoint=args.teacher_checkpoint,
        kernel=KERNELS.get(args.kernel, dict(type=args.kernel)),
        loss_weight=args.weight,
        prefix=args.teacher_prefix,
    )


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add ``--seeds``, for :func:`check_seeds`.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
    """
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0], help='seeds to train with (default: 0)'
    )


def check_seeds(seeds: list[int]) -> None:
    """Check the value of ``--seeds``.

    Args:
        seeds (list[int]): The seeds that were given.

    Raises:
        UserError: If one of them is negative, or given twice.
    """
    check_different('--seeds', seeds)
    if min(seeds) < 0:
        raise UserError(f'--seeds has {min(seeds)}, expected numbers of at least 0')


def check_different(option: str, values: Sequence[object]) -> None:
    """Check that an option has no value twice.

    Args:
        option (str): The option.
        values (Sequence): Its values.

    Raises:
        UserError: If it has.
    """
    if len(set(values)) < len(values):
        raise UserError(f'{option} has a value twice: {" ".join(map(str, values))}')


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Add ``--prefix``, for a checkpoint that holds several detectors.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
    """
    parser.add_argument(
        '--prefix',
        help='what the names of the weights in the checkpoint begin with, if it holds several '
        'detectors, as in teacher. (default: found)',
    )


def add_shape(parser: argparse.ArgumentParser, purpose: str = '') -> None:
    """Add ``--shape``, the size of an image.

    Args:
        parser (argparse.ArgumentParser): The tool's parser.
        purpose (str): What the image is for, such as ``' for --onnx'``. Defaults to nothing.
    """
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=[600, 1000],
        metavar=('HEIGHT', 'WIDTH'),
        help=f'size of the image{purpose}, in pixels (default: 600 1000)',
    )


def check_shape(shape: list[int]) -> None:
    """Check the value of ``--shape``.

    Args:
        shape (list[int]): The height and width that were given.

    Raises:
        UserError: If one of them is less than 1.
    """
    if min(shape) < 1:
        raise UserError(f'--shape is {shape}, expected two sizes of at least 1')


def config_from(args: argparse.Namespace) -> Config:
    """Read the config that a tool was given, with its changes.

    Args:
        args (argparse.Namespace): The parsed arguments, see :func:`add_config_options`.

    Returns:
        Config: The config. Its ``work_dir`` is set: to the option, else to the value in the config,
        else to ``work_dirs/<name of the config>``.

    Raises:
        UserError: If the config cannot be read, or a setting is wrong.
    """
    from nst_det.compat.cpu_distributed import use_cpus
    from nst_det.config.load import load_config
    from nst_det.config.options import check_hooks
    from nst_det.config.settings import change, check_kinds

    cfg = load_config(args.config)
    cfg.launcher = args.launcher
    change(cfg, args.cfg_options)
    if 'runner_type' not in cfg:
        check_kinds(cfg)
    use_cpus(cfg)
    check_hooks(cfg.get('custom_hooks'))
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        if loader.get('num_workers') == 0:
            loader['persistent_workers'] = False  # there are no workers to keep
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config.split('::')[-1]).stem)
    return cfg


def _fail(error: object) -> None:
    print(f'error: {last_line(error)}', file=sys.stderr)
    sys.exit(2)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _assignment(text: str) -> str:
    if '=' not in text.strip('='):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form key=value")
    return text


def _config_mistake(error: str) -> str | None:
    """Explain a message of mmengine's registries or of Python that a wrong config has caused."""
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
    wanted = (scope, registry)
    known = [
        candidate
        for candidate in vars(registries).values()
        if (getattr(candidate, 'scope', None), getattr(candidate, 'name', None)) == wanted
    ]
    hint = f': {nearest(name, known[0].module_dict)}' if known else ''
    return f"the config names '{name}', which is no {registry} of {scope}{hint}"
