"""A distiller as its training begins, for tools that look at it without training."""

from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from nst_det.config.detector import detector_config
from nst_det.config.load import load_config
from nst_det.errors import UserError, one_line
from nst_det.fileio.state_dict import read_state_dict
from nst_det.models.distillers import NSTDistiller


def build_distiller(cfg: Config, purpose: str, **changes: Any) -> NSTDistiller:
    """Build the distiller of a config, with the config's seed.

    Args:
        cfg (Config): The whole config.
        purpose (str): What a distiller is needed for, for the error.
        **changes: Options of the distiller to be set otherwise.

    Returns:
        NSTDistiller: The distiller, without weights.

    Raises:
        UserError: Where the model is no distiller.
    """
    model = cfg.get('model', {})
    if model.get('type') != 'NSTDistiller':
        raise UserError(
            f'the model of this config is a {model.get("type")}, expected an NSTDistiller: '
            f'{purpose}'
        )
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    set_random_seed(cfg.get('randomness', {}).get('seed') or 0)
    return MODELS.build({**model, **changes})


def start_weights(distiller: NSTDistiller, cfg: Config) -> None:
    """Give a distiller's student the weights that training would begin with.

    Args:
        distiller (NSTDistiller): The distiller.
        cfg (Config): Its config: the student's ``init_cfg`` counts, and then ``load_from``.
    """
    distiller.init_weights()
    if cfg.get('load_from'):
        load_state_dict(distiller, read_state_dict(cfg.load_from))


def build_detector(config: str | Config) -> nn.Module:
    """Build the detector of a config, without weights.

    Args:
        config (str or Config): The config, its path or ``'mmdet::…'``; of a distiller's it takes
            the student.

    Returns:
        nn.Module: The detector, in evaluation mode.

    Raises:
        UserError: Where there is no such config or its detector cannot be built.
    """
    cfg = load_config(config) if isinstance(config, str) else config
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    try:
        # Some backbones freeze their first stages in train() alone.
        return MODELS.build(detector_config(cfg)).train().eval()
    except (UserError, KeyError):  # these say what is wrong: see nst_det.cli
        raise
    except Exception as error:
        raise UserError(
            f'the detector of {cfg.filename} cannot be built: {one_line(error)}'
        ) from error
