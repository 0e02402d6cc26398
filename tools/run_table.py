"""Train and test a table of methods over several seeds, and write it as Markdown, CSV and PNG.

What is finished is not done again, and what was killed is resumed: call it again with the same
configs and work dir. Every training writes its output into a log of its own.
"""

import argparse
import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import nst_det  # noqa: F401  registers what the configs name

# isort: split
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from nst_det.cli import add_changes, user_errors
from nst_det.config.load import load_config
from nst_det.config.settings import change
from nst_det.errors import UserError, nearest
from nst_det.experiments import (
    ResultsTable,
    Row,
    Trial,
    draw_table,
    paper_rows,
    run_trials,
    shared_protocol,
)
from nst_det.fileio.atomic import write_atomically

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='one a row; the table calls it what the config says as method, else as its file',
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='of every row')
    parser.add_argument('--work-dir', default='work_dirs/table', help='where everything goes')
    parser.add_argument(
        '--teacher',
        metavar='CONFIG',
        help='the teacher of all rows that have one, trained first, once; without it each row '
        'needs the checkpoint that its config names',
    )
    parser.add_argument(
        '--baseline',
        metavar='CONFIG',
        help='the row that gains are over; without it the first',
    )
    parser.add_argument(
        '--gpus',
        nargs='+',
        default=[],
        metavar='GPU',
        help='one process at a time on each of these, numbered as CUDA_VISIBLE_DEVICES does; '
        'without it one process at a time, in the environment as it is',
    )
    parser.add_argument(
        '--paper', action='store_true', help="show table 4 of the NST paper's rows beside ours"
    )
    add_changes(parser)
    args = parser.parse_args()
    for option, values in [('--seeds', args.seeds), ('--gpus', args.gpus)]:
        if len(set(values)) < len(values):
            raise UserError(f'{option} names one twice: {" ".join(map(str, values))}')
    if min(args.seeds) < 0:
        raise UserError(f'--seeds has {min(args.seeds)}, expected numbers of at least 0')
    return args


def main() -> None:
    args = parse_args()
    init_default_scope('mmdet')
    work_dir = Path(args.work_dir)
    configs = read_configs(args.configs, args.cfg_options)
    methods = {name: cfg.get('method', name) for name, cfg in configs.items()}
    if len(set(methods.values())) < len(methods):
        raise UserError(f'two rows are called the same: {", ".join(methods.values())}')
    baseline = methods[find_baseline(args.baseline, configs)]
    teacher = args.teacher and teacher_trial(args.teacher, args.cfg_options, work_dir)
    if teacher and (teacher.method in methods.values() or teacher.folder.name in configs):
        raise UserError(f"a row is called '{teacher.method}', as the teacher is")
    test = shared_protocol({**configs, **({teacher.method: teacher.cfg} if teacher else {})})
    paper = paper_rows(test) if args.paper else {}
    rows = {method: Row(method) for method in methods.values()}

    def fill(trials: list[Trial], gpus: list[str]) -> None:
        for trial in trials:
            trial.check()
            if (result := trial.result()) is not None:
                rows[trial.method].results[trial.seed] = result
        missing = [trial for trial in trials if trial.result() is None]
        if len(missing) < len(trials):
            print(f'{len(trials) - len(missing)} of {len(trials)} are finished already')
        failures = []
        for trial, outcome in run_trials(missing, gpus, [held]):
            if isinstance(outcome, UserError):
                failures.append(f'{trial.name}: {outcome}')
            else:
                rows[trial.method].results[trial.seed] = outcome
                write(ResultsTable(list(rows.values()), baseline, paper, test.protocol), work_dir)
        if failures:
            raise UserError(f'{len(failures)} of {len(trials)} failed, {failures[0]}')

    with lock(work_dir) as held:
        if teacher:
            rows[teacher.method] = Row(teacher.method, competes=False)
            fill([teacher], args.gpus[:1])
        for name, cfg in configs.items():
            name_teacher(name, cfg, args.teacher, teacher and teacher.result().checkpoint)
        fill(
            [
                Trial(methods[name], cfg, seed, work_dir / name, TOOLS)
                for seed in args.seeds  # outermost: a table cut short has the same seeds of all
                for name, cfg in configs.items()
            ],
            args.gpus,
        )
        table = ResultsTable(list(rows.values()), baseline, paper, test.protocol)
        write(table, work_dir)
    print(f'\n{table.markdown()}\n{work_dir}/table.md, table.csv and table.png hold it')


def read_configs(paths: list[str], options: dict) -> dict[str, Config]:
    """Read the rows' configs, and build each one's detector once: mistakes show at once.

    Returns:
        dict[str, Config]: By the file's name, which is the row's folder as well.
    """
    configs: dict[str, Config] = {}
    for path in paths:
        name = Path(path.split('::')[-1]).stem
        if name in configs:
            raise UserError(f'two configs are called {name}: the rows need different file names')
        configs[name] = read_config(path, options)
    return configs


def read_config(path: str, options: dict) -> Config:
    """Read a config with its changes, and try to build its detector."""
    cfg = load_config(path)
    change(cfg, options)
    if not isinstance(cfg.get('model'), dict) or 'type' not in cfg.model:
        raise UserError(f'{path} has no model with a type: give the config of a detector')
    try:
        MODELS.build(deepcopy(cfg.model))  # mmdet's detectors write into it
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    return cfg


def find_baseline(given: str | None, configs: dict[str, Config]) -> str:
    """The row that gains are over: the one asked for, else the first."""
    name = next(iter(configs)) if given is None else Path(given).stem
    if name not in configs:
        raise UserError(f'--baseline {given} is none of the rows: {nearest(name, configs)}')
    return name


def teacher_trial(path: str, options: dict, work_dir: Path) -> Trial:
    """The training of the teacher, with its own config's seed."""
    cfg = read_config(path, options)
    seed = cfg.get('randomness', {}).get('seed') or 0
    name = Path(path.split('::')[-1]).stem
    return Trial(cfg.get('method', name), cfg, seed, work_dir / name, TOOLS)


def name_teacher(name: str, cfg: Config, config: str | None, checkpoint: str | None) -> None:
    """Write into a row's config which teacher it has, its checkpoint's hash included."""
    if cfg.model.type != 'NSTDistiller':
        return
    teacher = cfg.model.teacher
    if checkpoint:
        teacher.update(config=str(Path(config).resolve()), checkpoint=checkpoint)
    if '://' in teacher.checkpoint or teacher.checkpoint == 'random':
        return
    file = Path(teacher.checkpoint).expanduser()
    if not file.is_file():
        raise UserError(
            f'{name} needs its teacher {file}, which is not there: train it, or give its config as '
            '--teacher'
        )
    # So that another teacher makes another row.
    cfg.teacher_sha256 = hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def lock(folder: Path) -> Iterator[int]:
    """Keep a folder to this process and the trainings it starts, which inherit the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / '.lock').open('w') as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f'another run_table.py, or a training that it started, still works in {folder}: '
                'wait for it, or choose another --work-dir'
            ) from None
        yield stream.fileno()


def write(table: ResultsTable, folder: Path) -> None:
    """Write the table in its three forms."""
    write_atomically(folder / 'table.md', table.markdown().encode())
    write_atomically(folder / 'table.csv', table.csv().encode())
    draw_table(table, folder / 'table.png')


if __name__ == '__main__':
    with user_errors():
        main()
