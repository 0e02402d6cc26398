"""The config of the plain student, made from the config of the distiller."""

from collections.abc import Iterator
from typing import Any

from mmdet import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry

from nst_det.config.detector import detector_config
from nst_det.config.settings import RUNNER_KEYS


def plain_config(cfg: Config) -> Config:
    """Make the config of the student of a distiller, without the teacher and without a base.

    It has ``nst_det`` in ``custom_imports`` only if it uses a part of this package, such as
    Inception-BN or the data set of a devkit. Images are loaded by mmcv's ``LoadImageFromFile``,
    because mmdet's inferencer looks for it. Hooks of this package are left out.

    Args:
        cfg (Config): The complete config of a distiller or of a plain detector. It is not changed.

    Returns:
        Config: The config of the plain detector.

    Raises:
        UserError: If it has no model.
    """
    plain = {key: value for key, value in cfg.to_dict().items() if key in RUNNER_KEYS}
    plain['model'] = detector_config(cfg).to_dict()
    plain.update(load_from=None, resume=False)
    for name in ('data_preprocessor', 'load_from_prefix', 'work_dir'):  # the model has the first
        plain.pop(name, None)
    if 'custom_hooks' in plain:
        plain['custom_hooks'] = [
            hook for hook in plain['custom_hooks'] or [] if not _needs_nst_det(hook['type'])
        ]
    for part in _dicts(plain):
        if part.get('type') == 'LoadVerifiedImage':
            part['type'] = 'LoadImageFromFile'
    imports = (plain.pop('custom_imports', None) or {}).get('imports', [])
    names = [imports] if isinstance(imports, str) else list(imports)
    names = [name for name in names if name != 'nst_det']
    if any(_needs_nst_det(part['type']) for part in _dicts(plain) if 'type' in part):
        names.append('nst_det')
    if names:
        plain['custom_imports'] = dict(imports=names, allow_failed_imports=False)
    return Config(plain)


def _dicts(node: Any) -> Iterator[dict]:
    """Find all dicts of a config, at any depth."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list, tuple)):
            yield from _dicts(child)


def _needs_nst_det(kind: Any) -> bool:
    """Whether a type is known only if nst_det is imported."""
    if not isinstance(kind, str):
        return getattr(kind, '__module__', '').startswith('nst_det.')
    name = kind.split('.')[-1]
    return any(
        registry.module_dict[name].__module__.startswith('nst_det.')
        and (registry.parent is None or name not in registry.parent.module_dict)
        for registry in vars(registries).values()
        if isinstance(registry, Registry) and name in registry.module_dict
    )
