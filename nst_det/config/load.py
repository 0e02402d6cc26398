"""Reading a config file."""

from mmengine.config import Config
from mmengine.hub import get_config

from nst_det.config.find import find_config
from nst_det.errors import UserError, one_line


def load_config(path: str) -> Config:
    """Read a config.

    Args:
        path (str): The path of a config file, or ``'package::name'`` for a config that an installed
            package ships, such as ``'nst_det::faster_rcnn_nst_voc.py'`` or
            ``'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'``.

    Returns:
        Config: The config.

    Raises:
        UserError: If there is no such config, or it cannot be read.
    """
    file = find_config(path)
    try:
        return get_config(path) if file is None else Config.fromfile(file)
    except UserError:  # such as a _base_ that nst_det does not ship
        raise
    except Exception as error:
        # The message of an assertion in a config is meant for the user as it is.
        line = one_line(error, with_type=not isinstance(error, AssertionError))
        raise UserError(f'config {path} cannot be read: {line}') from error
