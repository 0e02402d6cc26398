"""The table of rules by which the weights of a detector are found in a published checkpoint.

Every road from a file to a detector uses it: the teacher, ``load_from``, testing, resuming, the
export, ``add_nst`` and the report. A name that the detector itself has is never touched by a rule.
``docs/checkpoints.md`` shows the table.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

PARTS = {
    'state_dict': 'mmengine, mmdet, Lightning, timm',
    'model': 'Detectron2, torchvision, DETR, YOLOX',
    'model_state_dict': "PyTorch's tutorials",
    'model_state': 'pycls',
    'module': 'DeepSpeed, or inside of another part',
    'net': '',
    'network': '',
    'weights': '',
    'params': 'BasicSR',
    'detector': '',
    'ema': 'RT-DETR',
}
"""The parts of a file that hold the weights, in the order of preference, and who writes them."""

WRAPPERS = {
    r'^(?:module\.)+': 'DataParallel, DDP, DeepSpeed',
    r'(?:(?<=\.)|^)_orig_mod\.': 'torch.compile',
    r'(?:(?<=\.)|^)_fsdp_wrapped_module\.': 'FSDP',
    r'(?:(?<=\.)|^)_checkpoint_wrapped_module\.': 'activation checkpointing',
}
"""What wrappers write into a name, by its pattern: it is taken out of the name."""

NO_WEIGHTS = {
    r'data_preprocessor\.\w+': 'the normalisation of the images',
    r'ema_[^.]+': "copies of mmdet 2's EMA",
    r'(.+\.)?num_batches_tracked': 'counters of batch norms',
    r'(.+\.)?total_(ops|params)': 'counts of operations',
    r'steps|n_averaged': 'counters of averaged weights',
    r'(teacher|student|architecture|ema|ema_model|model_ema|teacher_model|distiller)\..+': (
        'another model, or its distiller'
    ),
    r'(optim(izers?)?(_state_dict|_states?)?|(lr_)?schedulers?|lr_schedulers?|param_schedulers'
    r'|amp|(grad_)?scaler|message_hub|hooks|callbacks|loops|gradients|(random|rng)_state'
    r'|ema_state_dict|meta|args|cfg|config|hyper_parameters|class_names|names|classes'
    r'|epoch|iter(ation)?|(global_)?step|loss|best\w*|version|author|date)(\..+)?': (
        'the state of the training'
    ),
}
"""Names that hold no weights of the detector, by their pattern, and what they hold."""

RENAMED = {
    r'(.+)_offset\.(weight|bias)': (r'\1.conv_offset.\2', 'deformable convolutions of mmdet 1'),
}
"""Old names by their pattern, the new name, and whose they are; mmdet itself renames the others."""


def unwrapped(name: str) -> str:
    """Take out of a name what wrappers wrote into it.

    Args:
        name (str): The name.

    Returns:
        str: The name that the wrapped model has for the same weight.
    """
    for pattern in WRAPPERS:
        name = re.sub(pattern, '', name)
    return name


def without_weights(name: str) -> str | None:
    """Tell what a name holds that no weight of a detector is in.

    Args:
        name (str): The name, without what wrappers wrote into it.

    Returns:
        str, optional: What it holds. None if it may be a weight.
    """
    return next((kind for rule, kind in NO_WEIGHTS.items() if re.fullmatch(rule, name)), None)


def renamed(name: str, known: Mapping[str, Any]) -> str:
    """Give an old name its new one, if the detector has the new name and not the old one.

    Args:
        name (str): The name.
        known (Mapping): The names that the detector has.

    Returns:
        str: The new name, or the same.
    """
    if name not in known:
        for pattern, (replacement, _) in RENAMED.items():
            new = re.sub(pattern, replacement, name)
            if new in known:
                return new
    return name


def part_with_weights(content: Any, depth: int = 3) -> Any:
    """Find the part of a checkpoint that holds the weights.

    Args:
        content (Any): The content of the checkpoint.
        depth (int): How deep to look: a crafted file may hold itself. Defaults to 3.

    Returns:
        Any: The part, or the content itself if it has none of the :data:`PARTS`.
    """
    if isinstance(content, dict) and depth:
        for name in PARTS:
            part = part_with_weights(content.get(name), depth - 1)
            if isinstance(part, dict) and any(isinstance(v, Tensor) for v in part.values()):
                return part
    return content


def entries_under(content: Mapping, prefix: str) -> dict[str, Any]:
    """Select the entries whose names begin with a prefix, and leave it out of the names.

    Args:
        content (Mapping): The content of a checkpoint, or a part of it.
        prefix (str): The prefix, which ends with a dot. It may begin with the name of a part.

    Returns:
        dict[str, Any]: The entries; empty if there are none.
    """
    names = [name for name in content if isinstance(name, str)]
    found = {n.removeprefix(prefix): content[n] for n in names if n.startswith(prefix)}
    for name in names:
        if not found and isinstance(content[name], dict) and prefix.startswith(f'{name}.'):
            found = entries_under(content[name], prefix.removeprefix(f'{name}.'))
    return found
