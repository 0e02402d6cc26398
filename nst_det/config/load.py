"""Reading a config file, and finding those that are shipped."""

from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config

from nst_det.errors import UserError, nearest

SCOPE = 'nst_det::'
SHIPPED = Path(__file__).parents[1] / '.mim' / 'configs'  # in a checkout a link to its configs/


def load_config(path: str) -> Config:
    """Read a config.

    Args:
        path (str): The path of a config file, or ``'package::name'`` for a config that an installed
            package ships, such as ``'nst_det::faster_rcnn_nst_voc.py'`` or
            ``'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'``.

    Returns:
        Config: The config.

    Raises:
        UserError: Where there is none of that name or it cannot be read.
    """
    try:
        if path.startswith(SCOPE):
            return Config.fromfile(shipped_config(path))
        if '::' in path:
            return get_config(path)
        file = Path(path).expanduser()
        if file.is_dir():
            inside = [str(file / other.name) for other in file.glob('*.py')]
            raise UserError(f'{file} is a folder, expected a config file: {nearest("", inside)}')
        if not file.is_file():
            siblings = [str(file.parent / other.name) for other in file.parent.glob('*.py')]
            hint = f': {nearest(path, siblings)}' if siblings else ''
            raise UserError(f'there is no config file {file.absolute()}{hint}')
        return Config.fromfile(file)
    except UserError:
        raise
    except Exception as error:
        reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
        raise UserError(f'config {path} cannot be read: {reason}') from error


def shipped_config(name: str) -> Path:
    """Find a config that nst_det ships.

    Args:
        name (str): Its name, such as ``'nst_det::voc_table4/nst_poly.py'``.

    Returns:
        Path: The file.

    Raises:
        UserError: Where there is none of that name.
    """
    wanted = name.removeprefix(SCOPE)
    files = {file.relative_to(SHIPPED).as_posix(): file for file in SHIPPED.rglob('*.py')}
    if wanted not in files:
        raise UserError(
            f'nst_det ships no config {name}: '
            + nearest(name, (SCOPE + one for one in files if '_base_' not in one))
        )
    return files[wanted]
