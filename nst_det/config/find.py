"""Finding config files, those that nst_det ships among them. It imports no mmengine."""

import difflib
from importlib.util import find_spec
from pathlib import Path

from nst_det.errors import UserError, nearest

SCOPE = 'nst_det::'
SHIPPED = Path(__file__).parents[1] / '.mim' / 'configs'  # a link to configs/ in a checkout


def find_config(path: str) -> Path | None:
    """Find the file of a config.

    Args:
        path (str): The path of a config file, or ``'package::name'`` for a config that an installed
            package ships, such as ``'nst_det::faster_rcnn_nst_voc.py'``.

    Returns:
        Path | None: The file. None for a config of another package, such as ``'mmdet::…'``, which
            mmengine finds.

    Raises:
        UserError: If there is no such file, or no such package.
    """
    if path.startswith(SCOPE):
        return shipped_config(path)
    if '::' in path:
        _check_other_package(path)
        return None
    file = Path(path).expanduser()
    if file.is_dir():
        inside = [str(file / config.name) for config in file.glob('*.py')]
        hint = f': {nearest("", inside)}' if inside else ''
        raise UserError(f'{file} is a folder, expected a config file{hint}')
    if not file.is_file():
        siblings = [config.name for config in file.parent.glob('*.py')]
        close = [str(file.parent / name) for name in difflib.get_close_matches(file.name, siblings)]
        hint = f': {nearest(path, close)}' if close else ''
        raise UserError(f'there is no config file {file.absolute()}{hint}')
    return file


def _check_other_package(path: str) -> None:
    """Check that the package of ``'package::folder/name'`` is installed, without importing it."""
    package, _, name = path.partition('::')
    if not package.isidentifier() or find_spec(package) is None:
        hint = nearest(package, ('nst_det', 'mmdet'))
        raise UserError(f"{path} names the package '{package}', which is not installed: {hint}")
    if '/' not in name:
        raise UserError(
            f"{path} names no folder, expected '{package}::FOLDER/NAME.py', such as "
            "'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'"
        )


def shipped_config(name: str) -> Path:
    """Find a config that nst_det ships.

    Args:
        name (str): Its name, such as ``'nst_det::faster_rcnn_nst_voc.py'``.

    Returns:
        Path: The file.

    Raises:
        UserError: If nst_det ships no config of that name.
    """
    files = {file.relative_to(SHIPPED).as_posix(): file for file in SHIPPED.rglob('*.py')}
    file = files.get(name.removeprefix(SCOPE))
    if file is None:
        names = [SCOPE + shipped for shipped in files if '_base_' not in shipped]
        raise UserError(f'nst_det ships no config {name}: {nearest(name, names)}')
    return file
