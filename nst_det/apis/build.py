"""Building a distiller or a detector from a config, for tools that do not train."""

from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import nn

from nst_det.config.detector import detector_config, is_distiller
from nst_det.config.load import load_config
from nst_det.errors import UserError, one_line
from nst_det.fileio.fit import select_fitting
from nst_det.fileio.state_dict import read_state_dict
from nst_det.models.distillers import NSTDistiller


def build_distiller(cfg: Config, purpose: str, **changes: Any) -> NSTDistiller:
    """Build the distiller of a config, with the seed of the config.

    Args:
        cfg (Config): The complete config.
        purpose (str): Why a distiller is needed, for the error.
        **changes: Options of the distiller that replace those of the config.

    Returns:
        NSTDistiller: The distiller, without weights.

    Raises:
        UserError: If the model is no distiller.
    """
    model = cfg.get('model', {})
    if not is_distiller(model):
        raise UserError(
            f'the model of this config is a {model.get("type")}, expected an NSTDistiller: '
            f'{purpose}'
        )
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    set_random_seed(cfg.get('randomness', {}).get('seed') or 0)
    return MODELS.build({**model, **changes})


def start_weights(distiller: NSTDistiller, cfg: Config) -> None:
    """Give the student of a distiller the weights with which training begins.

    Args:
        distiller (NSTDistiller): The distiller.
        cfg (Config): Its config. The weights are those of ``load_from``, else of the student's
            ``init_cfg``.
    """
    distiller.init_weights()
    if cfg.get('load_from'):
        weights = read_state_dict(cfg.load_from, prefix=cfg.get('load_from_prefix'))
        weights = select_fitting(distiller, weights, cfg.load_from, 'student')
        distiller.load_state_dict(weights, strict=False)


def build_detector(config: str | Config) -> nn.Module:
    """Build the detector of a config, without weights.

    Args:
        config (str or Config): The config, its path or ``'mmdet::…'``. If the model is a distiller,
            its student is built.

    Returns:
        nn.Module: The detector, in evaluation mode.

    Raises:
        UserError: If there is no such config, or its detector cannot be built.
    """
    cfg = load_config(config) if isinstance(config, str) else config
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    try:
        detector = MODELS.build(detector_config(cfg))
        detector.train()  # some backbones freeze their first stages only here
        detector.eval()
        return detector
    except (UserError, KeyError):  # the tools explain these: see nst_det.cli
        raise
    except Exception as error:
        raise UserError(
            f'the detector of {cfg.filename} cannot be built: {one_line(error)}'
        ) from error
