"""The rows of a table, read from config files."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from nst_det.config.load import load_config
from nst_det.config.settings import change
from nst_det.errors import UserError, nearest


def read_rows(configs: Sequence[str], wanted: Sequence[str] = ()) -> dict[str, Config]:
    """Read the configs of the rows of a table.

    A config with ``rows`` is a table: for each name in ``rows`` it is read anew, with the name in
    the environment variable ``ROW``. Any other config is one row, called like its file.

    Args:
        configs (Sequence[str]): Paths of configs, or ``'package::name'``.
        wanted (Sequence[str]): The names of the rows to read. Defaults to none: all rows.

    Returns:
        dict[str, Config]: The config of each row by its name, in the order of the configs.

    Raises:
        UserError: If a config cannot be read, two rows have the same name, a wanted row does not
            exist, or a table does not read ``ROW``.
    """
    sources: dict[str, tuple[str, Config]] = {}
    for path in configs:
        cfg = load_config(path)
        for name in cfg.get('rows', [config_name(path)]):
            if name in sources:
                raise UserError(f'two rows are called {name}: rows need different names')
            sources[name] = (path, cfg)
    for name in wanted:
        if name not in sources:
            raise UserError(f'--rows {name} is no row of these configs: {nearest(name, sources)}')
    return {
        name: _read_row(path, name) if 'rows' in cfg else cfg
        for name, (path, cfg) in sources.items()
        if not wanted or name in wanted
    }


def prepare_row(name: str, cfg: Config, changes: Sequence[str] = ()) -> None:
    """Make the changes of ``--cfg-options``, and try to build the detector: mistakes show at once.

    Args:
        name (str): The name of the row, for the error.
        cfg (Config): Its config, which is changed.
        changes (Sequence[str]): The texts ``'key=value'``. Defaults to none.

    Raises:
        UserError: If a change does not fit, or there is no detector that can be built.
    """
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    change(cfg, changes)
    if not isinstance(cfg.get('model'), dict) or 'type' not in cfg.model:
        raise UserError(f'{name} has no model with a type: give the config of a detector')
    try:
        MODELS.build(deepcopy(cfg.model))  # a copy, because mmdet's detectors write into it
    except UserError as error:
        raise UserError(f'{name}: {error}', error.option) from error


def config_name(path: str) -> str:
    """The name of a config: that of its file, without folder and ending.

    Args:
        path (str): The path of the config, or ``'package::name'``.

    Returns:
        str: The name.
    """
    return Path(path.split('::')[-1]).name.removesuffix('.py')


def _read_row(path: str, name: str) -> Config:
    with _environment(ROW=name):
        cfg = load_config(path)
    if cfg.get('row') != name:
        raise UserError(
            f'the table {path} does not read the environment variable ROW: it needs the line row = '
            f"'{{{{$ROW:{next(iter(cfg.rows))}}}}}', and has to build the model of that row"
        )
    cfg.pop('rows')  # so that the config of a row is no table
    return cfg


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables for a while, without the line that mmengine logs for each."""
    before = dict(os.environ)
    os.environ.update(variables)
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)
