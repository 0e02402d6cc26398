"""The parts of this package in mmpretrain's scope.

The problem: a config of mmpretrain has ``default_scope = 'mmpretrain'``, in which the registries of
mmdet, where the parts of this package are, are not searched.

The answer: each part that does not need a detector is entered in mmpretrain's registries as well.
A name that mmpretrain uses itself stays its own (``TIMMBackbone``); ``'mmdet.TIMMBackbone'`` is
that of this package.

It can go when a registry of mmengine can have two parents.
"""

from importlib import import_module
from importlib.util import find_spec

from mmdet import registry as of_mmdet

# Not its data sets and metrics, which are for boxes.
REGISTRIES = ('MODELS', 'HOOKS', 'LOOPS', 'LOG_PROCESSORS')


def apply() -> None:
    """Enter what is registered by now in mmpretrain's registries, if mmpretrain is installed."""
    if not find_spec('mmpretrain'):
        return
    try:
        of_mmpretrain = import_module('mmpretrain.registry')
        import_module('mmpretrain.models')  # its own names come first
    except ImportError:
        return
    for name in REGISTRIES:
        registry = getattr(of_mmpretrain, name)
        for kind, cls in getattr(of_mmdet, name).module_dict.items():
            if cls.__module__.startswith('nst_det.') and kind not in registry.module_dict:
                registry.register_module(name=kind, module=cls)
