"""A distiller as its training begins, for tools that look at it without training."""

from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmengine.runner.checkpoint import load_state_dict

from nst_det.checkpoints import read_state_dict
from nst_det.errors import UserError
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
