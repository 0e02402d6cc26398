"""A detector's own config, in whatever names it."""

from mmengine.config import Config, ConfigDict

from nst_det.config.load import load_config
from nst_det.errors import UserError


def detector_config(config: str | dict) -> ConfigDict:
    """Find the detector's own config in whatever a user calls a teacher.

    Args:
        config (str or dict): A path, ``'mmdet::…'``, a whole config, or a model dict.

    Returns:
        ConfigDict: The model dict; of a distiller, its student's.

    Raises:
        UserError: Where there is none.
    """
    if isinstance(config, str):
        config = load_config(config)
    whole = config if isinstance(config, (dict, Config)) else {}
    model = whole.get('model', whole)
    outer = [whole]
    while isinstance(model, dict) and model.get('type') == 'NSTDistiller':
        outer.append(model)
        model = model.get('student')
    if not isinstance(model, dict) or 'type' not in model:
        raise UserError(
            f'teacher.config is {config!r:.80}, expected the path of a config, '
            "'mmdet::…' or a model dict with a type"
        )
    for one in reversed(outer):  # where the detector has none, the nearest counts
        if one.get('data_preprocessor') is not None:
            model = {'data_preprocessor': one['data_preprocessor'], **model}
    return ConfigDict(model)
