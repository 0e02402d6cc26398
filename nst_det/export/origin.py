"""What a checkpoint tells about its training, for the model card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from nst_det.config.detector import is_distiller
from nst_det.config.literals import read_literals
from nst_det.errors import UserError
from nst_det.fileio.state_dict import find_meta, read_checkpoint
from nst_det.models.distillers.auto_weights import AUTO_WEIGHTS


@dataclass(frozen=True)
class Origin:
    """Where the weights of an export come from.

    Args:
        checkpoint (str): The path or URL of the checkpoint that is exported.
        cfg (Config): The config of its training.
        meta (Mapping[str, Any]): The ``meta`` of the checkpoint.
        measured_weights (Sequence[float]): λ of each transfer with ``loss_weight='auto'``, in the
            order of the config. Defaults to nothing: the checkpoint does not tell.
    """

    checkpoint: str
    cfg: Config
    meta: Mapping[str, Any]
    measured_weights: Sequence[float] = ()


def read_origin(checkpoint: str, cfg: Config) -> Origin:
    """Read what a checkpoint tells about its training.

    A student can be exported by its plain config, or by that of another distillation: what it was
    trained with stands in the checkpoint.

    Args:
        checkpoint (str): Its path or URL.
        cfg (Config): The config that it is exported with, for a checkpoint without one.

    Returns:
        Origin: What it tells.
    """
    content = read_checkpoint(checkpoint)
    meta = find_meta(content)
    hub = content.get('message_hub') if isinstance(content, dict) else None
    own = _own_config(meta.get('cfg'), checkpoint)
    # Without the log of a training it is an exported file, whose config tells of no distillation.
    if own is not None and (hub or is_distiller(own)):
        cfg = own
    info = hub.get('runtime_info') if isinstance(hub, dict) else None
    measured = info.get(AUTO_WEIGHTS) if isinstance(info, dict) else None
    values = [each.get('weight') for each in (measured or {}).values() if isinstance(each, dict)]
    return Origin(checkpoint, cfg, meta, [value for value in values if value is not None])


def _own_config(text: object, checkpoint: str) -> Config | None:
    """The config in a checkpoint, as plain values; None if there is none that can be read so."""
    try:
        return Config(read_literals(text, checkpoint)) if isinstance(text, str) else None
    except UserError:
        return None
