"""The plain student's config, made from the distiller's."""

from collections.abc import Iterator
from typing import Any

from mmdet import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry

from nst_det.config.detector import detector_config
from nst_det.config.settings import RUNNER_KEYS


def plain_config(cfg: Config) -> Config:
    """Make the config of a distiller's student alone, with all that it inherits.

    It names ``nst_det`` in ``custom_imports`` only where something in it is of this package, such
    as an Inception-BN or the devkit's data set. Images are loaded by mmcv's ``LoadImageFromFile``,
    which mmdet's inferencer looks for, and hooks of this package are left out.

    Args:
        cfg (Config): The whole config of a distiller or of a plain detector.

    Returns:
        Config: The plain detector's. `cfg` is unchanged.

    Raises:
        UserError: Where it has no model.
    """
    plain = {key: value for key, value in cfg.to_dict().items() if key in RUNNER_KEYS}
    plain['model'] = detector_config(cfg).to_dict()
    plain.update(load_from=None, resume=False)
    for name in ('data_preprocessor', 'work_dir'):  # in the model; the training's
        plain.pop(name, None)
    if 'custom_hooks' in plain:
        plain['custom_hooks'] = [
            hook for hook in plain['custom_hooks'] or [] if not _needs_us(hook['type'])
        ]
    for part in _dicts(plain):
        if part.get('type') == 'LoadVerifiedImage':
            part['type'] = 'LoadImageFromFile'
    imports = (plain.pop('custom_imports', None) or {}).get('imports', [])
    names = [imports] if isinstance(imports, str) else list(imports)
    names = [name for name in names if name != 'nst_det']
    if any(_needs_us(part['type']) for part in _dicts(plain) if 'type' in part):
        names.append('nst_det')
    if names:
        plain['custom_imports'] = dict(imports=names, allow_failed_imports=False)
    return Config(plain)


def _dicts(node: Any) -> Iterator[dict]:
    """All dicts of a config, at any depth."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list, tuple)):
            yield from _dicts(child)


def _needs_us(kind: Any) -> bool:
    """Whether a type is there only when nst_det is imported."""
    if not isinstance(kind, str):
        return getattr(kind, '__module__', '').startswith('nst_det.')
    name = kind.split('.')[-1]
    return any(
        registry.module_dict[name].__module__.startswith('nst_det.')
        and (registry.parent is None or name not in registry.parent.module_dict)
        for registry in vars(registries).values()
        if isinstance(registry, Registry) and name in registry.module_dict
    )
