"""Which ways of spreading a training over devices a distiller can go."""

from mmengine.config import Config

from nst_det.errors import UserError

STRATEGIES = ('SingleDeviceStrategy', 'DDPStrategy')
WRAPPER = 'MMDistributedDataParallel'


def check_parallel(cfg: Config) -> None:
    """Refuse to train a distiller in a way that takes its model apart.

    FSDP, DeepSpeed and Colossal-AI shard or replace parameters module by module, and would have to
    know which are the student's and that the teacher is none of the model's.

    Args:
        cfg (Config): The whole config.

    Raises:
        UserError: Where a ``strategy`` or ``model_wrapper_cfg`` asks for such a way.
    """
    if cfg.get('model', {}).get('type') != 'NSTDistiller':
        return
    for option, known in [('strategy', STRATEGIES), ('model_wrapper_cfg', (WRAPPER,))]:
        kind = (cfg.get(option) or {}).get('type', known[0])
        name = kind if isinstance(kind, str) else kind.__name__
        if name not in known:
            raise UserError(
                f'{option} is {name}, under which NSTDistiller does not train: leave {option} out '
                f'and each GPU holds the whole student ({WRAPPER})'
            )
