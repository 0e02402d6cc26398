"""A check that a distiller is trained with a parallel strategy that it supports."""

from mmengine.config import Config

from nst_det.config.detector import is_distiller
from nst_det.errors import UserError

STRATEGIES = ('SingleDeviceStrategy', 'DDPStrategy')
WRAPPER = 'MMDistributedDataParallel'


def check_strategy(cfg: Config) -> None:
    """Refuse a parallel strategy that takes the model of a distiller apart.

    FSDP, DeepSpeed and Colossal-AI shard or replace parameters module by module. They would need to
    know which parameters are those of the student.

    Args:
        cfg (Config): The complete config.

    Raises:
        UserError: If ``strategy`` or ``model_wrapper_cfg`` names such a strategy.
    """
    if not is_distiller(cfg):
        return
    for option, supported in [('strategy', STRATEGIES), ('model_wrapper_cfg', (WRAPPER,))]:
        kind = (cfg.get(option) or {}).get('type', supported[0])
        name = kind if isinstance(kind, str) else kind.__name__
        if name not in supported:
            raise UserError(
                f'{option} is {name}, but NSTDistiller cannot be sharded: leave {option} out, and '
                f'each GPU holds the complete student ({WRAPPER})',
                option,
            )
